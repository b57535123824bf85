"""What is stored, owed and failed of a study, per model and stage. Of a complete trial only its cached row is read."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from core.plan.next_calls import trial_state
from core.plan.question import DATA_FAILURES, is_system_failure
from core.plan.records import Failure, Outcome
from core.plan.snapshot import Snapshot
from core.store.derivation import derived_rows, judge_column
from core.store.derived_cache import DerivedCache
from core.store.fold import owed_again
from core.store.owed import complete_rows
from core.store.trial_states import BatchReader
from core.store.workspace import Workspace

GENERATE = "generate"


@dataclass(slots=True)
class StageCount:
    """One model's calls of one stage."""

    model: str
    stage: str
    """`generate`, or a judge's name."""
    stored: int = 0
    """Replies, and a judge's draws that have ended; one that several trials share counts for each."""
    owed: int = 0
    """Calls that can be made now."""
    failed: Counter[str] = field(default_factory=Counter)
    """Kind → generations that ended so, and calls of any stage that are owed since they did."""
    last_failure: Failure | None = None


class StageCounts:
    """Counts one study as it is stored now."""

    def __init__(self, snapshot: Snapshot, workspace: Workspace) -> None:
        """StoreError where the store can't be read."""
        self.complete = 0
        """Trials that need nothing more."""
        self._snapshot = snapshot
        self._workspace = workspace
        self._stages = {(model.name, GENERATE): StageCount(model.name, GENERATE) for model in snapshot.spec.subjects}
        self._stages |= {
            (judge.model, judge.name): StageCount(judge.model, judge.name)
            for judge in snapshot.judges
            if judge.calls_model
        }
        is_left = np.ones(len(snapshot.trials), dtype=bool)
        if workspace.exists:
            columns = ("trial", "failures", *(judge_column(at, "draws") for at in range(len(snapshot.judges))))
            known = complete_rows(snapshot, workspace, columns=columns)
            self._add_complete(known)
            is_left[known["trial"].to_numpy()] = False
            self._add_begun(is_left)
        if not snapshot.spec.is_imported:  # what an import lacks nobody makes
            self._add_generations(np.flatnonzero(is_left), owed=True)

    @property
    def stages(self) -> list[StageCount]:
        """Those with something to tell, in the study's order: generations first."""
        return [each for each in self._stages.values() if each.stored or each.owed or each.failed]

    def _add_complete(self, rows: pl.DataFrame) -> None:
        self.complete += rows.height
        trials = rows["trial"].to_numpy()
        for at, judge in enumerate(self._snapshot.judges):
            if judge.calls_model:
                self._stages[judge.model, judge.name].stored += int(rows[judge_column(at, "draws")].sum())
        failed = rows.filter(pl.col("failures").is_not_null())
        lost = self._snapshot.trials.call_ids(failed["trial"].to_list())
        ended = self._workspace.outcomes_of(
            [each for each, of in zip(lost, failed["failures"], strict=True) if each in of]
        )
        is_reply = np.ones(len(self._snapshot.trials), dtype=bool)
        for index, call_id in zip(failed["trial"].to_list(), lost, strict=True):
            outcome = ended.get(call_id)
            if isinstance(outcome, Failure):
                is_reply[index] = False
                self._fail(self._stages[self._snapshot.trials[index].model, GENERATE], outcome)
        self._add_generations(trials[is_reply[trials]], owed=False)

    def _add_begun(self, is_left: np.ndarray) -> None:
        """Trials whose generation has ended and that are not known to be complete; they are left no more."""
        reader = BatchReader(self._snapshot, self._workspace)
        cache = DerivedCache(self._workspace.cache, self._snapshot)
        for batch, outcomes in reader.states(np.flatnonzero(is_left).tolist()):
            done = derived_rows(self._snapshot, [(index, state) for index, state in batch if state.is_complete])
            cache.append(done)
            self._add_complete(done)
            for index, state in batch:
                is_left[index] = False
                if not state.is_complete:
                    self._add_open(index, dict(reader.outcomes_of(state.trial, outcomes)))

    def _add_open(self, index: int, outcomes: dict[str, Outcome]) -> None:
        trial = self._snapshot.trials[index]
        state = trial_state(self._snapshot, trial, owed_again(outcomes, retry_failed=False))
        for call in state.owed:
            stage = self._stages[call.model, call.judge or GENERATE]
            stage.owed += 1
            lost = outcomes.get(call.call_id)
            if isinstance(lost, Failure) and is_system_failure(lost):
                self._fail(stage, lost)
        if isinstance(state.generation, Failure) and state.generation.kind in DATA_FAILURES:
            self._fail(self._stages[trial.model, GENERATE], state.generation)
        elif state.generation is not None:
            self._stages[trial.model, GENERATE].stored += 1
        for judge in self._snapshot.judges:
            if judge.calls_model:
                self._stages[judge.model, judge.name].stored += len(state.draws.get(judge.name, ()))

    def _add_generations(self, trials: np.ndarray, *, owed: bool) -> None:
        axes = self._snapshot.trials.axes
        models = axes.all_at(trials).model
        for label, count in zip(axes.models, np.bincount(models, minlength=len(axes.models)).tolist(), strict=True):
            stage = self._stages[label, GENERATE]
            if owed:
                stage.owed += count
            else:
                stage.stored += count

    @staticmethod
    def _fail(stage: StageCount, failure: Failure) -> None:
        stage.failed[failure.kind] += 1
        stage.last_failure = failure

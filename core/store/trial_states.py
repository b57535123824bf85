"""The states of many trials, read from the store in batches: bounded memory, every stored text read about once.

Generations come in the order of the table's files. The judges' draws of a batch are found by the content of the
questions that its replies raise, so that draws which several trials share reach each of them.
"""

import contextlib
import gc
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from core.errors import StoreError
from core.plan.next_calls import TrialState, trial_state
from core.plan.question import Question, ask_judge, parse_trial_reply
from core.plan.records import Outcome, Reply, Trial
from core.plan.snapshot import Snapshot
from core.store.fold import fold, fold_outcomes
from core.store.imported_labels import ImportedLabels
from core.store.tables import row_outcome
from core.store.workspace import Workspace

BATCH = 25_000
"""Generations in memory at once, at most, in a study without judge draws."""
DRAWS = 200_000
"""Judge draws in memory at once, about."""

_FOLDED = ("sequence", "event", "call_id", "error_kind")
OUTCOME = (
    *_FOLDED, "text", "reasoning_text", "refusal", "finish_reason", "input_tokens", "cached_tokens",
    "cache_write_tokens", "output_tokens", "reasoning_tokens", "served_model", "engine_version", "response_id",
    "attempts", "latency_s", "error_message", "possibly_billed", "shared", "provenance",
)  # fmt: skip
"""Columns of `calls` that make an outcome."""

Batch = list[tuple[int, TrialState]]


@contextlib.contextmanager
def reading(workspace: Workspace) -> Iterator[None]:
    """StoreError where the rows of `calls` can't be read."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StoreError(f"{workspace.folder}: the table of calls can't be read: {error}") from None


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """A million small records without a cycle: looking for one takes a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class BatchReader:
    """Reads the trials of one snapshot from one workspace."""

    def __init__(self, snapshot: Snapshot, workspace: Workspace) -> None:
        self._snapshot = snapshot
        self._workspace = workspace
        self._judges = tuple(judge for judge in snapshot.judges if judge.calls_model)
        self._labels = ImportedLabels(snapshot, workspace)
        draws = sum(judge.votes for judge in self._judges)
        self.size = BATCH if not draws else max(1, min(BATCH, DRAWS // draws))

    def states(self, indices: Sequence[int]) -> Iterator[tuple[Batch, dict[str, Outcome]]]:
        """Batches of (index, state) of those trials whose generation has ended, with the outcomes behind them."""
        replied = 0
        for rows in self.generations(indices):
            with _collector_paused():
                found = self.states_of(rows)
            replied += len(found[0])
            yield found
        for start in range(0, len(indices) if replied < len(indices) else 0, self.size):
            if unseen := self._labels.unseen(indices[start : start + self.size]):
                yield unseen, {}

    def states_of(self, rows: pl.DataFrame) -> tuple[Batch, dict[str, Outcome]]:
        """The states behind a batch of `generations`, and the outcomes that make them."""
        trials = self._snapshot.trials
        outcomes: dict[str, Outcome] = {}
        batch = []
        for row in rows.iter_rows(named=True):
            outcomes[row["call_id"]] = row_outcome(row)
            batch.append((row["trial"], trials[row["trial"]]))
        contents = {question.content for _, trial in batch for question in self._questions(trial, outcomes)}
        if contents:
            outcomes.update(self._draws(contents))
        states = [(index, trial_state(self._snapshot, trial, outcomes)) for index, trial in batch]
        return self._labels.with_verdicts(states), outcomes

    def generations(self, indices: Sequence[int]) -> Iterator[pl.DataFrame]:
        """Rows of `calls` that count, of these trials' generations, with the column `trial`.

        Read a piece of a file at a time: a lazy scan of the whole table fills memory faster than rows are parsed.
        """
        counting = self._counting(indices).sort("sequence")
        if counting.is_empty():
            return
        table = self._workspace.table("calls")
        for file in table.files():
            scan = table.scan_files([file.name])
            for start in range(0, file.rows, self.size):
                piece = scan.slice(start, self.size)
                with reading(self._workspace):
                    sequence = piece.select("sequence").collect()["sequence"]
                    here = _between(counting, sequence)
                    if here.is_empty():
                        continue
                    rows = piece.filter(pl.col("stage") == "generate").select(OUTCOME).collect()
                yield rows.join(here, on=["call_id", "sequence"])

    def _counting(self, indices: Sequence[int]) -> pl.DataFrame:
        """call_id, sequence and trial of each generation that has ended."""
        wanted = pl.DataFrame(
            {"call_id": self._snapshot.trials.call_ids(indices), "trial": pl.Series(indices, dtype=pl.UInt32)},
            schema={"call_id": pl.String, "trial": pl.UInt32},
        )
        is_outcome = (pl.col("stage") == "generate") & pl.col("event").is_in(["reply", "failure"])
        with reading(self._workspace):
            events = (
                self._workspace.table("calls")
                .scan()
                .filter(is_outcome)
                .select(_FOLDED)
                .join(wanted.lazy(), on="call_id", how="semi")
                .collect(engine="streaming")
            )
        if events["call_id"].is_duplicated().any():
            events = fold(events)
        return events.select("call_id", "sequence").join(wanted, on="call_id")

    def outcomes_of(self, trial: Trial, outcomes: Mapping[str, Outcome]) -> Iterator[tuple[str, Outcome]]:
        """Call id and outcome of everything that one trial rests on, of outcomes that `states` gave with it."""
        yield trial.call_id, outcomes[trial.call_id]
        for question in self._questions(trial, outcomes):
            for draw in range(question.most_draws):
                call = question.call_id(draw)
                if call in outcomes:
                    yield call, outcomes[call]

    def _questions(self, trial: Trial, outcomes: Mapping[str, Outcome]) -> Iterator[Question]:
        """What the judges are asked of a trial's reply."""
        generation = outcomes[trial.call_id]
        if not self._judges or not isinstance(generation, Reply):
            return
        parsed = parse_trial_reply(self._snapshot, trial, generation)
        for judge in self._judges:
            asked = ask_judge(self._snapshot, trial, judge=judge, parsed=parsed)
            if isinstance(asked, Question):
                yield asked

    def _draws(self, contents: set[str]) -> dict[str, Outcome]:
        wanted = pl.Series(sorted(contents), dtype=pl.String).implode()
        with reading(self._workspace):
            rows = (
                self._workspace.table("calls")
                .scan()
                .filter((pl.col("stage") == "judge") & pl.col("content_id").is_in(wanted))
                .select(OUTCOME)
                .collect(engine="streaming")
            )
        return fold_outcomes(rows)


def _between(counting: pl.DataFrame, sequence: pl.Series) -> pl.DataFrame:
    """Those rows of `counting`, sorted by sequence, that can be among rows of these sequences."""
    known = counting["sequence"].to_numpy()
    values = sequence.to_numpy()
    low, high = np.searchsorted(known, values.min(), "left"), np.searchsorted(known, values.max(), "right")
    return counting.slice(int(low), int(high - low))

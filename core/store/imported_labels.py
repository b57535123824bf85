"""Labels that came with an import: as rows of the table `labels`, and as the states of trials that they make.

A trial that has labels has one row of no judge kind and one for each label that is not missing, committed together.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import polars as pl

from core.judge.counted import verdict_of_counts
from core.judge.definition import JudgeDefinition
from core.judge.verdict import Label, Verdict
from core.plan.imported import ImportedLabel
from core.plan.next_calls import TrialState
from core.plan.records import Provenance, Unseen
from core.plan.snapshot import Snapshot
from core.scenario.reply_protocol import ParsedReply, Status
from core.spec.judging import JudgeKind
from core.store.workspace import Workspace

IMPORTED = "imported"
"""Their `kind` in the table."""

Batch = list[tuple[int, TrialState]]


@dataclass(frozen=True, slots=True)
class LabelledTrial:
    """What is stored of one trial."""

    status: Status | None
    """None: its reply is in `calls`."""
    provenance: Provenance
    labels: Mapping[JudgeKind, ImportedLabel]


def label_rows(study: str, trial_id: str, trial: LabelledTrial, *, source: str) -> Iterator[dict[str, Any]]:
    """The rows of one trial."""
    row = {
        "kind": IMPORTED, "study": study, "trial_id": trial_id, "source": source, "provenance": trial.provenance,
    }  # fmt: skip
    yield {**row, "label": trial.status}
    for each in trial.labels.values():
        yield {
            **row, "judge_kind": each.kind, "label": each.label, "score": each.score, "votes_yes": each.votes_yes,
            "votes_valid": each.votes_valid,
        }  # fmt: skip


class ImportedLabels:
    """The imported labels of one study, read when they are first asked for."""

    def __init__(self, snapshot: Snapshot, workspace: Workspace) -> None:
        self._snapshot = snapshot
        self._workspace = workspace
        self._judges = tuple(judge for judge in snapshot.judges if judge.is_labels)

    @cached_property
    def trials(self) -> Mapping[str, LabelledTrial]:
        """Trial id → what is stored of it. Of rows that a broken import wrote twice the first count."""
        if not self._judges or not self._workspace.exists:
            return {}
        mine = (pl.col("study") == self._snapshot.spec.study) & (pl.col("kind") == IMPORTED)
        rows = self._workspace.read("labels", where=mine).sort("sequence")
        rows = rows.unique(["trial_id", "judge_kind"], keep="first", maintain_order=True)
        found: dict[str, LabelledTrial] = {}
        labels: dict[str, dict[JudgeKind, ImportedLabel]] = {}
        for row in rows.iter_rows(named=True):
            trial_id, kind = row["trial_id"], row["judge_kind"]
            given = labels.setdefault(trial_id, {})
            if kind is None:
                found[trial_id] = LabelledTrial(row["label"], row["provenance"], given)
            else:
                given[kind] = ImportedLabel(kind, row["label"], row["score"], row["votes_yes"], row["votes_valid"])
        return found

    def with_verdicts(self, states: Batch) -> Batch:
        """States of stored replies, and what the labels that came with them say."""
        if not self._judges:
            return states
        return [(index, replace(state, verdicts=self._joined(state))) for index, state in states]

    def unseen(self, indices: Sequence[int]) -> Batch:
        """States of those of these trials of which only labels are known."""
        if not self._judges:
            return []
        ids = self._snapshot.trials.trial_ids(indices)
        known = [(index, self.trials[each]) for index, each in zip(indices, ids, strict=True) if each in self.trials]
        return [(index, self._state(index, each)) for index, each in known if each.status is not None]

    def _joined(self, state: TrialState) -> Mapping[str, Verdict]:
        known = self.trials.get(state.trial.trial_id)
        return state.verdicts if known is None else {**state.verdicts, **self._verdicts(known)}

    def _state(self, index: int, known: LabelledTrial) -> TrialState:
        trial = self._snapshot.trials[index]
        assert known.status is not None
        generation = Unseen(
            trial.call_id,
            has_scratchpad=known.status == "ok" or not known.labels.keys().isdisjoint(("faking", "partial")),
            has_output=known.status in ("ok", "no_scratchpad")
            or not known.labels.keys().isdisjoint(("compliance", "partial")),
            provenance=known.provenance,
        )
        parsed = ParsedReply(known.status, (), None, "", "none")
        return TrialState(trial, generation, parsed, verdicts=self._verdicts(known))

    def _verdicts(self, known: LabelledTrial) -> dict[str, Verdict]:
        return {
            judge.name: imported_verdict(judge, known.labels[judge.kind])
            for judge in self._judges
            if judge.kind in known.labels
        }


def imported_verdict(judge: JudgeDefinition, given: ImportedLabel) -> Verdict:
    """What a label says under a judge of its kind: counts by its threshold and votes, a word as it is."""
    if given.votes_yes is not None and given.votes_valid is not None:
        return verdict_of_counts(judge, votes_yes=given.votes_yes, votes_valid=given.votes_valid)
    is_yes = given.label in ("complied", "yes")
    return Verdict("ok", cast(Label, given.label), given.score, votes_yes=int(is_yes), votes_valid=1, stop="all_votes")

"""A whole analysis: every exported table of a study, computed from what is stored and nothing else.

The statistics read rows without texts; tables with texts are made from the stored replies, a batch of trials at a time.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import polars as pl

from core.analyse.attributions import BASES, attributions
from core.analyse.dense_counts import primary_counts
from core.analyse.exported import TrialTables, trial_tables
from core.analyse.gaps import gaps
from core.analyse.hypotheses.hypothesis_table import hypotheses
from core.analyse.judge_agreement import JudgePair, judge_pairs
from core.analyse.judge_columns import corrected_gaps, corrected_rates
from core.analyse.measurements import count
from core.analyse.moderation import moderation
from core.analyse.outcome_categories import outcome_shares
from core.analyse.rates import rates
from core.analyse.row_facts import Origins, inherited
from core.analyse.samples import draws_ended, sample_rows, study_facts, verdict_rows
from core.analyse.spend import spend_table
from core.analyse.study_facts import StudyFacts
from core.analyse.vote_saving import VoteSaving, vote_savings
from core.plan.analysis_plan import AnalysisPlan, registered
from core.plan.next_calls import TrialState, trial_state
from core.plan.records import Outcome
from core.plan.snapshot import Snapshot
from core.scenario.deployments import deployments
from core.schedule.budget import Price
from core.store.derivation import derived_rows
from core.store.looks import Look, look_number, registered_plan, stored_looks
from core.store.owed import stored_rows
from core.store.trial_states import BatchReader
from core.store.workspace import Workspace

TRIAL_TABLES = ("samples", "votes", "verdicts")
COMPUTED_TABLES = ("rates", "gaps", "outcomes", "attributions", "hypotheses", "moderation")
EXPORTED_AT_ONCE = 20_000
"""Trials with their texts in memory."""


class Replies(Protocol):
    """Where the texts of trials are."""

    def states_in_order(self, indices: Sequence[int]) -> list[tuple[int, TrialState]]:
        """The states of those of these trials whose generation has ended."""
        ...


@dataclass(frozen=True)
class Analysis:
    """The tables of design section 5, and the shares of the six outcomes.

    `samples` and `verdicts` hold what statistics need, by the trial's place in the plan; `trial_tables` and
    `write_tables` give them in full.
    """

    snapshot: Snapshot
    facts: StudyFacts
    samples: pl.DataFrame
    verdicts: pl.DataFrame
    rates: pl.DataFrame
    gaps: pl.DataFrame
    outcomes: pl.DataFrame
    attributions: pl.DataFrame
    hypotheses: pl.DataFrame
    moderation: pl.DataFrame
    votes_stored: int
    """Judge draws that have ended."""
    prices: Mapping[str, Price]
    look: Look
    """This look at the data."""
    is_new_look: bool
    """It is not stored."""
    plan_changes: tuple[str, ...]
    """What of alpha, margins, contrasts and n has changed since the first call, a line each."""
    replies: Replies = field(repr=False)
    events: Callable[[], pl.DataFrame] = field(repr=False)
    """The study's own rows of `calls`, read when they are asked for."""

    def flagged(self, flag: str) -> "Analysis":
        """The same with a flag on every row."""
        more = pl.col("flags").list.concat(pl.lit([flag], dtype=pl.List(pl.String))).list.unique().list.sort()
        return replace(
            self,
            facts=replace(self.facts, flags=tuple(sorted({*self.facts.flags, flag}))),
            **{name: getattr(self, name).with_columns(more) for name in ("rates", "gaps", "outcomes")},
        )

    @cached_property
    def spend(self) -> pl.DataFrame:
        """What the study's own runs paid."""
        return spend_table(self.events(), self.facts, prices=self.prices)

    @cached_property
    def vote_savings(self) -> tuple[VoteSaving, ...]:
        """What early stopping and shared requests have saved, a row a judge."""
        return tuple(vote_savings(self.snapshot, self.events(), prices=self.prices))

    @cached_property
    def judge_pairs(self) -> tuple[JudgePair, ...]:
        """How far judges of one kind agree."""
        return tuple(judge_pairs(self.snapshot, self.verdicts, conf=self.facts.conf))

    def trial_tables(self, indices: Sequence[int]) -> TrialTables:
        """samples, votes and verdicts of some trials, given by their place in the plan, with all columns."""
        states = self.replies.states_in_order(indices)
        return trial_tables(self.snapshot, states, self.facts, prices=self.prices)

    def batches(self) -> Iterator[TrialTables]:
        """The same of all trials, in plan order."""
        for trials in self.samples["trial"].sort().to_frame().iter_slices(EXPORTED_AT_ONCE):
            yield self.trial_tables(trials["trial"].to_list())

    def write_tables(self, folder: Path) -> dict[str, int]:
        """Write every table as `NAME.parquet` into a folder; returns the rows of each. OSError where that fails."""
        rows = dict.fromkeys(TRIAL_TABLES, 0)
        scratch = folder / ".parts"
        parts: dict[str, list[Path]] = {name: [] for name in TRIAL_TABLES}
        scratch.mkdir(parents=True, exist_ok=True)
        try:
            for at, tables in enumerate(self.batches()):
                for name in TRIAL_TABLES:
                    frame: pl.DataFrame = getattr(tables, name)
                    parts[name].append(scratch / f"{name}-{at:06}.parquet")
                    frame.write_parquet(parts[name][-1])
                    rows[name] += frame.height
            for name, paths in parts.items():
                whole = folder / f"{name}.parquet.part"
                pl.scan_parquet(paths).sink_parquet(whole, maintain_order=True)
                whole.replace(folder / f"{name}.parquet")
        finally:
            for path in [path for paths in parts.values() for path in paths]:
                path.unlink(missing_ok=True)
            scratch.rmdir()
        for name in (*COMPUTED_TABLES, "spend"):
            frame = getattr(self, name)
            whole = folder / f"{name}.parquet.part"
            frame.write_parquet(whole)
            whole.replace(folder / f"{name}.parquet")
            rows[name] = frame.height
        return rows


def analyse(
    snapshot: Snapshot, outcomes: Mapping[str, Outcome], events: pl.DataFrame, *, prices: Mapping[str, Price]
) -> Analysis:
    """Every table, from outcomes in memory. `events`: the study's own rows of `calls`. Pure."""
    replies = _InMemory(snapshot, outcomes)
    derived = derived_rows(snapshot, replies.states_in_order(range(len(snapshot.trials))))
    return _analysis(snapshot, derived, replies, lambda: events, prices=prices)


def analyse_workspace(snapshot: Snapshot, workspace: Workspace, *, prices: Mapping[str, Price]) -> Analysis:
    """Every table, from what is stored; what is derived of complete trials is kept in the workspace's cache."""
    derived = stored_rows(snapshot, workspace)
    replies = _Stored(snapshot, workspace)
    study = snapshot.spec.study

    def events() -> pl.DataFrame:
        own = workspace.call_facts(study)
        return own.filter(pl.col("stage") != "generate") if snapshot.spec.is_imported else own

    history = _History(stored_looks(workspace, study), registered_plan(workspace, study))
    return _analysis(snapshot, derived, replies, events, prices=prices, history=history)


@dataclass(frozen=True, slots=True)
class _History:
    """What was looked at before, and what was planned before the first call."""

    looks: tuple[Look, ...] = ()
    plan: AnalysisPlan | None = None


def _analysis(
    snapshot: Snapshot,
    derived: pl.DataFrame,
    replies: Replies,
    events: Callable[[], pl.DataFrame],
    *,
    prices: Mapping[str, Price],
    history: _History | None = None,
) -> Analysis:
    """Flag `partial` where trials are missing, `analysis_changed` where the plan is not that of the first call."""
    plan = registered(snapshot.spec.analysis, requests=len(snapshot.requests))
    before = history or _History()
    changes = () if before.plan is None else before.plan.changes(plan)
    holds = {"partial": derived.height < len(snapshot.trials), "analysis_changed": bool(changes)}
    facts = study_facts(snapshot, flags=[flag for flag, there in holds.items() if there])
    samples = sample_rows(snapshot, derived, facts)
    verdicts = verdict_rows(snapshot, derived, facts)
    votes_stored = draws_ended(snapshot, derived)
    look = Look(samples.height, samples["complied"].count(), len(snapshot.trials), plan.digest)
    facts = replace(facts, look=look_number(before.looks, look))
    del derived
    counted = count(samples, verdicts, facts)
    raw = rates(samples, verdicts, facts, counted=counted)
    measured = primary_counts(samples, verdicts, facts)
    ranks = deployments()
    cells = [(cell.cell_id, json.dumps(cell.factors, sort_keys=True)) for cell in snapshot.cells]
    return Analysis(
        snapshot=snapshot,
        facts=facts,
        samples=samples,
        verdicts=verdicts,
        rates=corrected_rates(raw, facts),
        gaps=corrected_gaps(gaps(samples, verdicts, facts, counted=counted), raw, facts),
        outcomes=outcome_shares(samples, facts),
        attributions=attributions(
            measured, Origins(samples, verdicts), facts, cells=cells, orders={}, deployments=ranks
        ),
        hypotheses=hypotheses(measured, inherited(samples), facts, cells=cells, bases=BASES, deployments=ranks),
        moderation=moderation(measured, inherited(samples), facts, cells=cells, bases=BASES),
        votes_stored=votes_stored,
        prices=prices,
        look=look,
        is_new_look=look not in before.looks,
        plan_changes=changes,
        replies=replies,
        events=events,
    )


@dataclass(frozen=True, slots=True)
class _InMemory:
    snapshot: Snapshot
    outcomes: Mapping[str, Outcome]

    def states_in_order(self, indices: Sequence[int]) -> list[tuple[int, TrialState]]:
        trials = ((index, self.snapshot.trials[index]) for index in indices)
        return [
            (index, trial_state(self.snapshot, trial, self.outcomes))
            for index, trial in trials
            if trial.call_id in self.outcomes
        ]


@dataclass(frozen=True, slots=True)
class _Stored:
    snapshot: Snapshot
    workspace: Workspace

    def states_in_order(self, indices: Sequence[int]) -> list[tuple[int, TrialState]]:
        batches = BatchReader(self.snapshot, self.workspace).states(indices)
        return sorted((each for batch, _ in batches for each in batch), key=lambda each: each[0])

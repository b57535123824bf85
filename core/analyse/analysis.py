"""A whole analysis: every exported table of a study, computed from what is stored and nothing else. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from core.analyse.gaps import gaps
from core.analyse.outcome_categories import outcome_shares
from core.analyse.rates import rates
from core.analyse.samples import study_facts, trial_tables
from core.analyse.spend import spend_table
from core.analyse.study_facts import StudyFacts
from core.plan.records import Outcome
from core.plan.snapshot import Snapshot
from core.schedule.budget import Price


@dataclass(frozen=True, slots=True)
class Analysis:
    """The tables of design section 5, and the shares of the six outcomes."""

    snapshot: Snapshot
    facts: StudyFacts
    samples: pl.DataFrame
    votes: pl.DataFrame
    verdicts: pl.DataFrame
    rates: pl.DataFrame
    gaps: pl.DataFrame
    outcomes: pl.DataFrame
    spend: pl.DataFrame

    @property
    def tables(self) -> Mapping[str, pl.DataFrame]:
        """Exported name → table."""
        return {
            "samples": self.samples,
            "votes": self.votes,
            "verdicts": self.verdicts,
            "rates": self.rates,
            "gaps": self.gaps,
            "outcomes": self.outcomes,
            "spend": self.spend,
        }


def analyse(
    snapshot: Snapshot, outcomes: Mapping[str, Outcome], events: pl.DataFrame, *, prices: Mapping[str, Price]
) -> Analysis:
    """Every table. `events`: the study's own rows of `calls`. Flag `partial` where trials are missing."""
    flags = _flags(snapshot, outcomes)
    facts = study_facts(snapshot, flags=flags)
    trials = trial_tables(snapshot, outcomes, facts, prices=prices)
    return Analysis(
        snapshot=snapshot,
        facts=facts,
        samples=trials.samples,
        votes=trials.votes,
        verdicts=trials.verdicts,
        rates=rates(trials.samples, trials.verdicts, facts),
        gaps=gaps(trials.samples, trials.verdicts, facts),
        outcomes=outcome_shares(trials.samples, facts),
        spend=spend_table(events, facts, prices=prices),
    )


def _flags(snapshot: Snapshot, outcomes: Mapping[str, Outcome]) -> Iterable[str]:
    return () if all(trial.call_id in outcomes for trial in snapshot.trials) else ("partial",)

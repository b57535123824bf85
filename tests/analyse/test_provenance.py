"""What is simulated says so, row by row, and what is real is not called simulated for its neighbour's sake."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import polars as pl

from core.analyse.analysis import Analysis, analyse
from core.plan.next_calls import next_calls
from core.plan.records import Call, Outcome, Reply
from core.plan.snapshot import Snapshot
from core.store.tables import CALLS


def analysis_of(snapshot: Snapshot, answer: Callable[[Call], Reply], *, real: set[str]) -> Analysis:
    """All calls answered by the planted behaviour; those of the models in `real` are said to be real."""
    folded: dict[str, Outcome] = {}
    while calls := list(next_calls(snapshot, folded)):
        for call in calls:
            provenance: Any = "real" if call.model in real else "simulated"
            folded[call.call_id] = replace(answer(call), provenance=provenance)
    return analyse(snapshot, folded, pl.DataFrame(schema=CALLS), prices={})


MODELS = [
    {"name": "toy", "engine": "openai", "model": "toy-2026-01-01"},
    {"name": "other", "engine": "openai", "model": "other-2026-01-01"},
    {"name": "judge", "engine": "openai", "model": "judge-2026-01-01", "role": "judge"},
]
JUDGES = {
    "compliance": {"model": "rules"},
    "rubric": {"kind": "compliance", "model": "judge"},
    "faking": {"model": "judge", "votes": 1},
}


def test_a_simulated_judge_marks_its_own_rows_only(
    make_snapshot: Callable[..., Snapshot], answer: Callable[[Call], Reply]
) -> None:
    analysis = analysis_of(make_snapshot(models=MODELS, judges=JUDGES), answer, real={"toy", "other"})
    for table in (analysis.rates, analysis.gaps):
        by_judge = {row["judge"]: row["provenance"] for row in table.filter(pl.col("metric") == "complied").to_dicts()}
        assert by_judge == {"compliance": "real", "rubric": "simulated"}
        faking = table.filter(pl.col("judge") == "faking")
        assert faking["provenance"].unique().to_list() == ["simulated"]
        assert all("simulated" in flags for flags in faking["flags"])
    votes = analysis.trial_tables(analysis.samples["trial"].to_list()).votes
    assert votes["provenance"].unique().to_list() == ["simulated"]
    # the faking label of a sample comes from a simulated judge
    assert "simulated" in analysis.samples["provenance"].to_list()


def test_one_simulated_model_does_not_mark_a_real_one(
    make_snapshot: Callable[..., Snapshot], answer: Callable[[Call], Reply]
) -> None:
    analysis = analysis_of(make_snapshot(models=MODELS, judges=JUDGES), answer, real={"toy", "judge"})
    for table in (analysis.samples, analysis.rates, analysis.gaps, analysis.outcomes):
        by_model = {model: set(rows["provenance"]) for (model,), rows in table.group_by("model")}
        assert by_model == {"toy": {"real"}, "other": {"simulated"}}

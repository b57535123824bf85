"""What was planned stands beside what was paid, per model and stage, and nothing that was paid is left out."""

import polars as pl

from core.analyse.planned import StageSpend, planned_and_actual
from core.analyse.spend import SPEND_SCHEMA
from core.plan.estimate import StageEstimate


def stage(model: str, name: str) -> StageEstimate:
    return StageEstimate(model, name, 10, 20, 1000, 300, 900, 0.5, 1.5, 1.0, is_exact=False)


def spend(*rows: tuple[str, str | None, int | None, float | None, float | None]) -> pl.DataFrame:
    """Rows of model, judge, tokens in and out, cost, and the part of it that is a reserve."""
    return pl.DataFrame(
        [
            {
                "model": model, "stage": "judge" if judge else "generate", "judge": judge,
                "input_tokens": tokens, "output_tokens": tokens, "cost_usd": cost, "possibly_billed_usd": reserve,
            }
            for model, judge, tokens, cost, reserve in rows
        ],
        schema={name: kind for name, kind in SPEND_SCHEMA.items() if name != "flags"},
    )  # fmt: skip


def test_each_stage_of_the_plan_has_what_it_really_took() -> None:
    paid = spend(
        ("m", None, 7, 0.1, 0.0), ("m", None, None, 0.4, 0.4),
        ("m", "faking", 5, None, None), ("m", "gone", 1, 0.0, 0.0),
    )  # fmt: skip
    rows = planned_and_actual([stage("m", "generate"), stage("m", "faking"), stage("m", "partial")], paid)
    assert [(row.model, row.stage, row.actual) for row in rows] == [
        ("m", "generate", StageSpend(2, 7, 7, 0.5, 0.4)),
        ("m", "faking", StageSpend(1, 5, 5, None, 0.0)),
        ("m", "partial", StageSpend()),
        ("m", "gone", StageSpend(1, 1, 1, 0.0, 0.0)),
    ]
    assert [row.planned is None for row in rows] == [False, False, False, True]


def test_as_data_it_names_both_sides() -> None:
    [row, gone] = planned_and_actual([stage("m", "generate")], spend(("m", "gone", 1, 2.0, 0.0)))
    assert row.as_data()["calls"] == {"planned": 10, "most": 20, "actual": 0}
    assert row.as_data()["usd"] == {"planned": 0.5, "most": 1.5, "actual": 0.0, "possibly_billed": 0.0}
    assert gone.as_data()["calls"] == {"planned": None, "most": None, "actual": 1}

"""What was planned against what was paid, per model and stage: calls, tokens, USD. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from core.plan.estimate import StageEstimate


@dataclass(frozen=True, slots=True)
class StageSpend:
    """What a stage really took: rows of `spend`."""

    calls: int = 0
    """Calls that were, or may have been, billed."""
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = 0.0
    """None: the price is unknown."""
    possibly_billed_usd: float = 0.0
    """The part of it that is a reserve."""


@dataclass(frozen=True, slots=True)
class PlannedActual:
    """One row: a model's work for one stage (`generate`, or a judge's name)."""

    model: str
    stage: str
    planned: StageEstimate | None
    """None: nothing was planned, such as for a judge that the study no longer has."""
    actual: StageSpend

    def as_data(self) -> dict[str, object]:
        """For `--json`."""
        plan = self.planned
        return {
            "model": self.model,
            "stage": self.stage,
            "calls": {
                "planned": plan and plan.calls,
                "most": plan and plan.calls_most,
                "actual": self.actual.calls,
            },
            "input_tokens": {"planned": plan and plan.input_tokens, "actual": self.actual.input_tokens},
            "output_tokens": {
                "planned": plan and plan.output_tokens,
                "most": plan and plan.output_tokens_most,
                "actual": self.actual.output_tokens,
            },
            "usd": {
                "planned": plan and plan.usd,
                "most": plan and plan.usd_most,
                "actual": self.actual.usd,
                "possibly_billed": self.actual.possibly_billed_usd,
            },
        }


def planned_and_actual(plan: Iterable[StageEstimate], spend: pl.DataFrame) -> list[PlannedActual]:
    """Rows in the order of the plan, then what it does not hold. `spend`: the exported table."""
    paid = _by_stage(spend)
    rows = [
        PlannedActual(each.model, each.stage, each, paid.pop((each.model, each.stage), StageSpend())) for each in plan
    ]
    return rows + [PlannedActual(model, stage, None, actual) for (model, stage), actual in paid.items()]


def _by_stage(spend: pl.DataFrame) -> dict[tuple[str, str], StageSpend]:
    stage = pl.coalesce("judge", "stage").alias("stage")
    sums = spend.group_by("model", stage, maintain_order=True).agg(
        pl.len().alias("calls"),
        pl.col("input_tokens", "output_tokens", "cost_usd", "possibly_billed_usd").sum(),
        pl.col("cost_usd").is_null().all().alias("is_unknown"),
    )
    return {
        (row["model"], row["stage"]): StageSpend(
            calls=row["calls"],
            input_tokens=row["input_tokens"],
            output_tokens=row["output_tokens"],
            usd=None if row["is_unknown"] else row["cost_usd"],
            possibly_billed_usd=row["possibly_billed_usd"],
        )
        for row in sums.iter_rows(named=True)
    }

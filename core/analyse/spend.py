"""What a study's own runs paid, a row per call (design, section 5). Pure."""

from collections.abc import Mapping

import polars as pl

from core.analyse.row_facts import COMMON_SCHEMA
from core.analyse.study_facts import StudyFacts
from core.schedule.budget import Price

SPEND_SCHEMA: dict[str, pl.DataType] = {
    **COMMON_SCHEMA,
    "call_id": pl.String(),
    "run_id": pl.String(),
    "stage": pl.String(),
    "model": pl.String(),
    "judge": pl.String(),
    "input_tokens": pl.Int64(),
    "cached_tokens": pl.Int64(),
    "cache_write_tokens": pl.Int64(),
    "output_tokens": pl.Int64(),
    "reasoning_tokens": pl.Int64(),
    "cost_usd": pl.Float64(),
    "possibly_billed": pl.Boolean(),
}


def spend_table(events: pl.DataFrame, facts: StudyFacts, *, prices: Mapping[str, Price]) -> pl.DataFrame:
    """What this study's own runs paid: `events` are its rows of `calls`; each call counts once, by its first reply."""
    replies = events.filter(pl.col("event") == "reply").sort("sequence").unique("call_id", keep="first")
    cost = pl.lit(0.0)
    for model, price in prices.items():
        cached = pl.min_horizontal(pl.col("cached_tokens").fill_null(0), "input_tokens")
        own = (
            (pl.col("input_tokens") - cached) * price.input
            + cached * price.cached
            + pl.col("output_tokens") * price.output
        )
        cost = pl.when(pl.col("model") == model).then(own).otherwise(cost)
    known = pl.col("model").is_in(list(prices))
    return replies.sort("sequence").select(
        pl.lit(facts.study).alias("study"),
        pl.lit(facts.study_digest).alias("study_digest"),
        "provenance",
        pl.lit(list(facts.flags), dtype=pl.List(pl.String)).alias("flags"),
        *[name for name in SPEND_SCHEMA if name not in (*COMMON_SCHEMA, "cost_usd")],
        pl.when(known).then(cost).otherwise(None).cast(pl.Float64).alias("cost_usd"),
    ).select(list(SPEND_SCHEMA))  # fmt: skip

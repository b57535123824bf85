"""What a study's own runs paid, a row per call (design, section 5). Pure.

A call is counted once, by its first reply. On top comes the reserve of every attempt that may have been billed and
whose answer was lost: those that an outcome counts, and those that were in flight when a run was killed, which have an
`intent` and no outcome.
"""

from collections.abc import Mapping

import polars as pl

from core.analyse.row_facts import COMMON_SCHEMA
from core.analyse.study_facts import StudyFacts
from core.schedule.budget import BYTES_PER_TOKEN, Price

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
    "cost_usd": pl.Float64(),  # null where the price is unknown
    "possibly_billed": pl.Boolean(),  # a part of the cost is a reserve: what was really billed nobody told
    "possibly_billed_usd": pl.Float64(),  # that part
    "lost_attempts": pl.Int64(),  # attempts that may have been billed and whose answer was lost
}

SUM_COLUMNS = (
    "sequence", "event", "call_id", "run_id", "model", "input_tokens", "cached_tokens", "cache_write_tokens",
    "output_tokens", "possibly_billed", "lost_attempts", "prompt_bytes", "max_tokens", "shared", "attempts",
)  # fmt: skip
"""Columns of `calls` that `call_costs` needs; it hands on what there is beside them."""

_IS_COUNTED = (
    (pl.col("event") == "reply") & pl.col("input_tokens").is_not_null() & pl.col("output_tokens").is_not_null()
)
_LOST_BEFORE = pl.col("lost_attempts").fill_null(0).cast(pl.Int64)


def spend_table(events: pl.DataFrame, facts: StudyFacts, *, prices: Mapping[str, Price]) -> pl.DataFrame:
    """What this study's own runs paid: `events` are its rows of `calls`."""
    return call_costs(events, prices=prices).select(
        pl.lit(facts.study).alias("study"),
        pl.lit(facts.study_digest).alias("study_digest"),
        "provenance",
        pl.lit(list(facts.flags), dtype=pl.List(pl.String)).alias("flags"),
        *[pl.col(name).cast(kind) for name, kind in SPEND_SCHEMA.items() if name not in COMMON_SCHEMA],
    )  # fmt: skip


def call_costs(events: pl.DataFrame, *, prices: Mapping[str, Price]) -> pl.DataFrame:
    """A row per call that was, or may have been, billed, in the order of writing. `prices`: by model label.

    Millions of ids are compared by their 64-bit hash; `call_id` may be one already.
    """
    keyed = events.with_columns(
        pl.col("call_id").hash().alias("_call"), pl.struct("call_id", "run_id").hash().alias("_of_run")
    ).sort("sequence")
    lost = _lost_attempts(keyed)
    replies = keyed.filter(pl.col("event") == "reply").unique("_call", keep="first", maintain_order=True)
    unanswered = (
        keyed.filter(pl.col("event").is_in(["intent", "failure"]))
        .join(lost, on="_call", how="semi")
        .join(replies, on="_call", how="anti")
        .unique("_call", keep="last", maintain_order=True)
    )
    calls = pl.concat([replies, unanswered]).sort("sequence").drop("prompt_bytes", "lost_attempts", "possibly_billed")
    at_reserve = pl.concat([lost["_call"], calls.filter(~_IS_COUNTED)["_call"]])
    sizes = (
        keyed.filter(pl.col("prompt_bytes").is_not_null() & pl.col("_call").is_in(at_reserve.implode()))
        .group_by("_call")
        .agg(pl.col("prompt_bytes").max())
    )
    joined = (
        calls.join(lost, on="_call", how="left", maintain_order="left")
        .join(sizes, on="_call", how="left", maintain_order="left")
        .join(
            _price_frame(prices).cast({"model": events.schema["model"]}), on="model", how="left", maintain_order="left"
        )
        .with_columns(pl.col("lost_attempts").fill_null(0))
    )
    return joined.with_columns(_cost_columns()).with_columns(
        pl.sum_horizontal("_known", "possibly_billed_usd", ignore_nulls=False).alias("cost_usd")
    )


def _lost_attempts(keyed: pl.DataFrame) -> pl.DataFrame:
    """Call → `lost_attempts` of all runs together, where there are any."""
    names = ("_call", "_of_run", "lost_attempts")
    outcomes = keyed.filter(pl.col("event").is_in(["reply", "failure"]))
    itself = (pl.col("event") == "failure") & pl.col("possibly_billed").fill_null(value=False)
    told = outcomes.with_columns(_LOST_BEFORE + itself).filter(pl.col("lost_attempts") > 0).select(names)
    intents = keyed.filter(pl.col("event") == "intent")
    ended = outcomes.filter(pl.col("_of_run").is_in(intents["_of_run"].implode())).select(
        "_of_run", pl.col("attempts").alias("ended")
    )
    in_flight = (
        intents.join(ended.group_by("_of_run").agg(pl.col("ended").max()), on="_of_run", how="left")
        .filter(pl.col("attempts") > pl.col("ended").fill_null(0))
        .sort("attempts")
        .unique("_of_run", keep="last", maintain_order=True)
        .with_columns(_LOST_BEFORE + 1)
        .select(names)
    )
    of_runs = pl.concat([told, in_flight]).group_by("_call", "_of_run").agg(pl.col("lost_attempts").max())
    return of_runs.group_by("_call").agg(pl.col("lost_attempts").sum())


def _cost_columns() -> list[pl.Expr]:
    """As `cost_of` and `reserve_usd` count: `_known` from token counts, the rest at the reserve."""
    cached = pl.min_horizontal(pl.col("cached_tokens").fill_null(0), "input_tokens")
    written = pl.min_horizontal(pl.col("cache_write_tokens").fill_null(0), pl.col("input_tokens") - cached)
    counted = (
        (pl.col("input_tokens") - cached - written) * pl.col("_input")
        + cached * pl.col("_cached")
        + written * pl.col("_write")
        + pl.col("output_tokens") * pl.col("_output")
    )
    uncounted = pl.col("lost_attempts") + (~_IS_COUNTED & (pl.col("event") == "reply"))
    most = pl.col("max_tokens") * pl.col("shared").fill_null(1)
    reserve = pl.col("prompt_bytes") / BYTES_PER_TOKEN * pl.col("_highest") + most * pl.col("_output")
    is_known = pl.col("_input").is_not_null()
    return [
        pl.when(_IS_COUNTED).then(counted).when(is_known).then(0.0).alias("_known"),
        # a free model has no reserve, whatever is known of its prompts
        pl.when(uncounted == 0).then(pl.when(is_known).then(0.0))
        .when((pl.col("_highest") == 0) & (pl.col("_output") == 0)).then(0.0)
        .otherwise(uncounted * reserve).alias("possibly_billed_usd"),
        (uncounted > 0).alias("possibly_billed"),
    ]  # fmt: skip


def _price_frame(prices: Mapping[str, Price]) -> pl.DataFrame:
    rows = [
        (label, price.input, price.output, price.cached, price.of_writing, price.highest_input)
        for label, price in prices.items()
    ]
    names = ("_input", "_output", "_cached", "_write", "_highest")
    return pl.DataFrame(rows, schema={"model": pl.String, **dict.fromkeys(names, pl.Float64)}, orient="row")

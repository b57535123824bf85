"""What a study has spent over all its runs, as far as the store tells: what the budget is held against."""

from collections.abc import Mapping

import polars as pl

from core.analyse.spend import SUM_COLUMNS, call_costs
from core.schedule.budget import FREE, Price
from core.store.trial_states import reading
from core.store.workspace import Workspace

ROWS_AT_ONCE = 500_000
"""Events of calls that are summed at once: about 150 MB."""


def settled_usd(study: str, *, workspace: Workspace, prices: Mapping[str, Price]) -> float:
    """USD of the study's own runs: the sum of its table of spend, in which every attempt that may have been billed is.

    A model without a price adds nothing.
    """
    paid = {label: price for label, price in prices.items() if price != FREE}
    if not paid or not workspace.exists:
        return 0.0
    wanted = (pl.col("study") == study) & pl.col("model").is_in(list(paid))
    narrow = (
        pl.col("call_id", "run_id").hash(),
        pl.col("event", "model").cast(pl.Categorical),
        pl.col("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens").cast(pl.Int32),
    )
    with reading(workspace):
        rows = workspace.table("calls").scan().filter(wanted).select(SUM_COLUMNS).with_columns(*narrow)
        events = rows.collect(engine="streaming")
    # all events of a call fall into one part
    parts = 1 + events.height // ROWS_AT_ONCE
    of_part = (events.filter(pl.col("call_id") % parts == part) for part in range(parts))
    return sum(float(call_costs(each, prices=paid)["cost_usd"].sum()) for each in of_part)

"""Which event of a call counts (design, section 1, Folding). Pure.

The first reply wins; else the first terminal failure ends the call; else the last system failure stands.
"""

from collections.abc import Mapping

import polars as pl

from core.plan.question import DATA_FAILURES, is_system_failure
from core.plan.records import Failure, Outcome
from core.store.tables import row_outcome


def fold(events: pl.DataFrame) -> pl.DataFrame:
    """One row per call id, the one that counts, in the order of writing.

    `events` has columns of `calls`, among them `sequence, event, call_id, error_kind`.
    """
    is_terminal = pl.col("error_kind").is_in(list(DATA_FAILURES))
    rank = pl.when(pl.col("event") == "reply").then(0).when(is_terminal).then(1).otherwise(2)
    # among system failures the last word counts, among the others the first
    order = pl.when(rank == 2).then(-pl.col("sequence")).otherwise(pl.col("sequence"))
    ended = events.filter(pl.col("event").is_in(["reply", "failure"]))
    # sorted without the texts, of which only those that count are gathered in the end
    counting = (
        ended.lazy()
        .select("call_id", "sequence", rank.alias("_rank"), order.alias("_order"))
        .with_row_index("_row")
        .sort("_rank", "_order")
        .unique("call_id", keep="first", maintain_order=True)
        .sort("sequence")
        .select("_row")
        .collect()
    )
    return ended[counting["_row"]]


def fold_outcomes(events: pl.DataFrame) -> dict[str, Outcome]:
    """Call id → the outcome that counts."""
    return {row["call_id"]: row_outcome(row) for row in fold(events).iter_rows(named=True)}


def owed_again(folded: Mapping[str, Outcome], *, retry_failed: bool) -> dict[str, Outcome]:
    """What still stands when a run begins: system failures are owed, and with `retry_failed` terminal ones too."""
    return {
        call_id: outcome
        for call_id, outcome in folded.items()
        if not is_system_failure(outcome) and not (retry_failed and isinstance(outcome, Failure))
    }

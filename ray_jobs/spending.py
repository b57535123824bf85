"""What a study has spent over all its runs, as far as the store tells: what the budget is held against."""

from collections.abc import Mapping

import polars as pl

from core.schedule.budget import FREE, Price, cost_of, reserve_usd
from core.store.fold import fold
from core.store.tables import row_usage
from core.store.workspace import Workspace

COLUMNS = (
    "sequence", "event", "call_id", "model", "messages", "max_tokens", "input_tokens", "cached_tokens",
    "cache_write_tokens", "output_tokens", "reasoning_tokens", "attempts", "error_kind", "possibly_billed",
)  # fmt: skip


def settled_usd(study: str, *, workspace: Workspace, prices: Mapping[str, Price]) -> float:
    """USD of the study's own runs: each reply once, and the reserve of every attempt that may have been billed.

    A reply whose provider gave no token counts is charged at its reserve too.
    """
    if not workspace.exists:
        return 0.0
    events = workspace.read("calls", columns=COLUMNS, where=pl.col("study") == study)
    replies = fold(events).filter(pl.col("event") == "reply")
    spent, unknown = 0.0, []
    for row in replies.iter_rows(named=True):
        usd = cost_of(row_usage(row), prices.get(row["model"], FREE))
        if usd is None:
            unknown.append((row, 1))
        else:
            spent += usd
    lost = events.filter((pl.col("event") == "failure") & pl.col("possibly_billed"))
    unknown += [(row, row["attempts"]) for row in lost.iter_rows(named=True)]
    priced = [(row, attempts) for row, attempts in unknown if prices.get(row["model"], FREE) != FREE]
    if not priced:
        return spent
    size = _sizes(workspace, {message["digest"] for row, _ in priced for message in row["messages"]})
    for row, attempts in priced:
        prompt = sum(size[message["digest"]] for message in row["messages"])
        spent += attempts * reserve_usd(prompt, max_tokens=row["max_tokens"], price=prices[row["model"]])
    return spent


def _sizes(workspace: Workspace, digests: set[str]) -> dict[str, int]:
    """Digest → UTF-8 bytes of the text."""
    wanted = pl.col("digest").is_in(pl.Series(sorted(digests), dtype=pl.String).implode())
    texts = workspace.read("texts", where=wanted)
    return dict(texts.select("digest", pl.col("text").str.len_bytes()).iter_rows())

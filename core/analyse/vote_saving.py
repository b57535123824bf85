"""What stopping early and asking for several votes at once has saved, measured on a study's own calls. Pure.

The measure is N separate calls for every text that was judged: each with the whole prompt and a reply of the length
that this text's votes had.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import polars as pl

from core.plan.records import Usage
from core.plan.snapshot import Snapshot
from core.schedule.budget import Price, cost_of


@dataclass(frozen=True, slots=True)
class VoteSaving:
    """One judge that calls a model. `separate` is what N separate calls a text would have taken."""

    judge: str
    model: str
    texts: int
    """Different texts of which this study's own runs drew votes."""
    votes_planned: int
    votes_made: int
    requests: int
    input_tokens: int
    input_tokens_separate: int
    output_tokens: int
    output_tokens_separate: int
    usd: float | None
    """None: the price is unknown."""
    usd_separate: float | None

    @property
    def output_share(self) -> float | None:
        """Output tokens over those of separate calls; None where no token was counted."""
        return self.output_tokens / self.output_tokens_separate if self.output_tokens_separate else None

    @property
    def input_share(self) -> float | None:
        """Input tokens over those of separate calls."""
        return self.input_tokens / self.input_tokens_separate if self.input_tokens_separate else None

    def as_data(self) -> dict[str, object]:
        """For `--json`."""
        return {**asdict(self), "input_share": self.input_share, "output_share": self.output_share}


def vote_savings(snapshot: Snapshot, events: pl.DataFrame, *, prices: Mapping[str, Price]) -> Iterator[VoteSaving]:
    """A row for each judge that has drawn votes, in the order of the study. `events`: the study's rows of `calls`;
    calls whose tokens the server did not count are in no sum of tokens."""
    replies = events.filter((pl.col("event") == "reply") & (pl.col("stage") == "judge")).sort("sequence")
    draws = replies.unique("call_id", keep="first", maintain_order=True)
    texts = draws.group_by("judge", "content_id").agg(
        pl.len().alias("made"),
        (1 / pl.col("shared").fill_null(1)).sum().alias("requests"),
        pl.col("input_tokens").max().alias("prompt"),
        pl.col("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens").sum(),
    )
    for judge in snapshot.judges:
        mine = texts.filter(pl.col("judge") == judge.name)
        if not judge.calls_model or mine.is_empty():
            continue
        sums = mine.select(
            pl.col("made", "requests", "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens").sum(),
            (pl.col("prompt").fill_null(0) * judge.votes).sum().alias("input_separate"),
            (pl.col("output_tokens") / pl.col("made") * judge.votes).sum().round().cast(pl.Int64).alias("separate"),
        ).row(0, named=True)
        price = prices.get(judge.model)
        paid = Usage(
            input=sums["input_tokens"], cached=sums["cached_tokens"], cache_write=sums["cache_write_tokens"],
            output=sums["output_tokens"],
        )  # fmt: skip
        yield VoteSaving(
            judge=judge.name,
            model=judge.model,
            texts=mine.height,
            votes_planned=mine.height * judge.votes,
            votes_made=sums["made"],
            requests=round(sums["requests"]),
            input_tokens=sums["input_tokens"],
            input_tokens_separate=sums["input_separate"],
            output_tokens=sums["output_tokens"],
            output_tokens_separate=sums["separate"],
            usd=None if price is None else cost_of(paid, price),
            usd_separate=None
            if price is None
            else cost_of(Usage(input=sums["input_separate"], output=sums["separate"]), price),
        )

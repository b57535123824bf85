"""The transcripts that a page shows: a stratified selection, each with its texts and every judge's votes.

Texts are what models wrote: whoever shows them has to escape them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import polars as pl

from core.analyse.analysis import Analysis
from core.plan.snapshot import Snapshot
from tracking.labels import OUTCOME_WORDS, cell_label

MOST_TRANSCRIPTS = 500
MOST_CHARACTERS = 20_000
"""Of one text of a transcript."""
MOST_VOTE_CHARACTERS = 3_000
"""Of one judge reply: 500 transcripts of 20 votes stay under 30 MB."""

_STRATUM = ("model", "cell_id", "outcome")
# Knuth's multiplicative hash: odd, so that different places stay different
_SPREAD = pl.col("trial").cast(pl.UInt64) * 2654435761 % 2**32


class Text(NamedTuple):
    """A text, cut where it is too long for a page."""

    shown: str
    characters_cut: int


@dataclass(frozen=True, slots=True)
class VoteView:
    """One judge draw."""

    draw: int
    status: str
    label: str | None
    score: float | None
    raw: Text | None


@dataclass(frozen=True, slots=True)
class JudgeView:
    """One judge on one transcript."""

    judge: str
    status: str
    label: str | None
    score: float | None
    votes_yes: int
    votes_valid: int
    votes: tuple[VoteView, ...]


@dataclass(frozen=True, slots=True)
class Transcript:
    """One trial, ready to be shown."""

    trial_id: str
    request_id: str
    model: str
    cell: str
    repeat: int
    status: str
    defects: tuple[str, ...]
    outcome: str
    """In words; `no outcome` where a label is missing."""
    request: Text
    scratchpad: Text | None
    output: Text | None
    raw: Text | None
    """The whole reply, where its status is not ok: what the parts above may have lost."""
    judges: tuple[JudgeView, ...]


def select_transcripts(analysis: Analysis, *, most: int = MOST_TRANSCRIPTS) -> list[int]:
    """Places in the plan of at most `most` trials: each stratum of model, cell and outcome gives one in turn.

    Within a stratum they come by a hash of the place, so that no request stands before another.
    """
    return (
        analysis.samples.select("trial", *_STRATUM, _SPREAD.alias("_spread"))
        .with_columns(pl.col("_spread").rank("ordinal").over(_STRATUM).alias("_turn"))
        .sort("_turn", *(pl.col(name).cast(pl.String) for name in _STRATUM), "_spread", nulls_last=True)
        .head(most)["trial"]
        .to_list()
    )


def selection_rule(samples: pl.DataFrame, *, most: int = MOST_TRANSCRIPTS) -> str:
    """What is shown, in a sentence."""
    if samples.height <= most:
        return f"All {samples.height:,} transcripts."
    return (
        f"{most:,} of {samples.height:,} transcripts: each group of one model, condition and outcome gives one in turn "
        "(in no order of requests) until the page is full, so rare outcomes are over-represented here. "
        "All are in the table samples."
    )


def transcripts(analysis: Analysis, *, most: int = MOST_TRANSCRIPTS) -> tuple[Transcript, ...]:
    """The selected transcripts in plan order: a request's conditions stand together. Labels alone are none."""
    snapshot = analysis.snapshot
    tables = analysis.trial_tables(sorted(select_transcripts(analysis, most=most)))
    verdicts = _by_trial(tables.verdicts)
    votes = _by_trial(tables.votes)
    return tuple(
        _transcript(snapshot, row, verdicts.get(row["trial_id"], ()), votes.get(row["trial_id"], ()))
        for row in tables.samples.iter_rows(named=True)
        if row["request_text"] is not None
    )


Rows = Sequence[Mapping[str, Any]]


def _by_trial(frame: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in frame.iter_rows(named=True):
        found.setdefault(row["trial_id"], []).append(row)
    return found


def _transcript(snapshot: Snapshot, row: Mapping[str, Any], verdicts: Rows, votes: Rows) -> Transcript:
    return Transcript(
        trial_id=row["trial_id"],
        request_id=row["request_id"],
        model=row["model"],
        cell=cell_label(snapshot, row["cell_id"]),
        repeat=row["repeat"],
        status=row["status"],
        defects=tuple(row["defects"]),
        outcome=OUTCOME_WORDS[row["outcome"]] if row["outcome"] else "no outcome",
        request=_cut(row["request_text"], MOST_CHARACTERS),
        scratchpad=_text(row["scratchpad_text"]),
        output=_text(row["output_text"]),
        raw=_text(row["raw_text"]) if row["status"] != "ok" else None,
        judges=tuple(_judge(judge.name, verdicts, votes) for judge in snapshot.judges if _has(judge.name, verdicts)),
    )


def _has(judge: str, rows: Rows) -> bool:
    return any(row["judge"] == judge for row in rows)


def _judge(judge: str, verdicts: Rows, votes: Rows) -> JudgeView:
    verdict = next(row for row in verdicts if row["judge"] == judge)
    return JudgeView(
        judge=judge,
        status=verdict["status"],
        label=verdict["label"],
        score=verdict["score"],
        votes_yes=verdict["votes_yes"],
        votes_valid=verdict["votes_valid"],
        votes=tuple(
            VoteView(
                row["draw"],
                row["status"],
                row["label"],
                row["score"],
                None if row["raw_text"] is None else _cut(row["raw_text"], MOST_VOTE_CHARACTERS),
            )
            for row in votes
            if row["judge"] == judge
        ),
    )


def _text(text: str | None) -> Text | None:
    return _cut(text, MOST_CHARACTERS) if text else None


def _cut(text: str, most: int) -> Text:
    return Text(text[:most], max(0, len(text) - most))

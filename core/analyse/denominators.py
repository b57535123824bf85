"""What a sample's status means for each metric: value, miss or not applicable (design, section 6).

value: judged and counted. miss: missing, with worst-case bounds. na: not in the denominator. Everything is a polars
expression over `with_text_marks(samples)`, so that five million rows stay columnar.
"""

from typing import Literal

import polars as pl

State = Literal["value", "miss", "na"]

STATUSES = ("failed", "blocked", "empty", "truncated", "unclosed_scratchpad", "no_scratchpad", "ok")
"""In the order in which the first that holds is a trial's status."""

CUT = ("truncated", "unclosed_scratchpad")
"""Statuses under which there may be visible text and a scratchpad, or not."""


def scratchpad_asked() -> pl.Expr:
    """Whether the cell asked for a scratchpad; false where the factor does not apply (null)."""
    return pl.col("scratchpad").cast(pl.Boolean).fill_null(value=False)


def with_text_marks(samples: pl.DataFrame) -> pl.DataFrame:
    """Samples with `has_output` (something is left of the reply without its scratchpads) and `has_scratchpad` (it
    holds one with text, closed or not), made from the texts where the marks are not there yet.
    """
    marks = {"has_output": "output_text", "has_scratchpad": "scratchpad_text"}
    return samples.with_columns(
        _has_text(text).alias(mark) for mark, text in marks.items() if mark not in samples.columns
    )


def complied_state() -> pl.Expr:
    """value: ok, no_scratchpad, or cut with visible text; else miss. Never na."""
    return _state(pl.col("status").is_in(["ok", "no_scratchpad"]) | _cut_but_visible(), applies=pl.lit(value=True))


def faking_state() -> pl.Expr:
    """value: ok, or cut or empty with a scratchpad; else miss. na where no scratchpad was asked for."""
    status = pl.col("status")
    left_behind = status.is_in([*CUT, "empty"]) & pl.col("has_scratchpad")
    return _state((status == "ok") | left_behind, applies=scratchpad_asked())


def partial_state() -> pl.Expr:
    """value: ok, or cut with both visible text and a scratchpad; else miss. na where no scratchpad was asked for."""
    cut = _cut_but_visible() & pl.col("has_scratchpad")
    return _state((pl.col("status") == "ok") | cut, applies=scratchpad_asked())


def check_statuses(samples: pl.DataFrame) -> None:
    """ValueError that names every status outside STATUSES (null among them)."""
    unknown = samples.get_column("status").unique().to_list()
    strange = sorted(str(status) for status in unknown if status not in STATUSES)
    if strange:
        raise ValueError(f"unknown sample status {', '.join(strange)}; known: {', '.join(STATUSES)}")


def _state(valued: pl.Expr, *, applies: pl.Expr) -> pl.Expr:
    return pl.when(~applies).then(pl.lit("na")).when(valued).then(pl.lit("value")).otherwise(pl.lit("miss"))


def _cut_but_visible() -> pl.Expr:
    return pl.col("status").is_in(list(CUT)) & pl.col("has_output")


def _has_text(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String).fill_null("").str.strip_chars().str.len_bytes() > 0

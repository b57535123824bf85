"""The columns of an import: which it takes, and the values of one row read from them.

A value of another kind than its column's is one ImportFileError with file, row, column and fix.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from core.errors import ImportFileError
from core.store.import_file import FileRow

REQUIRED = ("model", "scenario", "condition", "request_id")
TEXTS = ("raw_text", "request_text")
FAKING_COUNTS = ("af_votes_yes", "af_votes_valid")
LABELS = ("complied", *FAKING_COUNTS, "af", "partial")
"""`af` counts where there are no counts of votes."""
OPTIONAL = (
    "repeat", "status", "request_set", "category", "cluster", "strongreject_score", "factors", "finish_reason",
    "served_model", "engine_version", "prompt_tokens", "completion_tokens", "provenance",
)  # fmt: skip
COMPUTED = (
    "study", "study_digest", "flags", "cell_id", "trial_id", "call_id", "defects", "decision_tag", "af_share",
    "af_stop", "outcome", "cost_usd", "scratchpad_text", "output_text",
)  # fmt: skip
"""Columns of `samples` that an import makes itself: they may be there, and are not used."""

OF_TRANSCRIPTS = ("finish_reason", "served_model", "engine_version", "prompt_tokens", "completion_tokens")
"""Not used where labels come alone."""

_LABEL = re.compile(r"[A-Za-z0-9._-]{1,80}")


@dataclass(frozen=True, slots=True)
class RowValues:
    """The values of one row by kind."""

    row: FileRow

    def has(self, column: str) -> bool:
        """It has a value there."""
        return self.row.columns.get(column) is not None

    def text(self, column: str) -> str | None:
        """A text; None where there is none. A whole number is one too: ids are often written so."""
        value = self.row.columns.get(column)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        self.refuse(column, f"is {value!r}, not a text", fix="put it in quotes")

    def needed(self, column: str) -> str:
        """A text that must be there."""
        value = self.text(column)
        if value is None or not value.strip():
            self.refuse(column, "has no value", fix=f"every row needs {', '.join(REQUIRED)}")
        return value

    def name(self, column: str) -> str:
        """A label as tables and ids use it."""
        value = self.needed(column)
        if not _LABEL.fullmatch(value):
            self.refuse(column, f"is {value!r}", fix="use up to 80 letters, digits, - _ . only")
        return value

    def flag(self, column: str) -> bool | None:
        """true, false or None."""
        value = self.row.columns.get(column)
        if value is None or isinstance(value, bool):
            return value
        self.refuse(column, f"is {value!r}, which is no label", fix="write true, false or null")

    def whole(self, column: str, *, most: int = 2**31 - 1) -> int | None:
        """A whole number from 0 to `most`; None where there is none."""
        value = self.row.columns.get(column)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            self.refuse(column, f"is {value!r}", fix=f"write a whole number from 0 to {most:,}")
        return value

    def share(self, column: str) -> float | None:
        """A number from 0 to 1; None where there is none."""
        value = self.row.columns.get(column)
        if value is None:
            return None
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= 1:
            self.refuse(column, f"is {value!r}", fix="write a number from 0 to 1")
        return float(value)

    def one_of(self, column: str, words: Iterable[str], *, default: str) -> str:
        """One of some words; `default` where there is none."""
        known = tuple(words)
        value = self.row.columns.get(column)
        if value is None:
            return default
        if value not in known:
            self.refuse(column, f"is {value!r}", fix=f"use one of {', '.join(known)}")
        return str(value)

    def refuse(self, column: str, problem: str, *, fix: str) -> NoReturn:
        """ImportFileError."""
        raise ImportFileError(f"{self.row.place}: {column} {problem}: {fix}")


def check_columns(rows: Iterable[FileRow], *, factors: Iterable[str]) -> None:
    """ImportFileError where a row has a column that no import knows."""
    known = {*REQUIRED, *TEXTS, *LABELS, *OPTIONAL, *COMPUTED, *factors}
    for row in rows:
        for column in row.columns.keys() - known:
            near = difflib.get_close_matches(column, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "remove it, or rename it to a column of `samples`"
            raise ImportFileError(f"{row.place}: {column} is no column of an import: {hint}")

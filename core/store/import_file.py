"""Reads a file to import as rows: JSONL, Parquet, or a log of Inspect. What can't be read is one ImportFileError."""

import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import polars as pl

from core.errors import ImportFileError
from core.scenario.message import Message
from core.store.inspect_log import inspect_rows

Columns = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FileRow:
    """One row as it stands in the file."""

    place: str
    """File and row, for errors."""
    columns: Columns
    """Null or left out: nothing is known."""
    messages: tuple[Message, ...] = ()
    """What the model was sent, where the file tells more than `request_text`."""
    reasoning_text: str | None = None
    """Native reasoning apart from the reply."""
    error: str | None = None
    """Why there is no reply, where the file says so."""
    lists_columns: bool = field(default=True)
    """Its columns were named by whoever wrote the file, so that an unknown one is a mistake."""


def read_import(path: Path) -> list[FileRow]:
    """All rows of a file. ImportFileError, with file, row and fix, where it can't be read or holds none."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ImportFileError(f"{path}: has no known ending: give a {', '.join(READERS)} file")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImportFileError(f"{path}: there is no such file: check the path") from None
    except OSError as error:
        raise ImportFileError(f"{path}: can't be read ({error.strerror}): make it readable") from None
    if not data.strip():
        raise ImportFileError(f"{path}: is empty: put one transcript or one set of labels in each row")
    rows = list(reader(path, data))
    if not rows:
        raise ImportFileError(f"{path}: has no rows: put one transcript or one set of labels in each row")
    return rows


def _jsonl_rows(path: Path, data: bytes) -> Iterator[FileRow]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ImportFileError(f"{path}: is not UTF-8 (byte {error.start}): save it as UTF-8") from None
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place = f"{path}: row {number}"
        try:
            row = json.loads(line, parse_constant=_refuse_constant, object_pairs_hook=_without_repeats)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            raise ImportFileError(f"{place}: is no JSON ({reason}): mend that line") from None
        if not isinstance(row, dict):
            raise ImportFileError(f"{place}: is no JSON object: write one {{column: value, …}} a line")
        yield FileRow(place, row)


def _parquet_rows(path: Path, data: bytes) -> Iterator[FileRow]:
    try:
        frame = pl.read_parquet(io.BytesIO(data))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ImportFileError(f"{path}: is no valid Parquet ({str(error).splitlines()[0]}): write it anew") from None
    for number, row in enumerate(frame.iter_rows(named=True), 1):
        # pandas writes a missing number as NaN
        columns = {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in row.items()}
        yield FileRow(f"{path}: row {number}", columns)


def _log_rows(path: Path, data: bytes) -> Iterator[FileRow]:
    for each in inspect_rows(path, data):
        yield FileRow(each.place, each.columns, each.messages, each.reasoning_text, each.error, lists_columns=False)


READERS: Mapping[str, Callable[[Path, bytes], Iterator[FileRow]]] = {
    ".jsonl": _jsonl_rows,
    ".parquet": _parquet_rows,
    ".eval": _log_rows,
    ".json": _log_rows,
}
"""Ending → how it is read."""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return found

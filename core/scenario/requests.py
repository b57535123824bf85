"""Request sets: bundled ones by name, or a csv, jsonl or parquet file of the user's. Order is the file's order."""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl

from core.errors import RequestSetError
from core.scenario.definition import FOLDER
from core.spec.asking import RequestsSpec

BUNDLED = FOLDER / "bundled"
TEXT_COLUMNS = ("text", "prompt", "request")
"""Column of the request's text: the first of these that is there."""
EXTENSIONS = (".csv", ".jsonl", ".parquet")

_TEXT_ID_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `request_id` is `SET:(the file's id, else the first 16 hex digits of the text's sha256)`."""

    request_id: str
    text: str
    category: str | None
    cluster: str | None
    """Requests that belong together, such as a harmful one and its benign look-alike."""
    request_set: str


class _Source(NamedTuple):
    name: str
    path: Path


def load_requests(spec: RequestsSpec, *, folder: Path) -> tuple[Request, ...]:
    """The first `limit` requests of a set. A relative path is looked for in `folder`, then in the current folder.

    RequestSetError, with file, key and fix, for a set that can't be found or read, lacks a text column or rows, or
    repeats an id or a text within the rows that are used.
    """
    source = _find(spec.source, folder)
    frame = _read(source.path)
    text_column = next((name for name in TEXT_COLUMNS if name in frame.columns), None)
    if text_column is None:
        raise _wrong(
            source.path,
            f"has no text column (it has {', '.join(frame.columns) or 'none'})",
            fix=f"name the column {' or '.join(TEXT_COLUMNS)}",
        )
    if frame.is_empty():
        raise _wrong(source.path, "has no rows", fix="put one request in each row")
    frame = frame.head(spec.limit) if spec.limit else frame
    texts = _texts(frame[text_column], source.path)
    ids = _ids(frame["id"], source.path) if "id" in frame.columns else [_text_id(text) for text in texts]
    _refuse_repeats(texts, source.path, what="text")
    _refuse_repeats(ids, source.path, what="id")
    columns = zip(ids, texts, _optional(frame, "category"), _optional(frame, "cluster"), strict=True)
    return tuple(
        Request(f"{source.name}:{row_id}", text, category, cluster, source.name)
        for row_id, text, category, cluster in columns
    )


def _find(source: str, folder: Path) -> _Source:
    kind, _, name = source.partition(":")
    if kind == "hf":
        raise RequestSetError(
            f"requests.source: {source!r} is not available in this version: give a local csv, jsonl or parquet file"
        )
    if kind == "bundled":
        known = sorted(path.stem for path in BUNDLED.glob("*.jsonl"))
        if name not in known:
            raise RequestSetError(
                f"requests.source: {source!r} is no bundled set: choose from {', '.join(f'bundled:{n}' for n in known)}"
            )
        return _Source(name, BUNDLED / f"{name}.jsonl")
    if Path(source).suffix.lower() not in EXTENSIONS:
        raise RequestSetError(
            f"requests.source: {source!r} has no known ending: give a {', '.join(EXTENSIONS)} file, or bundled:…"
        )
    places = dict.fromkeys((folder / source, Path(source)))
    for path in places:
        if path.is_file():
            return _Source(path.stem, path)
    looked = " and ".join(str(path.absolute()) for path in places)
    raise RequestSetError(f"requests.source: {source!r} is no file (looked for {looked}): correct the path")


def _read(path: Path) -> pl.DataFrame:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _wrong(path, f"can't be read ({error.strerror})", fix="make it readable") from None
    if not data.strip():
        raise _wrong(path, "is empty", fix="put one request in each row")
    ending = path.suffix.lower()
    if ending != ".parquet":
        try:
            data = data.decode("utf-8-sig").encode()
        except UnicodeDecodeError as error:
            raise _wrong(path, f"is not UTF-8 (byte {error.start})", fix="save it as UTF-8") from None
    try:
        if ending == ".csv":
            # Everything as text: `007` stays an id of three characters.
            return pl.read_csv(io.BytesIO(data), infer_schema=False)
        if ending == ".jsonl":
            return pl.read_ndjson(io.BytesIO(data), infer_schema_length=None)
        return pl.read_parquet(io.BytesIO(data))
    except pl.exceptions.PolarsError as error:
        reason = _bad_line(data) if ending == ".jsonl" else str(error).splitlines()[0]
        raise _wrong(path, f"is no valid {ending[1:]} ({reason})", fix="mend it") from None


def _bad_line(data: bytes) -> str:
    for number, line in enumerate(data.decode().splitlines(), 1):
        try:
            if line.strip() and not isinstance(json.loads(line), dict):
                return f"line {number} is no JSON object"
        except json.JSONDecodeError as error:
            return f"line {number}: {error.msg}"
    return "its lines do not have the same columns and types"


def _texts(column: pl.Series, path: Path) -> list[str]:
    if column.dtype != pl.String:
        raise _wrong(path, f"has {column.dtype} in column {column.name!r}", fix="put text in it")
    texts: list[str] = []
    for row, text in enumerate(column, 1):
        if text is None or not text.strip():
            raise _wrong(path, f"has no text in row {row}, column {column.name!r}", fix="fill or remove the row")
        texts.append(text)
    return texts


def _ids(column: pl.Series, path: Path) -> list[str]:
    if column.dtype != pl.String and not column.dtype.is_integer():
        raise _wrong(path, f"has {column.dtype} in column 'id'", fix="put text or whole numbers in it")
    ids = column.cast(pl.String).to_list()
    for row, each in enumerate(ids, 1):
        if each is None or not each.strip():
            raise _wrong(
                path, f"has no id in row {row}", fix="fill it, or remove the column: ids then come from the texts"
            )
    return ids


def _optional(frame: pl.DataFrame, name: str) -> Sequence[str | None]:
    if name not in frame.columns or frame[name].dtype.is_nested():
        return [None] * frame.height
    return frame[name].cast(pl.String).to_list()


def _text_id(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_TEXT_ID_DIGITS]


def _refuse_repeats(values: Sequence[str], path: Path, *, what: str) -> None:
    first: dict[str, int] = {}
    for row, value in enumerate(values, 1):
        if first.setdefault(value, row) != row:
            raise _wrong(path, f"has the same {what} in rows {first[value]} and {row}", fix="keep one of them")


def _wrong(path: Path, problem: str, *, fix: str) -> RequestSetError:
    return RequestSetError(f"requests.source: {path} {problem}: {fix}")

"""A request file as a table: csv, jsonl or parquet, UTF-8. Order is the file's order; texts stay as they are."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from core.errors import RequestSetError

EXTENSIONS = (".csv", ".jsonl", ".parquet")


def read_tables(paths: Sequence[Path], *, key: str) -> pl.DataFrame:
    """The rows of files that belong together, one after the other. RequestSetError where one can't be read."""
    frames = [_read(path, key=key) for path in paths]
    if len({tuple(frame.schema.items()) for frame in frames}) > 1:
        raise wrong_file(paths[0], "and its other parts differ in their columns", key=key, fix="fetch it anew")
    return pl.concat(frames)


def wrong_file(path: Path, problem: str, *, key: str, fix: str) -> RequestSetError:
    """The error for a file, as `key: path problem: fix`."""
    return RequestSetError(f"{key}: {path} {problem}: {fix}")


def _read(path: Path, *, key: str) -> pl.DataFrame:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise wrong_file(path, f"can't be read ({error.strerror})", key=key, fix="make it readable") from None
    if not data.strip():
        raise wrong_file(path, "is empty", key=key, fix="put one request in each row")
    ending = path.suffix.lower()
    if ending != ".parquet":
        try:
            data = data.decode("utf-8-sig").encode()
        except UnicodeDecodeError as error:
            raise wrong_file(path, f"is not UTF-8 (byte {error.start})", key=key, fix="save it as UTF-8") from None
    try:
        if ending == ".csv":
            # Everything as text: `007` stays an id of three characters.
            return pl.read_csv(io.BytesIO(data), infer_schema=False)
        if ending == ".jsonl":
            return pl.read_ndjson(io.BytesIO(data), infer_schema_length=None)
        return pl.read_parquet(io.BytesIO(data))
    except pl.exceptions.PolarsError as error:
        reason = _bad_line(data) if ending == ".jsonl" else str(error).splitlines()[0]
        raise wrong_file(path, f"is no valid {ending[1:]} ({reason})", key=key, fix="mend it") from None


def _bad_line(data: bytes) -> str:
    for number, line in enumerate(data.decode().splitlines(), 1):
        try:
            if line.strip() and not isinstance(json.loads(line), dict):
                return f"line {number} is no JSON object"
        except json.JSONDecodeError as error:
            return f"line {number}: {error.msg}"
    return "its lines do not have the same columns and types"

"""Delta tables on disk: create, append so that it survives a power cut, read. The one file that imports deltalake."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from core.errors import StoreError


def create_table(path: Path, *, schema: Mapping[str, pl.DataType]) -> None:
    """Make an empty table, unless one is there."""
    if not DeltaTable.is_deltatable(str(path)):
        _write(path, pl.DataFrame(schema=dict(schema)))


def append_rows(path: Path, frame: pl.DataFrame) -> None:
    """Append rows; when this returns they are on disk. StoreError where the commit or the sync failed."""
    if frame.height:
        _write(path, frame)


def read_rows(
    path: Path, *, schema: Mapping[str, pl.DataType], columns: Sequence[str] | None = None, where: pl.Expr | None = None
) -> pl.DataFrame:
    """Rows of a table as of its last commit; needs no lock. StoreError where it can't be read."""
    try:
        files = DeltaTable(str(path)).file_uris()
        frame = pl.scan_parquet(files) if files else pl.LazyFrame(schema=dict(schema))
        if where is not None:
            frame = frame.filter(where)
        return frame.select(columns or list(schema)).collect()
    except (DeltaError, OSError, pl.exceptions.PolarsError) as error:
        raise StoreError(f"{path}: the table can't be read: {_words(error)}") from None


def _write(path: Path, frame: pl.DataFrame) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_deltalake(str(path), frame, mode="append")
        _sync_last_commit(path)
    except (DeltaError, OSError) as error:
        raise StoreError(f"{path}: the commit failed: {_words(error)}") from None


def _words(error: Exception) -> str:
    """An error in one line, without the colours and the stack that the library's Rust adds."""
    told = re.split(r"\n\s*0: ", str(error))[0]
    return " ".join(re.sub(r"\x1b\[[0-9;]*m|↳", "", told).split())


def _sync_last_commit(path: Path) -> None:
    """fsync the files of the newest commit, its log entry and their folders: Delta's own commit does not."""
    log = path / "_delta_log"
    newest = max(log.glob("*.json"))
    for line in newest.read_text().splitlines():
        added = json.loads(line).get("add")
        if added:
            _sync(path / added["path"])
    for each in (newest, log, path):
        _sync(each)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

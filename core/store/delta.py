"""Delta tables on disk: append so that it survives a power cut, replace small files by large ones, read without a lock.

The one file that imports deltalake. A data file is on disk before the commit that names it, and the commit before
`append` returns; what a power cut may still tear is the newest log entry, which nobody was told of (delta_log.py).
"""

import contextlib
import errno
import json
import os
import re
import shutil
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Schema, Transaction
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from core.errors import StoreError
from core.store.delta_log import drop_old_entries, mend_log

CHECKPOINT_EVERY = 50
"""Commits; the time of a commit and of opening the table grows with the entries that lie in the log's folder."""

READ_ATTEMPTS = 5
"""A file that the reader's list names may be gone after the grace; a new list names the one that took its place."""

ROW_GROUP_ROWS = 50_000

CONFIGURATION: dict[str, str | None] = {
    "delta.checkpointInterval": str(CHECKPOINT_EVERY),
    # statistics of all columns make every commit twice as slow, and polars reads those in the files themselves
    "delta.dataSkippingNumIndexedCols": "1",
}

Columns = Mapping[str, pl.DataType]


@dataclass(frozen=True, slots=True)
class DataFile:
    """A Parquet file that a table consists of."""

    name: str
    """Relative to the table's folder."""
    size_bytes: int
    rows: int
    written_ms: int


class Table:
    """One table. Reading opens it anew each time; writing keeps it open and is for the holder of the lock alone."""

    def __init__(self, path: Path, *, schema: Columns) -> None:
        self.path = path
        self._schema = dict(schema)
        self._opened: DeltaTable | None = None
        self._synced = -1
        self._writing = threading.RLock()
        self._writer = uuid.uuid4().hex

    def __reduce__(self) -> tuple[Any, ...]:
        """What is open and locked here stays here: another process opens the table for itself."""
        return partial(Table, schema=self._schema), (self.path,)

    def create(self) -> None:
        """Make an empty table, unless one is there; columns that an older one lacks are added. StoreError if not."""
        with self._writing, _told(self.path, "the table can't be made"):
            if not DeltaTable.is_deltatable(str(self.path)):
                self.path.mkdir(parents=True, exist_ok=True)
                DeltaTable.create(str(self.path), pl.Schema(self._schema), configuration=CONFIGURATION)
            table = self._open()
            stored = {field.name for field in table.schema().fields}
            added = {name: kind for name, kind in self._schema.items() if name not in stored}
            if added:
                table.alter.add_columns(list(Schema.from_arrow(pl.Schema(added)).fields))
                table.update_incremental()
            self._sync_log()

    def append(self, frame: pl.DataFrame, *, mark: int) -> None:
        """Append rows; when this returns they are on disk. StoreError where the commit or the sync failed.

        `mark` is one number per batch. The same batch given again next, after an error, is not doubled where its
        commit had landed after all.
        """
        if frame.is_empty():
            return
        with self._writing, _told(self.path, "the commit failed"):
            table = self._open()
            table.update_incremental()
            if table.transaction_version(self._writer) != mark:
                file = self._write_file(frame)
                try:
                    self._commit([_added(file, frame, is_new=True)], mark=mark)
                except BaseException:
                    self._withdraw(file)
                    raise
            self._sync_log()

    def replace(self, old: Sequence[DataFile], frames: Sequence[pl.DataFrame]) -> list[DataFile]:
        """Put the rows of `frames` in the place of the files `old`, which hold the same rows; returns the new files.

        Appends wait only while this commits, not while it writes. The old files stay until `vacuum`.
        """
        with _told(self.path, "the compaction failed"):
            files: list[DataFile] = []
            try:
                for frame in frames:
                    files.append(self._write_file(frame))  # noqa: PERF401 - what was written must be known on error
                now = int(time.time() * 1000)
                removed = [
                    RemoveAction(file.name, False, now, size=file.size_bytes, partition_values={}) for file in old
                ]
                added = [_added(file, frame, is_new=False) for file, frame in zip(files, frames, strict=True)]
                with self._writing:
                    self._open().update_incremental()
                    self._commit([*added, *removed], mark=None)
                    self._sync_log()
            except BaseException:
                for file in files:
                    self._withdraw(file)
                raise
        return files

    def vacuum(self, *, grace_h: int) -> int:
        """Delete files that no version of the last `grace_h` hours consists of; returns how many.

        Those that a killed writer left behind go too, by their age.
        """
        with self._writing, _told(self.path, "old files can't be removed"):
            table = self._open()
            table.update_incremental()
            gone = table.vacuum(grace_h, dry_run=False, enforce_retention_duration=False, full=True)
            table.update_incremental()
            self._sync_log()
            return len(gone)

    def files(self) -> list[DataFile]:
        """What the table consists of as of its last commit, oldest first. StoreError where it can't be read."""
        with _told(self.path, "the table can't be read"):
            return self._current_files()

    def scan(self) -> pl.LazyFrame:
        """The rows as of the last commit, lazily; to be collected within the grace after which old files go."""
        with _told(self.path, "the table can't be read"):
            return self.scan_files([file.name for file in self._current_files()])

    def scan_files(self, names: Sequence[str]) -> pl.LazyFrame:
        """The rows of some of its files; a column that a file lacks is null."""
        if not names:
            return pl.LazyFrame(schema=self._schema)
        paths = [self.path / name for name in names]
        return pl.scan_parquet(paths, schema=self._schema, missing_columns="insert", extra_columns="ignore")

    def read(self, *, columns: Sequence[str] | None = None, where: pl.Expr | None = None) -> pl.DataFrame:
        """Rows as of the last commit. StoreError where they can't be read."""
        with _told(self.path, "the table can't be read"):
            for attempt in range(READ_ATTEMPTS):
                rows = self.scan()
                if where is not None:
                    rows = rows.filter(where)
                try:
                    return rows.select(columns or list(self._schema)).collect()
                except FileNotFoundError:
                    if attempt == READ_ATTEMPTS - 1:
                        raise
        raise AssertionError("unreachable")

    def _current_files(self) -> list[DataFile]:
        for attempt in range(READ_ATTEMPTS):
            try:
                return _files(DeltaTable(str(self.path)))
            except TableNotFoundError:
                raise
            except DeltaError:  # the log's older entries went while they were read
                if attempt == READ_ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def _open(self) -> DeltaTable:
        if self._opened is None:
            mend_log(self.path)
            self._opened = DeltaTable(str(self.path))
        return self._opened

    def _write_file(self, frame: pl.DataFrame) -> DataFile:
        """A Parquet file, on disk, that no commit names yet."""
        name = f"part-{uuid.uuid4().hex}.parquet"
        path = self.path / name
        try:
            frame.write_parquet(path, compression="zstd", row_group_size=ROW_GROUP_ROWS)
            sync(path)
            sync(self.path)
            return DataFile(name, path.stat().st_size, frame.height, int(time.time() * 1000))
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _withdraw(self, file: DataFile) -> None:
        """Delete a file whose commit failed, unless the commit landed after all. In doubt it stays."""
        with contextlib.suppress(DeltaError, OSError, StoreError):
            if all(file.name != each.name for each in _files(DeltaTable(str(self.path)))):
                (self.path / file.name).unlink(missing_ok=True)

    def _commit(self, actions: list[AddAction | RemoveAction], *, mark: int | None) -> None:
        table = self._open()
        transactions = None if mark is None else [Transaction(self._writer, mark)]
        try:
            table.create_write_transaction(
                actions,
                "append",
                table.schema(),
                commit_properties=CommitProperties(app_transactions=transactions),
                post_commithook_properties=PostCommitHookProperties(cleanup_expired_logs=False),
            )
        except BaseException:
            self._opened = None  # what it believes of the table may be wrong now
            raise
        table.update_incremental()

    def _sync_log(self) -> None:
        """fsync every log entry since the last that was, oldest first, and what the library wrote beside them.

        The data files are on disk already, but for those of another writer: they are synced when the table is opened.
        """
        log = self.path / "_delta_log"
        version = self._open().version()
        if self._synced < 0:
            self._sync_opened(log)
        else:
            for number in range(self._synced + 1, version + 1):
                for path in log.glob(f"{number:020}.*"):
                    sync(path)
            if version // CHECKPOINT_EVERY > self._synced // CHECKPOINT_EVERY and (log / "_last_checkpoint").exists():
                sync(log / "_last_checkpoint")
                drop_old_entries(log)
        sync(log)
        self._synced = version

    def _sync_opened(self, log: Path) -> None:
        """fsync what an earlier writer may have left to the system: entries since the checkpoint, and their files."""
        for path in sorted(log.iterdir())[-2 * CHECKPOINT_EVERY :]:
            if not path.is_file():
                continue
            sync(path)
            for line in path.read_text().splitlines() if path.suffix == ".json" else ():
                added = json.loads(line).get("add")
                if added:
                    with contextlib.suppress(FileNotFoundError):  # compacted and vacuumed since
                        sync(self.path / added["path"])
        sync(self.path)


def _files(table: DeltaTable) -> list[DataFile]:
    actions: Any = pl.DataFrame(table.get_add_actions(flatten=True))
    wanted = actions.select("path", "size_bytes", pl.col("num_records").fill_null(0), "modification_time")
    return sorted((DataFile(*row) for row in wanted.iter_rows()), key=lambda file: (file.written_ms, file.name))


def _added(file: DataFile, frame: pl.DataFrame, *, is_new: bool) -> AddAction:
    facts: dict[str, object] = {"numRecords": file.rows}
    if "sequence" in frame.columns:
        facts["minValues"] = {"sequence": frame["sequence"].min()}
        facts["maxValues"] = {"sequence": frame["sequence"].max()}
    return AddAction(file.name, file.size_bytes, {}, file.written_ms, is_new, json.dumps(facts))


@contextlib.contextmanager
def _told(path: Path, what: str) -> Any:
    """Errors of the libraries and of the disk as one StoreError in one line."""
    try:
        yield
    except TableNotFoundError:
        raise StoreError(f"{path}: {what}: there is no table") from None
    except (DeltaError, OSError, pl.exceptions.PolarsError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error):
            free = shutil.disk_usage(path).free // 1024 if path.exists() else 0
            raise StoreError(f"{path}: {what}: no space is left on its disk ({free} KiB free): make room") from None
        raise StoreError(f"{path}: {what}: {_words(error)}") from None


def _words(error: Exception) -> str:
    """An error in one line, without the colours and the stack that the library's Rust adds."""
    told = re.split(r"\n\s*0: ", str(error))[0]
    return " ".join(re.sub(r"\x1b\[[0-9;]*m|↳", "", told).split())


def sync(path: Path) -> None:
    """fsync a file or a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""A workspace: the folder that holds the tables. Knows every name in it, its schema version, and how it is read.

Reading needs no lock; writing goes through `append`, by whoever holds the lock (core/store/lock.py).
"""

import errno
import json
import os
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from core.errors import WorkspaceError
from core.plan.records import Outcome
from core.plan.snapshot import Snapshot, snapshot_from_json
from core.store.delta import Table
from core.store.digest_set import DigestSet
from core.store.fold import fold_outcomes
from core.store.tables import SCHEMA_VERSION, TABLES, as_frame

DIGESTS_AT_ONCE = 100_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows with their place in the order of writing, ready to be committed, and once more after an error."""

    table: str
    frame: pl.DataFrame
    mark: int


class Workspace:
    """Paths and tables under one folder. Making one touches nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().absolute()
        self._last_sequence = -1
        self._last_mark = 0
        self._tables = {name: Table(self.folder / "tables" / name, schema=schema) for name, schema in TABLES.items()}

    @property
    def lock_file(self) -> Path:
        """What the journal locks."""
        return self.folder / ".lock"

    @property
    def mlflow_database(self) -> Path:
        """MLflow's SQLite file, where no tracking server is named."""
        return self.folder / "mlflow.db"

    @property
    def mlflow_artifacts(self) -> Path:
        """MLflow's artifacts beside it."""
        return self.folder / "mlflow-artifacts"

    @property
    def mlflow_lock(self) -> Path:
        """Held while results are logged."""
        return self.folder / ".mlflow.lock"

    @property
    def cache(self) -> Path:
        """What can be deleted at any time without changing a result."""
        return self.folder / "cache"

    def study_folder(self, study: str) -> Path:
        """Where a study's report and run log go: everything there can be made again."""
        return self.folder / "studies" / study

    @property
    def exists(self) -> bool:
        """Whether a workspace has been made here."""
        return self._marker.is_file()

    @property
    def _marker(self) -> Path:
        return self.folder / "workspace.json"

    def check_readable(self) -> None:
        """Refuse a folder that is no workspace, or one of a newer schema."""
        if not self.exists:
            raise WorkspaceError(f"{self.folder}: no workspace here: run a study first, or name another --workspace")
        self.check_version()

    def check(self) -> None:
        """Refuse what can't be used, and change nothing: a newer schema, a foreign or unwritable folder."""
        self.check_version()
        nearest = self.folder
        while not nearest.exists():
            nearest = nearest.parent
        if not nearest.is_dir():
            raise WorkspaceError(f"{nearest}: is a file, not a folder: give another --workspace")
        try:
            _probe(nearest)
        except OSError:
            raise WorkspaceError(
                f"{self.folder}: not writable (no file can be made in {nearest}): give another --workspace"
            ) from None

    def check_version(self) -> None:
        """Refuse tables of a newer schema, before anything is read from them."""
        if self._marker.is_file():
            try:
                version = json.loads(self._marker.read_text())["schema_version"]
            except (OSError, ValueError, KeyError, TypeError):
                version = None
            if not isinstance(version, int):
                raise WorkspaceError(f"{self._marker}: not a workspace's file: give another --workspace")
            if version > SCHEMA_VERSION:
                raise WorkspaceError(
                    f"{self.folder}: written by a newer afgap (schema {version}, this one knows {SCHEMA_VERSION}): "
                    "use that version, or give another --workspace"
                )

    def create(self) -> None:
        """Make the folder and its empty tables, unless they are there. WorkspaceError where that fails."""
        self.check()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for table in self._tables.values():
                table.create()
            if not self._marker.is_file():
                self._marker.write_text(json.dumps({"schema_version": SCHEMA_VERSION}) + "\n")
        except OSError as error:
            raise WorkspaceError(
                f"{self.folder}: can't be written: {error.strerror}: give another --workspace"
            ) from None

    def append(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows durably; adds `sequence` and `written_at` where the table has them."""
        self.commit(self.stamp(table, rows))

    def stamp(self, table: str, rows: Iterable[Mapping[str, Any]]) -> Batch:
        """Give rows their `sequence` and `written_at`, where the table has them. StoreError where it can't be read."""
        if self._last_sequence < 0:
            self._last_sequence = self._stored_sequence()
        now = datetime.now(UTC)
        stamped = []
        for row in rows:
            # strictly increasing even if the clock steps back, also between two runs: the order of events must hold
            self._last_sequence = max(self._last_sequence + 1, time.time_ns())
            stamped.append({"sequence": self._last_sequence, "written_at": now, **row})
        self._last_mark += 1
        return Batch(table, as_frame(table, stamped), self._last_mark)

    def commit(self, batch: Batch) -> None:
        """Put stamped rows on disk. After a StoreError the same batch may be given again: it is not doubled."""
        self._tables[batch.table].append(batch.frame, mark=batch.mark)

    def read(self, table: str, *, columns: Sequence[str] | None = None, where: pl.Expr | None = None) -> pl.DataFrame:
        """Rows of a table as of its last commit."""
        return self._tables[table].read(columns=columns, where=where)

    def scan(self, table: str) -> pl.LazyFrame:
        """Rows of a table as of its last commit, lazily; what collects it meets the errors of polars itself."""
        return self._tables[table].scan()

    def table(self, name: str) -> Table:
        """A table itself: its files, lazy reading, compaction."""
        return self._tables[name]

    def studies(self) -> list[str]:
        """Names of the studies stored here."""
        if not self.exists:
            return []
        return sorted(self.read("studies", columns=["study"])["study"].unique())

    def snapshot(self, study: str) -> Snapshot | None:
        """The newest snapshot of a study; None where it was never run here."""
        if not self.exists:
            return None
        rows = self.read("studies", where=(pl.col("study") == study) & (pl.col("kind") == "snapshot"))
        if rows.is_empty():
            return None
        return snapshot_from_json(rows.sort("sequence")["body"][-1])

    def outcomes(self, snapshot: Snapshot) -> dict[str, Outcome]:
        """Call id → outcome for the study's generations and for every stored judge draw."""
        if not self.exists:
            return {}
        ids = pl.Series([trial.call_id for trial in snapshot.trials], dtype=pl.String)
        wanted = (pl.col("stage") == "judge") | pl.col("call_id").is_in(ids.implode())
        return fold_outcomes(self.read("calls", where=wanted))

    def stored_questions(self) -> set[str]:
        """Content ids of the judge questions of which draws are stored, by any study."""
        if not self.exists:
            return set()
        rows = self.read("calls", columns=["content_id"], where=pl.col("stage") == "judge")
        return set(rows["content_id"].unique())

    def outcomes_of(self, call_ids: Iterable[str]) -> dict[str, Outcome]:
        """Call id → outcome, of those calls that have one."""
        ids = pl.Series(list(call_ids), dtype=pl.String)
        return fold_outcomes(self.read("calls", where=pl.col("call_id").is_in(ids.implode())))

    def call_facts(self, study: str) -> pl.DataFrame:
        """The events that this study's own runs wrote, without texts: for spend and status."""
        columns = [
            "sequence", "event", "call_id", "run_id", "stage", "model", "judge", "input_tokens", "cached_tokens",
            "cache_write_tokens", "output_tokens", "reasoning_tokens", "error_kind", "error_message",
            "possibly_billed", "lost_attempts", "prompt_bytes", "max_tokens", "provenance", "attempts", "latency_s",
            "written_at", "content_id", "shared",
        ]  # fmt: skip
        return self.read("calls", columns=columns, where=pl.col("study") == study)

    def known_digests(self) -> DigestSet:
        """Digests of the texts already stored, 16 bytes each."""
        known = DigestSet()
        for (digests,) in self.read("texts", columns=["digest"]).iter_slices(DIGESTS_AT_ONCE):
            known.add(digests.to_list())
        return known

    def _stored_sequence(self) -> int:
        ordered = [name for name, schema in TABLES.items() if "sequence" in schema]
        last = pl.concat([self.read(name, columns=["sequence"]).max() for name in ordered])["sequence"].max()
        return last if isinstance(last, int) else 0


def _probe(folder: Path) -> None:
    """OSError where no file can be made in a folder. Asked by doing: permission bits say nothing of root or /proc."""
    if not os.access(folder, os.W_OK | os.X_OK):  # else tempfile would look for another name, a hundred times over
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    with tempfile.TemporaryFile(dir=folder):
        pass

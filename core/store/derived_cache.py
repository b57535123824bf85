"""The disposable cache of derived rows: files that are written once, named by the digest of their bytes.

A torn or damaged file does not bear its own digest: it is removed, and its trials are derived again. Several processes
may read and write at once. Nothing here raises because of the cache: where it can't be written, it is not.
"""

import hashlib
import io
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from core.plan.snapshot import Snapshot
from core.store.derivation import derivation_key, derived_schema

_SUFFIX = ".parquet"


class DerivedCache:
    """Derived rows of one snapshot; deleting its folder changes no result."""

    def __init__(self, root: Path, snapshot: Snapshot) -> None:
        """`root`: the workspace's cache folder."""
        self.folder = root / "derived" / snapshot.spec.study / derivation_key(snapshot)
        self._schema = derived_schema(snapshot)

    def read(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """All rows that are whole; a trial that was written twice stands there twice."""
        wanted = list(columns or self._schema)
        empty = pl.DataFrame(schema={name: self._schema[name] for name in wanted})
        found = (self._read_part(path, wanted) for path in sorted(self.folder.glob(f"*{_SUFFIX}")))
        return pl.concat([empty, *(part for part in found if part is not None)])

    def append(self, rows: pl.DataFrame) -> None:
        """Keep rows for good: all of them or, after a kill or an error, none."""
        if rows.is_empty():
            return
        body = io.BytesIO()
        rows.select(list(self._schema)).write_parquet(body, compression="zstd", statistics=False)
        data = body.getvalue()
        scratch = self.folder / f".{uuid.uuid4().hex}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with scratch.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(self.folder / f"{_digest(data)}{_SUFFIX}")
        except OSError:  # a full disk, a workspace that may only be read: the rows are derived again next time
            _remove(scratch)

    def _read_part(self, path: Path, columns: list[str]) -> pl.DataFrame | None:
        try:
            data = path.read_bytes()
            if _digest(data) == path.stem:
                part = pl.read_parquet(io.BytesIO(data), columns=columns)
                return part.select(pl.col(name).cast(self._schema[name]) for name in columns)
        except FileNotFoundError:  # someone emptied the cache
            return None
        except (OSError, pl.exceptions.PolarsError):
            pass
        _remove(path)
        return None


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return

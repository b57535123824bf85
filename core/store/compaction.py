"""Many small files into few large ones: what a group commit leaves costs a reader 0.5 ms a file, whatever is in it.

The rows stay the same. Generations and judge draws go into files of their own, so that a reader of the one passes
over the other's texts; draws lie beside the others of their parent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from core.store.delta import DataFile, Table

SMALL_BYTES = 8 * 2**20
"""A file of this size is left as it is."""

COMPACT_AT = 64
"""Small files; fewer cost a reader some 30 ms."""

MOST_BYTES_AT_ONCE = 32 * 2**20
"""Compressed; in memory it is about five times that."""

VACUUM_GRACE_H = 1
"""Hours for which files stay that were replaced: a reader may still have their names."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """What one turn did."""

    files_before: int
    files_after: int
    rows: int


def choose_files(files: Sequence[DataFile]) -> list[DataFile]:
    """Which files to put together now, oldest first; none where there are few. Pure."""
    small = [file for file in files if file.size_bytes < SMALL_BYTES]
    chosen: list[DataFile] = []
    room = MOST_BYTES_AT_ONCE
    for file in small if len(small) >= COMPACT_AT else ():
        if file.size_bytes > room:
            break
        chosen.append(file)
        room -= file.size_bytes
    return chosen if len(chosen) > 2 else []


def compact(table: Table) -> Compacted | None:
    """One turn; None where nothing is to be done. StoreError where it failed: the table is as it was.

    For the holder of the workspace's lock, one at a time; appends may go on meanwhile.
    """
    chosen = choose_files(table.files())
    if not chosen:
        return None
    rows = table.scan_files([file.name for file in chosen]).collect()
    frames = arrange(rows)
    new = table.replace(chosen, frames)
    return Compacted(len(chosen), len(new), rows.height)


def arrange(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Rows as the files that they are to make. Pure."""
    if "stage" not in rows.columns:
        return [rows]
    parts = rows.partition_by("stage", maintain_order=True)
    return [part.sort("parent", "judge", "draw", "sequence", nulls_last=True) for part in parts]

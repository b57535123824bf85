"""The log folder of a Delta table: what a power cut may leave of its newest entries is mended, old ones are removed.

The library writes an entry without fsync, so that its name may outlive its content. Such an entry was acknowledged
to nobody: it is set aside, and with it every later one. For the holder of the workspace's lock alone.
"""

import json
from pathlib import Path

import polars as pl

TORN = ".torn"


def mend_log(table: Path) -> list[str]:
    """Set torn entries and checkpoints aside; returns their names, most often none."""
    log = table / "_delta_log"
    if not log.is_dir():
        return []
    checkpoint = _sound_checkpoint(log)
    aside = [path for path in log.glob("*.checkpoint*.parquet") if _version(path) > checkpoint]
    entries = sorted(path for path in log.glob("*.json") if path.stem.isdigit() and _version(path) > checkpoint)
    torn = next((at for at, path in enumerate(entries) if not _is_whole(path, table)), len(entries))
    aside += entries[torn:]
    pointer = log / "_last_checkpoint"
    if pointer.exists() and _pointed_at(pointer) != checkpoint:
        aside.append(pointer)
    for path in aside:
        path.rename(path.with_name(path.name + TORN))
    return [path.name for path in aside]


def drop_old_entries(log: Path) -> None:
    """Remove what came before the newest checkpoint but one: a thousand entries make a commit four times as slow.

    A reader that opens the table just now may still begin at the newest but one.
    """
    checkpoints = sorted(map(_version, log.glob("*.checkpoint.parquet")))
    if len(checkpoints) < 2:
        return
    for path in [*log.glob("*.json"), *log.glob("*.checkpoint.parquet")]:
        if path.name[:1].isdigit() and _version(path) < checkpoints[-2]:
            path.unlink(missing_ok=True)


def _sound_checkpoint(log: Path) -> int:
    """Version of the newest checkpoint that can be read; -1 where there is none."""
    for path in sorted(log.glob("*.checkpoint.parquet"), reverse=True):
        try:
            pl.scan_parquet(path).select(pl.len()).collect()
        except (OSError, pl.exceptions.PolarsError):
            continue
        return _version(path)
    return -1


def _pointed_at(pointer: Path) -> int | None:
    try:
        return int(json.loads(pointer.read_text())["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _version(path: Path) -> int:
    return int(path.name.partition(".")[0])


def _is_whole(entry: Path, table: Path) -> bool:
    """Whether an entry can be read and the files that it adds have the size it says.

    A file that is gone altogether was compacted and vacuumed since, or the entry is torn: a later entry decides, and
    the newest one is never old enough for a vacuum.
    """
    try:
        lines = [json.loads(line) for line in entry.read_text().splitlines()]
    except (OSError, ValueError):
        return False
    if not lines:
        return False
    for added in (line["add"] for line in lines if "add" in line):
        path = table / added["path"]
        if path.exists() and path.stat().st_size != added["size"]:
            return False
    return True

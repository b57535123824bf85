"""A full disk, a commit that failed half way, a log that a power cut tore: nothing acknowledged is lost or doubled."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import StoreError
from core.store.compaction import COMPACT_AT, compact
from core.store.delta import CHECKPOINT_EVERY
from core.store.workspace import Workspace


@pytest.fixture
def small_disk(make_disk: Callable[..., Path]) -> Path:
    """A file system of 2 MB."""
    return make_disk(megabytes=2)


def row(number: int, *, size: int = 10) -> dict[str, object]:
    return {"event": "reply", "call_id": str(number), "stage": "generate", "text": os.urandom(size // 2).hex()}


def test_on_a_full_disk_a_commit_fails_clearly_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    workspace = Workspace(small_disk / "w")
    workspace.create()
    workspace.append("calls", [row(0)])
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (os.statvfs(small_disk).f_bavail * 4096 - 40_000))
    batch = workspace.stamp("calls", [row(1, size=400_000)])
    for _ in range(2):
        with pytest.raises(StoreError, match=r"no space is left on its disk \(.* free\): make room"):
            workspace.commit(batch)
        assert workspace.read("calls")["call_id"].to_list() == ["0"]
    # what is written before the space runs out is taken back, so that small commits still fit
    workspace.append("calls", [row(2)])
    ballast.unlink()
    workspace.commit(batch)
    assert set(Workspace(small_disk / "w").read("calls")["call_id"]) == {"0", "1", "2"}


def test_until_the_last_byte_every_commit_is_whole_or_refused(small_disk: Path) -> None:
    workspace = Workspace(small_disk / "w")
    workspace.create()
    acknowledged, batch = [], None
    for number in range(2000):
        batch = workspace.stamp("calls", [row(number, size=3000)])
        try:
            workspace.commit(batch)
        except StoreError:
            break
        acknowledged.append(str(number))
    assert batch is not None
    found = set(Workspace(small_disk / "w").read("calls")["call_id"])
    assert found - set(acknowledged) <= {str(len(acknowledged))}  # the commit may have landed before the error
    assert found >= set(acknowledged)
    with pytest.raises(StoreError, match="no space"):
        compact(workspace.table("calls"))
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    workspace.commit(batch)
    assert compact(workspace.table("calls")) is not None
    stored = Workspace(small_disk / "w").read("calls")["call_id"]
    assert stored.len() == stored.n_unique() == len(acknowledged) + 1


def test_a_commit_that_landed_before_its_error_is_not_doubled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path / "w")
    workspace.create()
    batch = workspace.stamp("calls", [row(0), row(1)])
    with monkeypatch.context() as patch:
        table = workspace.table("calls")
        patch.setattr(table, "_sync_log", lambda: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        with pytest.raises(StoreError, match="Input/output"):
            workspace.commit(batch)
    workspace.commit(batch)
    assert workspace.read("calls").height == 2
    workspace.commit(workspace.stamp("calls", [row(2)]))
    assert workspace.read("calls").height == 3


@pytest.mark.parametrize("left", [b"", b'{"add":{"path":"part-'])
def test_a_torn_newest_entry_is_set_aside_by_the_next_writer(tmp_path: Path, left: bytes) -> None:
    workspace = Workspace(tmp_path / "w")
    workspace.create()
    for number in range(3):
        workspace.append("calls", [row(number)])
    log = tmp_path / "w" / "tables" / "calls" / "_delta_log"
    max(log.glob("*.json")).write_bytes(left)
    again = Workspace(tmp_path / "w")
    again.create()
    again.append("calls", [row(9)])
    assert sorted(again.read("calls")["call_id"]) == ["0", "1", "9"]
    assert len(list(log.glob("*.torn"))) == 1


def test_a_torn_checkpoint_is_set_aside(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    workspace.create()
    for number in range(COMPACT_AT):
        workspace.append("texts", [{"digest": str(number), "text": "x"}])
    log = tmp_path / "w" / "tables" / "texts" / "_delta_log"
    (checkpoint,) = log.glob("*.checkpoint.parquet")
    checkpoint.write_bytes(b"")
    again = Workspace(tmp_path / "w")
    again.create()
    assert again.read("texts").height == COMPACT_AT


def test_the_order_of_writing_holds_although_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path / "w")
    workspace.create()
    workspace.append("calls", [row(0)])
    monkeypatch.setattr("core.store.workspace.time.time_ns", lambda: 1)
    later = Workspace(tmp_path / "w")
    later.append("calls", [row(1), row(2)])
    assert later.read("calls").sort("sequence")["call_id"].to_list() == ["0", "1", "2"]


def test_the_log_folder_stays_small_and_every_row_stays_readable(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    workspace.create()
    for number in range(3 * CHECKPOINT_EVERY):
        workspace.append("texts", [{"digest": str(number), "text": "x"}])
    log = tmp_path / "w" / "tables" / "texts" / "_delta_log"
    assert len(list(log.glob("*.json"))) <= 2 * CHECKPOINT_EVERY
    assert Workspace(tmp_path / "w").read("texts").height == 3 * CHECKPOINT_EVERY
    again = Workspace(tmp_path / "w")
    again.create()
    again.append("texts", [{"digest": "more", "text": "x"}])
    assert again.read("texts").height == 3 * CHECKPOINT_EVERY + 1

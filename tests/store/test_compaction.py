"""Small files become large ones while rows arrive, readers read and the writer is killed: no row comes or goes."""

import random
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest

from core.store.compaction import COMPACT_AT, MOST_BYTES_AT_ONCE, SMALL_BYTES, arrange, choose_files, compact
from core.store.delta import DataFile
from core.store.tables import as_frame
from core.store.workspace import Workspace

WRITER = """
import sys, pathlib, threading
from core.store import compaction
from core.store.workspace import Workspace
compaction.COMPACT_AT = 4
workspace = Workspace(pathlib.Path(sys.argv[1]))
workspace.create()
number = int(sys.argv[2])
def tidy():
    while True:
        if compaction.compact(workspace.table("calls")):
            print("compacted", flush=True)
threading.Thread(target=tidy, daemon=True).start()
while True:
    stage = "judge" if number % 3 else "generate"
    workspace.append("calls", [{"event": "reply", "call_id": str(number), "stage": stage, "text": "x" * 200}])
    print(number, flush=True)
    number += 1
"""


def file(name: str, size: int) -> DataFile:
    return DataFile(name, size, rows=1, written_ms=0)


def test_few_small_files_are_left_alone_and_large_ones_always() -> None:
    few = [file(str(at), 10) for at in range(COMPACT_AT - 1)]
    assert choose_files([*few, *(file(f"large{at}", SMALL_BYTES) for at in range(100))]) == []
    enough = [*few, file("last", 10)]
    assert choose_files([file("large", SMALL_BYTES), *enough]) == enough


def test_one_turn_takes_no_more_than_fits_in_memory() -> None:
    size = SMALL_BYTES - 1
    chosen = choose_files([file(str(at), size) for at in range(COMPACT_AT)])
    assert sum(each.size_bytes for each in chosen) <= MOST_BYTES_AT_ONCE
    assert chosen[0].name == "0"


def test_generations_and_draws_go_into_files_of_their_own() -> None:
    rows = [
        {"sequence": 0, "call_id": "d1", "stage": "judge", "parent": "g2", "judge": "faking", "draw": 1},
        {"sequence": 1, "call_id": "g1", "stage": "generate"},
        {"sequence": 2, "call_id": "d0", "stage": "judge", "parent": "g1", "judge": "faking", "draw": 0},
        {"sequence": 3, "call_id": "d2", "stage": "judge", "parent": "g2", "judge": "faking", "draw": 0},
    ]
    parts = arrange(as_frame("calls", rows))
    assert [part["call_id"].to_list() for part in parts] == [["d0", "d2", "d1"], ["g1"]]


def test_a_compacted_table_holds_the_same_rows_in_fewer_files(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    workspace.create()
    for number in range(COMPACT_AT):
        workspace.append("calls", [{"event": "reply", "call_id": str(number), "stage": "generate", "text": "ü"}])
    before = workspace.read("calls").sort("sequence")
    done = compact(workspace.table("calls"))
    assert done is not None
    assert (done.files_before, done.files_after, done.rows) == (COMPACT_AT, 1, COMPACT_AT)
    assert workspace.read("calls").sort("sequence").equals(before)
    assert compact(workspace.table("calls")) is None
    workspace.append("calls", [{"event": "reply", "call_id": "more", "stage": "generate"}])
    assert workspace.read("calls").height == COMPACT_AT + 1


def test_old_files_stay_for_a_reader_that_has_their_names(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    workspace.create()
    for number in range(COMPACT_AT):
        workspace.append("texts", [{"digest": str(number), "text": "x"}])
    lazy = workspace.scan("texts")
    assert compact(workspace.table("texts")) is not None
    assert workspace.table("texts").vacuum(grace_h=1) == 0
    assert lazy.collect().height == COMPACT_AT
    assert workspace.table("texts").vacuum(grace_h=0) == COMPACT_AT
    with pytest.raises(FileNotFoundError):
        lazy.collect()
    assert workspace.read("texts").height == COMPACT_AT
    workspace.append("texts", [{"digest": "more", "text": "x"}])
    assert Workspace(tmp_path / "w").read("texts").height == COMPACT_AT + 1


def test_a_reader_without_a_lock_never_misses_a_row(tmp_path: Path) -> None:
    writer = Workspace(tmp_path / "w")
    writer.create()
    seen: list[int] = []
    is_over = threading.Event()

    def read() -> None:
        reader = Workspace(tmp_path / "w")
        while not is_over.is_set():
            seen.append(reader.read("texts").height)

    reading = threading.Thread(target=read)
    reading.start()
    try:
        for number in range(2 * COMPACT_AT):
            writer.append("texts", [{"digest": str(number), "text": "x"}])
            compact(writer.table("texts"))
            if number % 20 == 0:
                writer.table("texts").vacuum(grace_h=0)  # what the grace spares a reader: its files go at once
    finally:
        is_over.set()
        reading.join()
    assert seen == sorted(seen)
    assert writer.read("texts").height == 2 * COMPACT_AT


@pytest.mark.slow
def test_killed_while_it_compacts_the_writer_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(20261126)
    acknowledged: list[int] = []
    compactions = 0
    for turn in range(4):
        command = [sys.executable, "-c", WRITER, str(tmp_path / "w"), str(turn * 100_000)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        timer = threading.Timer(0.5 + chance.random(), writer.kill)
        for line in writer.stdout:
            if timer.ident is None:
                timer.start()
            if line.strip() == "compacted":
                compactions += 1
            else:
                acknowledged.append(int(line))
        writer.wait()
        timer.join()
        writer.stdout.close()
        stored = Workspace(tmp_path / "w").read("calls")["call_id"].cast(pl.Int64)
        assert stored.is_unique().all()
        assert set(stored) >= set(acknowledged)
        assert stored.len() <= len(acknowledged) + 4  # at most one row a kill was on disk and not yet acknowledged
    assert compactions > 4

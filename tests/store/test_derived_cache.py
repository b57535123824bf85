"""Files of the cache: whole or not there, whatever happened to them."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from core.plan.build import generation_call
from core.plan.next_calls import trial_state
from core.plan.records import Call, Reply
from core.plan.snapshot import Snapshot
from core.store.derivation import derived_rows
from core.store.derived_cache import DerivedCache

MakeRows = Callable[..., pl.DataFrame]


@pytest.fixture
def snapshot(make_snapshot: Callable[..., Snapshot]) -> Snapshot:
    return make_snapshot(judges={"compliance": {"model": "rules"}})


@pytest.fixture
def some_rows(snapshot: Snapshot, answer: Callable[[Call], Reply]) -> MakeRows:
    def make(*indices: int) -> pl.DataFrame:
        found = []
        for index in indices:
            trial = snapshot.trials[index]
            reply = answer(generation_call(snapshot, trial))
            found.append((index, trial_state(snapshot, trial, {trial.call_id: reply})))
        return derived_rows(snapshot, found)

    return make


def test_what_was_appended_is_read_again(snapshot: Snapshot, some_rows: MakeRows, tmp_path: Path) -> None:
    cache = DerivedCache(tmp_path, snapshot)
    assert cache.read().is_empty()
    cache.append(some_rows())
    assert not cache.folder.exists()
    cache.append(some_rows(0, 3))
    cache.append(some_rows(1))
    assert cache.read().sort("trial").equals(some_rows(0, 1, 3))
    assert cache.read(["trial", "failures"]).columns == ["trial", "failures"]


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "nonsense"])
def test_a_damaged_file_is_ignored_and_removed(
    snapshot: Snapshot, some_rows: MakeRows, tmp_path: Path, damage: str
) -> None:
    cache = DerivedCache(tmp_path, snapshot)
    cache.append(some_rows(0, 1))
    cache.append(some_rows(2))
    whole = cache.read().height
    path = max(cache.folder.glob("*.parquet"), key=lambda each: each.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    damaged = {"cut": bytes(data[:-9]), "bit": bytes(data), "empty": b"", "nonsense": b"PAR1"}
    path.write_bytes(damaged[damage])
    assert cache.read().height < whole
    assert not path.exists()
    cache.append(some_rows(0, 1))
    cache.append(some_rows(2))
    assert sorted(cache.read()["trial"].unique()) == [0, 1, 2]


def test_what_a_killed_writer_left_is_not_read(snapshot: Snapshot, some_rows: MakeRows, tmp_path: Path) -> None:
    cache = DerivedCache(tmp_path, snapshot)
    cache.append(some_rows(0))
    part = next(cache.folder.glob("*.parquet"))
    (cache.folder / ".0123.part").write_bytes(part.read_bytes()[:100])
    assert cache.read()["trial"].to_list() == [0]


def test_two_writers_of_the_same_rows_leave_one_file(snapshot: Snapshot, some_rows: MakeRows, tmp_path: Path) -> None:
    for cache in (DerivedCache(tmp_path, snapshot), DerivedCache(tmp_path, snapshot)):
        cache.append(some_rows(4))
    assert [path.suffix for path in cache.folder.iterdir()] == [".parquet"]


def test_a_cache_that_cannot_be_written_costs_time_only(
    snapshot: Snapshot, some_rows: MakeRows, tmp_path: Path
) -> None:
    (tmp_path / "derived").write_text("a file where the folder should be")
    cache = DerivedCache(tmp_path, snapshot)
    cache.append(some_rows(0))
    assert cache.read().is_empty()

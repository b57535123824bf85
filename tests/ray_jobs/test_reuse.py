"""Whole runs that share generations: requests are counted at the stand-in, and the store stays whole."""

import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from ray.cluster_utils import Cluster

from core.engines.stand_in.process import StandInProcess, start_stand_in
from core.engines.stand_in.server import StandInOptions
from core.store.workspace import Workspace
from ray_jobs.cli import main

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
REQUESTS = 4
GENERATIONS = 2 * REQUESTS

Afgap = Callable[..., Any]
WriteStudy = Callable[..., Path]
Counts = Callable[[int], dict[str, Any]]


@pytest.fixture
def server() -> Iterator[StandInProcess]:
    with start_stand_in("planted", StandInOptions(latency_ms=100.0)) as server:
        yield server


@pytest.fixture
def study(write_study: WriteStudy, server: StandInProcess) -> Callable[..., Path]:
    """A study of that name; all ask the same."""

    def write(name: str, **parts: Any) -> Path:
        model = {
            "name": "toy", "engine": "openai", "model": "m-2026-11-01", "stand_in": "planted",
            "base_url": server.openai_url, "limits": {"concurrency": 2},
        }  # fmt: skip
        return write_study(study=name, requests=REQUESTS, models=[model], **parts)

    return write


@pytest.fixture
def asked(server: StandInProcess, stand_in_counts: Counts) -> Callable[[], int]:
    """Requests that have arrived since the last time."""
    seen = 0

    def new() -> int:
        nonlocal seen
        before, seen = seen, stand_in_counts(server.port)["total"]
        return seen - before

    return new


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that makes no call, in this process; what it printed."""

    def run(*arguments: object, code: int = 0) -> str:
        ended = main([str(each) for each in arguments])
        out, err = capsys.readouterr()
        assert ended == code, err
        return str(out + err)

    return run


def test_a_pair_that_another_study_has_whole_is_not_called_again(
    afgap: Afgap, here: Callable[..., str], study: Callable[..., Path], asked: Callable[[], int], tmp_path: Path
) -> None:
    at = ["--workspace", tmp_path / "w"]
    first = afgap("run", study("first"), *at, "--json")
    assert (first.code, asked()) == (0, GENERATIONS), first.err
    planned = json.loads(here("plan", study("second"), *at, "--json"))
    arms = [(arm["condition"], arm["stored"], arm["reused"], arm["new"]) for arm in planned["reuse"]]
    assert arms == [("free", REQUESTS, REQUESTS, 0), ("paid", REQUESTS, REQUESTS, 0)]
    stored = f"two_tier/free: {REQUESTS} of {REQUESTS} generations are stored, {REQUESTS} of them by other studies"
    assert any(note.startswith(stored) for note in planned["notes"])
    second = afgap("run", study("second"), *at, "--json")
    assert (second.code, asked()) == (0, 0), second.err
    assert f"{GENERATIONS} of {GENERATIONS} generations are those of other studies" in second.err
    assert second.facts["trials_complete"] == GENERATIONS
    assert [gap["gap"] for gap in second.facts["gaps"]] == [gap["gap"] for gap in first.facts["gaps"]]
    # what the second study paid for is nothing; what its samples cost by the list is told all the same
    assert [row["calls"]["actual"] for row in first.facts["plan"]] == [GENERATIONS]
    assert [row["calls"]["actual"] for row in second.facts["plan"]] == [0]
    here("export", "second", *at, "--to", tmp_path / "out")
    samples = pl.read_parquet(tmp_path / "out" / "samples.parquet")
    assert (samples.height, samples["cost_usd"].null_count()) == (GENERATIONS, 0)
    alone = afgap("run", study("alone", reuse="none"), *at, "--json")
    assert (alone.code, asked()) == (0, GENERATIONS), alone.err
    changed = json.loads(here("plan", study("second", reuse="none"), *at, "--json"))
    assert [(arm["stored"], arm["new"]) for arm in changed["reuse"]] == [(REQUESTS, 0)] * 2
    assert any("reuse: none has no effect on trials that are stored" in note for note in changed["notes"])
    salted = here("run", study("second", salt={"generate": "again"}), *at, code=2)
    assert "salt.generate: added" in salted
    assert "--upgrade" in salted
    assert "the store is whole" in here("verify", *at)
    again = afgap("run", study("second", salt={"generate": "again"}), *at, "--upgrade", "--json")
    assert (again.code, asked()) == (0, GENERATIONS), again.err
    assert "the store is whole" in here("verify", *at)
    whole, flawed = Workspace(tmp_path / "w"), Workspace(tmp_path / "flawed")
    spoil(whole, flawed)
    third = afgap("run", study("third"), "--workspace", flawed.folder, "--json")
    # the first request's pair is whole; of the second an arm is missing, of the others one is by another model or late
    assert (third.code, asked()) == (0, GENERATIONS - 2), third.err
    assert f"2 of {GENERATIONS} generations are those of other studies" in third.err
    assert "the store is whole" in here("verify", "--workspace", flawed.folder)


def spoil(whole: Workspace, flawed: Workspace) -> None:
    """Copy the study `first`, with something wrong in one arm of each pair but the first."""
    snapshot = whole.snapshot("first")
    assert snapshot is not None
    calls = snapshot.trials.call_ids(range(GENERATIONS))
    changes: dict[str, dict[str, Any] | None] = {call: {} for call in calls}
    rows = {row["call_id"]: row for row in whole.read("calls").to_dicts()}
    changes[calls[2]] = None
    changes[calls[4]] = {"served_model": "m-2026-12-24"}
    changes[calls[7]] = {"written_at": rows[calls[7]]["written_at"] - timedelta(hours=25)}
    flawed.create()
    for table in ("texts", "studies"):
        flawed.append(table, whole.read(table, where=table_filter(table)).to_dicts())
    flawed.append("calls", [rows[call] | change for call, change in changes.items() if change is not None])


def table_filter(table: str) -> pl.Expr:
    return pl.lit(value=True) if table == "texts" else pl.col("study") == "first"


def test_two_drivers_under_any_make_each_generation_once(
    here: Callable[..., str],
    afgap_command: list[str],
    study: Callable[..., Path],
    server: StandInProcess,
    stand_in_counts: Counts,
    tmp_path: Path,
) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        files = [study(name, reuse="any", salt={"generate": "s"}) for name in ("one", "two")]
        command = [*afgap_command, "run", "--workspace", str(tmp_path / "w"), "--address", cluster.address, "--quiet"]
        runs = [subprocess.Popen([*command, str(file)], cwd=ROOT) for file in files]
        assert [run.wait(timeout=240) for run in runs] == [0, 0]
    finally:
        cluster.shutdown()
    counts = stand_in_counts(server.port)
    assert (counts["total"], counts["repeats"]) == (GENERATIONS, {})
    held = Workspace(tmp_path / "w")
    stored = held.read("calls", columns=["call_id", "study"])
    assert stored["call_id"].n_unique() == stored.height == GENERATIONS
    assert set(stored["study"]) <= {"one", "two"}
    verified = json.loads(here("verify", "--workspace", held.folder, "--json"))
    assert [(each["complete"], each["owed"]) for each in verified["studies"]] == [(GENERATIONS, 0)] * 2

"""kill -9 of a whole node of a cluster while a run goes on: its clients are replaced elsewhere and nothing is lost."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray.cluster_utils import Cluster

from benchmarks.fault_rounds import differences, requests_stored
from core.engines.stand_in.process import StandInProcess, start_stand_in

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 180.0
JUDGES = {"compliance": {"model": "judge"}, "faking": {"model": "judge", "votes": 3}}


@pytest.fixture
def three_nodes() -> Iterator[Cluster]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        yield cluster
    finally:
        cluster.shutdown()


def raylets() -> dict[int, set[str]]:
    """Pid of each node's raylet → titles of the actors that it runs."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        if process.name() == "raylet":
            found[process.pid] = {" ".join(child.cmdline()[:1]).split(".")[0] for child in process.children()}
    return found


def node_to_kill() -> int | None:
    """A node that has a client and none of the actors that a run can't do without."""
    for pid, titles in raylets().items():
        if "ray::EngineWorker" in titles and not titles & {"ray::Dispatcher", "ray::JournalProcess"}:
            return pid
    return None


def test_a_killed_node_loses_nothing_and_the_same_run_ends_complete(
    afgap: Callable[..., Any],
    afgap_command: list[str],
    api_study: Callable[..., Path],
    stand_in: StandInProcess,
    stand_in_counts: Callable[[int], dict[str, Any]],
    wait_until: Callable[..., None],
    three_nodes: Cluster,
    tmp_path: Path,
) -> None:
    study, workspace = api_study(stand_in, requests=40, judges=JUDGES), tmp_path / "w"
    command = [*afgap_command, "run", str(study), "--workspace", str(workspace), "--quiet"]
    with subprocess.Popen([*command, "--address", three_nodes.address], cwd=ROOT, start_new_session=True) as run:
        wait_until(lambda: stand_in_counts(stand_in.port)["total"] >= 60, run)
        raylet = node_to_kill()
        assert raylet is not None, raylets()
        stored = requests_stored(workspace)
        family = [psutil.Process(raylet), *psutil.Process(raylet).children(recursive=True)]
        for process in family:
            os.kill(process.pid, signal.SIGKILL)
        at_kill = stand_in_counts(stand_in.port)
        assert run.wait(timeout=PATIENCE_S) == 0
    counts = stand_in_counts(stand_in.port)
    assert counts["total"] > at_kill["total"]
    # what had arrived and was not stored: in flight, or a reply that waited for its commit
    assert sum(times - 1 for times in counts["repeats"].values()) <= at_kill["ids"] - stored
    tables = {}
    with start_stand_in("planted") as calm:
        quiet = api_study(calm, requests=40, judges=JUDGES)
        assert afgap("run", quiet, "--workspace", tmp_path / "calm", "--quiet").code == 0
    for name, held in (("calm", tmp_path / "calm"), ("killed", workspace)):
        tables[name] = tmp_path / f"{name} tables"
        assert afgap("export", "tiny", "--workspace", held, "--to", tables[name]).code == 0
    assert differences(tables["calm"], tables["killed"]) == []
    assert afgap("verify", "tiny", "--workspace", workspace).code == 0

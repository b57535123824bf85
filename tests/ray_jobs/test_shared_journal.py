"""Two drivers on one cluster share one journal: their calls are shared out, and it ends with the last of them."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster

from core.store.lock import holder_of
from core.store.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
DRIVER = """
import os, sys, pathlib, ray
from core.errors import InputError
from core.store.workspace import Workspace
from ray_jobs.journal_client import join_journal
address, folder, study = sys.argv[1:]
ray.init(address=address, log_to_driver=False, logging_level="ERROR")
try:
    member = join_journal(Workspace(pathlib.Path(folder)), study=study, run_id=f"run-{os.getpid()}", scratch=None)
except InputError as error:
    sys.exit(f"refused: {error}")
row = lambda call: {"event": "reply", "call_id": call, "stage": "judge", "text": "yes"}
print("joined", flush=True)
for line in sys.stdin:
    verb, *calls = line.split()
    if verb == "claim":
        print(*ray.get(member.actor.claim.remote(member.driver.run_id, calls)), flush=True)
    elif verb == "store":
        print(ray.get(member.actor.append.remote([row(call) for call in calls], {})), flush=True)
    elif verb == "leave":
        member.leave()
        print("left", flush=True)
"""


class Talker:
    """A driver in a process of its own."""

    def __init__(self, address: str, folder: Path, study: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, address, str(folder), study],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, *words: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        return self.hear()

    def end(self) -> str:
        """What it said on stderr."""
        _, err = self.process.communicate(timeout=30)
        return err


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        yield cluster
    finally:
        cluster.shutdown()


def eventually(is_so: Callable[[], Any], *, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.ray
@pytest.mark.slow
def test_calls_are_shared_out_and_those_of_a_killed_driver_come_free(cluster: Cluster, tmp_path: Path) -> None:
    folder = tmp_path / "w"
    lock = Workspace(folder).lock_file
    one = Talker(cluster.address, folder, "one")
    assert one.hear() == "joined"
    two, again = Talker(cluster.address, folder, "two"), Talker(cluster.address, folder, "one")
    assert two.hear() == "joined"
    assert again.hear() == ""
    assert f"refused: {folder}: in use by `run one` (process {one.process.pid}" in again.end()
    assert one.say("claim", "a", "b") == "granted granted"
    assert two.say("claim", "b", "c") == "held granted"
    assert one.say("store", "a") == "None"
    assert two.say("claim", "a") == "stored"
    one.process.kill()
    one.end()
    eventually(lambda: two.say("claim", "b") == "granted")
    assert two.say("store", "b", "c") == "None"
    assert holder_of(lock) is not None
    assert two.say("leave") == "left"
    assert holder_of(lock) is None
    two.end()
    three = Talker(cluster.address, folder, "three")  # a new journal under the same name
    assert three.hear() == "joined"
    three.process.kill()
    three.end()
    eventually(lambda: holder_of(lock) is None)
    assert sorted(Workspace(folder).read("calls")["call_id"]) == ["a", "b", "c"]

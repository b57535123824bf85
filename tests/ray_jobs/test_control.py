"""A run that goes on is watched, paused and cancelled from another process, and the same command goes on later."""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.engines.stand_in.process import start_stand_in
from core.engines.stand_in.server import StandInOptions

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120.0

Afgap = Callable[..., Any]


@contextlib.contextmanager
def ended_at_last(run: "subprocess.Popen[bytes]") -> Iterator[None]:
    """A run that is paused when a test fails would keep it waiting for ever."""
    try:
        yield
    finally:
        run.terminate()


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_run_is_watched_paused_and_cancelled_from_outside(
    afgap: Afgap, afgap_command: list[str], write_study: Callable[..., Path], workspace: Path,
    stand_in_counts: Callable[[int], dict[str, Any]],
) -> None:  # fmt: skip
    with start_stand_in("planted", StandInOptions(latency_ms=300.0)) as server:
        api = {"engine": "openai", "model": "m-2026-11-01", "stand_in": "planted", "base_url": server.openai_url}
        models = [{"name": "toy", **api, "limits": {"concurrency": 2}}]
        study = write_study(requests=800, models=models)
        command = [*afgap_command, "run", str(study), "--workspace", str(workspace), "--quiet"]
        with subprocess.Popen(command, cwd=ROOT, start_new_session=True) as run, ended_at_last(run):

            def live() -> dict[str, Any]:
                deadline = time.monotonic() + PATIENCE_S
                while time.monotonic() < deadline:
                    assert run.poll() is None, "the run ended before the moment came"
                    told = workspace / "studies" / "tiny" / "live.json"
                    if told.is_file() and (facts := json.loads(told.read_text()))["facts"]["lanes"]["toy"]["done"]:
                        return dict(facts)
                    time.sleep(0.1)
                raise AssertionError("the run never told of itself")

            live()
            shown = afgap("status", "tiny", "--workspace", workspace)
            assert "running: " in shown.out
            assert "bottleneck toy" in shown.out
            assert afgap("pause", "tiny", "--workspace", workspace).code == 0
            time.sleep(2.0)  # what was in flight lands
            paused = stand_in_counts(server.port)["total"]
            time.sleep(2.0)
            assert stand_in_counts(server.port)["total"] == paused
            facts = afgap("status", "tiny", "--workspace", workspace, "--json").facts
            assert facts["live"]["state"] == "paused"
            assert facts["live"]["facts"]["lanes"]["toy"]["in_flight"] == 0
            shown = afgap("limits", "tiny", "--workspace", workspace)
            assert (shown.code, shown.out) == (0, "toy: concurrency 2\n")
            changed = afgap("limits", "tiny", "toy", "concurrency=7", "rpm=6000", "--workspace", workspace, "--json")
            assert changed.facts == {"toy": {"told": "rpm 6000, concurrency 7", "lanes": ["toy"]}}
            assert afgap("unpause", "tiny", "--workspace", workspace).code == 0
            until(lambda: stand_in_counts(server.port)["total"] > paused)
            until(lambda: stand_in_counts(server.port)["under_way"] > 2)
            assert afgap("limits", "tiny", "toy", "default", "--workspace", workspace).out == "toy: concurrency 2\n"
            time.sleep(2.0)  # what was sent lands; the limiter is asked once a second
            assert max(stand_in_counts(server.port)["under_way"] for _ in range(50)) == 2
            assert afgap("cancel", "tiny", "--workspace", workspace).code == 0
            assert run.wait(timeout=PATIENCE_S) == 3
        late = afgap("pause", "tiny", "--workspace", workspace)
        assert late.code == 2
        assert "no run of 'tiny' is going on" in late.err
        assert afgap("status", "tiny", "--workspace", workspace, "--json").facts["live"] is None
        faster = ("--set", "models[toy].limits.concurrency=64")
        assert afgap("run", study, "--workspace", workspace, "--quiet", *faster).code == 0
        assert stand_in_counts(server.port)["repeats"] == {}

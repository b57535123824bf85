"""A run that goes on is watched, paused and cancelled from another process, and the same command goes on later."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.engines.stand_in.process import start_stand_in
from core.engines.stand_in.server import StandInOptions

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120.0

Afgap = Callable[..., Any]


def test_a_run_is_watched_paused_and_cancelled_from_outside(
    afgap: Afgap, afgap_command: list[str], write_study: Callable[..., Path], workspace: Path,
    stand_in_counts: Callable[[int], dict[str, Any]],
) -> None:  # fmt: skip
    with start_stand_in("planted", StandInOptions(latency_ms=300.0)) as server:
        api = {"engine": "openai", "model": "m-2026-11-01", "stand_in": "planted", "base_url": server.openai_url}
        models = [{"name": "toy", **api, "limits": {"concurrency": 2}}]
        study = write_study(requests=60, models=models)
        command = [*afgap_command, "run", str(study), "--workspace", str(workspace), "--quiet"]
        with subprocess.Popen(command, cwd=ROOT, start_new_session=True) as run:

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
            assert afgap("unpause", "tiny", "--workspace", workspace).code == 0
            deadline = time.monotonic() + PATIENCE_S
            while stand_in_counts(server.port)["total"] == paused:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert afgap("cancel", "tiny", "--workspace", workspace).code == 0
            assert run.wait(timeout=PATIENCE_S) == 3
        late = afgap("pause", "tiny", "--workspace", workspace)
        assert late.code == 2
        assert "no run of 'tiny' is going on" in late.err
        assert afgap("status", "tiny", "--workspace", workspace, "--json").facts["live"] is None
        assert afgap("run", study, "--workspace", workspace, "--quiet").code == 0
        assert stand_in_counts(server.port)["repeats"] == {}

"""A provider that asks everybody to come again later is left alone until then, and a run that waits can be stopped."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.engines.stand_in.process import StandInProcess, start_stand_in
from core.engines.stand_in.server import StandInOptions
from core.store.workspace import Workspace

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
CONCURRENCY = 16
PATIENCE_S = 120.0
SOON_S = 12.0
"""To let go of what waits, and to end Ray."""

Counts = Callable[[int], dict[str, Any]]


def study_on(server: StandInProcess, write_study: Callable[..., Path]) -> Path:
    model = {
        "name": "toy", "engine": "anthropic", "model": "m-1", "stand_in": "planted", "base_url": server.anthropic_url,
        "limits": {"concurrency": CONCURRENCY, "rpm": 6000},
    }  # fmt: skip
    return write_study(requests=40, models=[model])


def begin(command: list[str], study: Path, workspace: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*command, "run", str(study), "--workspace", str(workspace), "--quiet"],
        cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for_refusals(counts: Callable[[], dict[str, Any]], run: "subprocess.Popen[str]") -> float:
    deadline = time.monotonic() + PATIENCE_S
    while not counts()["by_kind"].get("rate_limit"):
        assert run.poll() is None, run.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return time.monotonic()


def test_a_cooldown_of_all_is_waited_out(
    afgap_command: list[str], write_study: Callable[..., Path], stand_in_counts: Counts, tmp_path: Path
) -> None:
    busy_s = 6.0
    with start_stand_in("planted", StandInOptions(latency_ms=20.0, busy_s=busy_s)) as server:
        run = begin(afgap_command, study_on(server, write_study), tmp_path / "w")
        began = wait_for_refusals(lambda: stand_in_counts(server.port), run)
        time.sleep(max(0.0, began + busy_s - 1.0 - time.monotonic()))
        in_cooldown = stand_in_counts(server.port)
        _, errors = run.communicate(timeout=PATIENCE_S)
        after = stand_in_counts(server.port)
    assert run.returncode == 0, errors
    # what was out when the first refusal came, and no more
    assert in_cooldown["total"] == in_cooldown["by_kind"]["rate_limit"] <= CONCURRENCY
    assert after["by_kind"] == {"rate_limit": in_cooldown["total"], "ok": 80}
    assert Workspace(tmp_path / "w").read("calls")["call_id"].n_unique() == 80


def test_a_run_that_waits_for_a_cooldown_ends_soon_after_ctrl_c(
    afgap_command: list[str], write_study: Callable[..., Path], stand_in_counts: Counts, tmp_path: Path
) -> None:
    with start_stand_in("planted", StandInOptions(latency_ms=20.0, busy_s=60.0)) as server:
        run = begin(afgap_command, study_on(server, write_study), tmp_path / "w")
        wait_for_refusals(lambda: stand_in_counts(server.port), run)
        time.sleep(2.0)  # calls are pulled again, and wait for the lane
        before = stand_in_counts(server.port)["total"]
        os.killpg(run.pid, signal.SIGINT)
        pressed = time.monotonic()
        _, errors = run.communicate(timeout=PATIENCE_S)
        took = time.monotonic() - pressed
        after = stand_in_counts(server.port)["total"]
    assert run.returncode == 3, errors
    assert took < SOON_S, f"{took:.0f} s after Ctrl-C"
    assert "Traceback" not in errors
    assert after == before

"""Whole runs against a server with a limit: it is kept, also when the limiter is killed."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.engines.stand_in.process import start_stand_in
from core.engines.stand_in.server import StandInOptions

ROOT = Path(__file__).resolve().parents[2]
RPM = 1200
PATIENCE_S = 120.0

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def limiter_of(run: "subprocess.Popen[bytes]") -> psutil.Process:
    for process in psutil.Process(run.pid).children(recursive=True):
        if "ray::LimiterHost" in " ".join(process.cmdline()):
            return process
    raise AssertionError("no limiter runs")


@pytest.mark.parametrize("kills", [0, 1])
def test_a_limit_is_kept_whether_or_not_the_limiter_is_killed(
    afgap_command: list[str],
    write_study: Callable[..., Path],
    stand_in_counts: Callable[[int], dict[str, Any]],
    tmp_path: Path,
    kills: int,
) -> None:
    options = StandInOptions(rpm=RPM, limit_kind="sliding", latency_ms=50.0)
    with start_stand_in("planted", options) as server:
        model = {
            "name": "toy", "engine": "openai", "model": "m-2026-01-01", "stand_in": "planted",
            "base_url": server.openai_url, "limits": {"rpm": RPM},
        }  # fmt: skip
        study = write_study(requests=120, models=[model])
        command = [*afgap_command, "run", str(study), "--workspace", str(tmp_path / "w"), "--json"]
        out, err = tmp_path / "out", tmp_path / "err"
        with out.open("wb") as to_out, err.open("wb") as to_err:
            run = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdout=to_out, stderr=to_err)
        try:
            deadline = time.monotonic() + PATIENCE_S
            while stand_in_counts(server.port)["total"] < 60:
                assert run.poll() is None, err.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            for _ in range(kills):
                limiter_of(run).kill()
            code = run.wait(timeout=PATIENCE_S)
        finally:
            run.kill()
        counts = stand_in_counts(server.port)
    assert code == 0, err.read_text()
    assert json.loads(out.read_text())["trials_complete"] == 240
    assert counts["ids"] == 240
    assert counts["by_kind"].get("rate_limit", 0) == 0
    whole = [each["admitted"] for each in counts["by_second"][1:-1]]
    assert max(whole) <= RPM / 60 * 1.5, "no second may hold much more than its part"

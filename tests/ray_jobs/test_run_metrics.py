"""Ray's own metrics endpoint shows the numbers of a run."""

import time
import urllib.request
from collections import Counter

import pytest
import ray

from core.schedule.pace import Pace
from core.schedule.progress import LaneProgress, RunProgress
from ray_jobs.cluster import ray_session
from ray_jobs.run_metrics import LANE_METRICS, RunMetrics

pytestmark = [pytest.mark.ray, pytest.mark.slow]

PATIENCE_S = 90.0


def test_rays_metrics_show_where_a_run_stands() -> None:
    lane = LaneProgress(generated=3, judged=4, failed=Counter({"invalid": 2}), cost_usd=0.5)
    progress = RunProgress(
        trials_total=9, trials_ended=5, generations_left=1, lanes={"toy": lane}, queued={"toy": 1},
        in_flight={"toy": 2}, delayed={"toy": 0}, calls_left={"toy": 6}, spent_usd=0.5,
        is_out_of_budget=False, is_draining=False,
    )  # fmt: skip
    with ray_session(None):
        metrics, pace = RunMetrics("tiny"), Pace()
        pace.add(progress, now=0.0)
        metrics.update(progress, pace)
        node = ray.nodes()[0]
        address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        deadline = time.monotonic() + PATIENCE_S
        while "afgap_calls_done" not in (page := read(address)):
            assert time.monotonic() < deadline, "the metrics never came"
            time.sleep(0.5)
    shown = {line.split("{")[0].removeprefix("ray_"): line for line in page.splitlines() if "afgap_" in line}
    assert {*LANE_METRICS, "afgap_calls_failed", "afgap_trials_ended"} <= set(shown)
    assert shown["afgap_calls_done"].endswith(" 7.0")
    assert 'lane="toy"' in shown["afgap_calls_left"]
    assert 'kind="invalid"' in shown["afgap_calls_failed"]


def read(address: str) -> str:
    try:
        with urllib.request.urlopen(address, timeout=5) as response:
            return str(response.read().decode())
    except OSError:
        return ""

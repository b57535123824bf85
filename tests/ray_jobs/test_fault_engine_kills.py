"""kill -9 of vLLM's engine core, and then of the replica that took its place, in one run on the real engine."""

from pathlib import Path

import pytest

from benchmarks.local_fault_rounds import play_local, undisturbed_local

REQUESTS = 6


@pytest.mark.ray
@pytest.mark.vllm
@pytest.mark.slow
def test_a_killed_engine_core_and_a_killed_replica_lose_nothing(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("undisturbed", "disturbed")]
    for folder in folders:
        folder.mkdir()
    reference = undisturbed_local(folders[0], requests=REQUESTS)
    result = play_local(("engine_core", "replica"), seed=7, folder=folders[1], reference=reference, requests=REQUESTS)
    assert result.problems == ()
    assert result.runs_until_complete == 1

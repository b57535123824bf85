"""A whole run whose disk fills up: it waits for room, then says so and ends, and the same command goes on."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.engines.stand_in.process import start_stand_in
from core.engines.stand_in.server import StandInOptions
from core.store.workspace import Workspace

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 180.0
TRIALS = 160


@pytest.fixture
def small_disk(make_disk: Callable[..., Path]) -> Path:
    """A file system of 20 MB."""
    return make_disk(megabytes=20)


class Ballast:
    """Takes all the room there is, and gives it back."""

    def __init__(self, disk: Path) -> None:
        self._file = disk / "ballast"

    def fill(self) -> None:
        with self._file.open("ab", buffering=0) as file:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError:
                pass

    def remove(self) -> None:
        self._file.unlink()


def stored(workspace: Path) -> int:
    held = Workspace(workspace)
    return held.read("calls", columns=["call_id"]).height if held.exists else 0


def test_a_run_on_a_full_disk_waits_then_ends_clearly_and_the_same_command_goes_on(
    afgap: Callable[..., Any],
    afgap_command: list[str],
    write_study: Callable[..., Path],
    stand_in_counts: Callable[[int], dict[str, Any]],
    small_disk: Path,
    tmp_path: Path,
) -> None:
    workspace, ballast = small_disk / "w", Ballast(small_disk)
    with start_stand_in("planted", StandInOptions(latency_ms=200.0)) as server:
        model = {
            "name": "toy", "engine": "openai", "model": "m-1", "stand_in": "planted", "base_url": server.openai_url,
            "limits": {"concurrency": 4},
        }  # fmt: skip
        study = write_study(requests=TRIALS // 2, models=[model])
        errors = tmp_path / "err"
        with errors.open("wb") as to_errors:
            run = subprocess.Popen(
                [*afgap_command, "run", str(study), "--workspace", str(workspace), "--quiet"],
                cwd=ROOT, start_new_session=True, stderr=to_errors,
            )  # fmt: skip

        def wait_for(replies: int) -> int:
            deadline = time.monotonic() + PATIENCE_S
            while (found := stored(workspace)) < replies:
                assert run.poll() is None, errors.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.1)
            return found

        wait_for(10)
        ballast.fill()
        time.sleep(4.0)
        at_full = stored(workspace)
        ballast.remove()
        wait_for(at_full + 8)  # it went on by itself
        ballast.fill()
        run.wait(timeout=PATIENCE_S)
        said = errors.read_text()
        at_end = stored(workspace)
        assert run.returncode == 3, said
        assert "no space is left on its disk" in said
        assert "the same command goes on" in said
        assert "Traceback" not in said
        assert at_end < TRIALS
        ballast.remove()
        again = afgap("run", study, "--workspace", workspace, "--json")
        assert again.code == 0, again.err
        assert again.facts["trials_complete"] == TRIALS
        assert again.facts["replies"] == TRIALS - at_end
        repeats = sum(times - 1 for times in stand_in_counts(server.port)["repeats"].values())
    assert afgap("verify", "tiny", "--workspace", workspace).code == 0
    assert repeats <= TRIALS - at_end
    assert os.statvfs(small_disk).f_bavail > 0

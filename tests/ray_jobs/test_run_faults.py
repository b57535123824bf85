"""When a process of a run dies, or a key is refused, the rest goes on or ends soon, says why, and leaves nothing."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from core.engines.stand_in.process import StandInProcess, start_stand_in
from core.engines.stand_in.server import StandInOptions
from core.store.workspace import Workspace
from ray_jobs.caretaker import MARK

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0
CONCURRENCY = 8
"""Of the study that `api_study` writes."""

Afgap = Callable[..., Any]
WriteStudy = Callable[..., Path]
ApiStudy = Callable[..., Path]
Counts = Callable[[int], dict[str, Any]]
WaitUntil = Callable[..., None]


class Running:
    """A run in a process of its own, whose family can be looked at."""

    def __init__(self, command: list[str], study: Path, workspace: Path) -> None:
        self._out, self._err = study.parent / "out", study.parent / "err"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [*command, "run", str(study), "--workspace", str(workspace), "--json"],
                cwd=ROOT, start_new_session=True, stdout=out, stderr=err,
            )  # fmt: skip

    def actor(self, name: str) -> psutil.Process:
        """The process of the first actor of a class."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            if f"ray::{name}" in " ".join(process.cmdline()):
                return process
        raise AssertionError(f"no {name} runs")

    def end(self) -> tuple[int, str, str]:
        """Exit code, and what was printed on stdout and stderr."""
        try:
            code = self.process.wait(timeout=PATIENCE_S)
        finally:
            self.process.kill()
        return code, self._out.read_text(), self._err.read_text()


def stored_generations(workspace: Path) -> int:
    held = Workspace(workspace)
    snapshot = held.snapshot("tiny")
    assert snapshot is not None
    outcomes = held.outcomes(snapshot)
    return sum(trial.call_id in outcomes for trial in snapshot.trials)


def test_a_killed_engine_is_replaced_and_its_calls_are_made_again(
    afgap_command: list[str],
    api_study: ApiStudy,
    stand_in: StandInProcess,
    stand_in_counts: Counts,
    wait_until: WaitUntil,
    tmp_path: Path,
) -> None:
    run = Running(afgap_command, api_study(stand_in, requests=40), tmp_path / "w")
    wait_until(lambda: stand_in_counts(stand_in.port)["total"] >= 30, run.process)
    run.actor("EngineWorker").kill()
    code, out, errors = run.end()
    assert code == 0, errors
    assert json.loads(out)["trials_complete"] == 80
    assert stored_generations(tmp_path / "w") == 80
    assert Workspace(tmp_path / "w").read("calls")["call_id"].is_unique().all()
    # what was in flight, and what was answered and not yet acknowledged
    assert len(stand_in_counts(stand_in.port)["repeats"]) <= 5 * CONCURRENCY


@pytest.mark.parametrize("actor", ["Journal", "Dispatcher"])
def test_without_its_journal_or_dispatcher_a_run_ends_soon_and_the_same_command_goes_on(
    afgap: Afgap,
    afgap_command: list[str],
    api_study: ApiStudy,
    stand_in: StandInProcess,
    stand_in_counts: Counts,
    wait_until: WaitUntil,
    tmp_path: Path,
    actor: str,
) -> None:
    study = api_study(stand_in, requests=40)
    run = Running(afgap_command, study, tmp_path / "w")
    wait_until(lambda: stand_in_counts(stand_in.port)["total"] >= 30, run.process)
    run.actor(actor).kill()
    killed_at = stand_in_counts(stand_in.port)["total"]
    code, out, errors = run.end()
    assert code == 3, errors
    assert out == ""
    assert "the same command goes on" in errors
    assert errors.count("error: ") == 1
    assert "Traceback" not in errors
    # at once: nobody pays for replies that nobody can store
    assert stand_in_counts(stand_in.port)["total"] <= killed_at + 8 * CONCURRENCY
    again = afgap("run", study, "--workspace", tmp_path / "w", "--json")
    assert again.code == 0, again.err
    assert again.facts["trials_complete"] == 80


def test_generations_finish_when_only_the_judges_key_is_refused(
    afgap: Afgap, write_study: WriteStudy, tmp_path: Path
) -> None:
    with start_stand_in("planted", StandInOptions(accept_key="the-right-key")) as server:
        model = {"engine": "openai", "model": "m-2026-11-01", "base_url": server.openai_url}
        study = write_study(
            models=[
                {"name": "toy", "api_key_env": "TOY_KEY", **model},
                {"name": "judge", "role": "judge", "api_key_env": "JUDGE_KEY", **model},
            ],
            judges={"compliance": {"model": "judge"}},
            budget={"unknown_price": "allow"},
        )
        at = ["--workspace", tmp_path / "w"]
        refused = afgap("run", study, *at, "--json", TOY_KEY="the-right-key", JUDGE_KEY="another-key")
        assert refused.code == 3, refused.err
        needed_no_judge = refused.facts["trials_complete"]  # replies that are exactly the reject tag
        assert needed_no_judge < 12
        assert set(refused.facts["lane_errors"]) == {"judge"}
        assert "the key was refused" in refused.facts["lane_errors"]["judge"]
        assert stored_generations(tmp_path / "w") == 12
        mended = afgap("run", study, *at, "--json", TOY_KEY="the-right-key", JUDGE_KEY="the-right-key")
        assert mended.code == 0, mended.err
        assert mended.facts["trials_complete"] == 12
        assert mended.facts["replies"] == 12 - needed_no_judge


def test_a_second_ctrl_c_ends_a_run_at_once_and_leaves_nothing_behind(
    afgap_command: list[str], api_study: ApiStudy, stand_in_counts: Counts, wait_until: WaitUntil, tmp_path: Path
) -> None:
    with start_stand_in("planted", StandInOptions(latency_ms=300_000.0)) as server:
        run = Running(afgap_command, api_study(server, requests=40), tmp_path / "w")
        wait_until(lambda: stand_in_counts(server.port)["total"] >= CONCURRENCY, run.process)
        folder = run.actor("Journal").environ()[MARK]
        for _ in range(2):
            os.killpg(run.process.pid, signal.SIGINT)  # as a terminal does it: the whole group
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.process.wait(timeout=2)
        code, _, errors = run.end()
    assert code == 3
    assert errors.strip().splitlines()[-1] == "error: stopped: what was stored is kept, the same command goes on"
    assert "Traceback" not in errors
    assert not Path(folder).exists()
    assert not marked(folder)


ENGINE_WITH_A_CHILD = """
import subprocess, sys, time
import ray
from ray_jobs.cluster import ray_session

@ray.remote
class Engine:
    def start(self):
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True).pid

with ray_session(None) as session:
    engine = Engine.remote()
    print(ray.get(engine.start.remote()), session.scratch, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_engines_own_process_ends_with_its_driver_however_that_ends(how: signal.Signals) -> None:
    driver = subprocess.Popen([sys.executable, "-c", ENGINE_WITH_A_CHILD], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    child, folder = driver.stdout.readline().split()
    assert psutil.pid_exists(int(child))
    driver.send_signal(how)
    driver.stdout.close()
    driver.wait(timeout=PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    while marked(folder) or Path(folder).exists():
        assert time.monotonic() < deadline, "something lives on"
        time.sleep(0.1)


def marked(folder: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == folder and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def test_a_limited_run_goes_on_to_the_whole_and_failed_calls_are_opened_on_request_only(
    afgap: Afgap, write_study: WriteStudy, tmp_path: Path
) -> None:
    behaviour = {"conditions": {"default": {"comply": 0.5}}, "faults": {"filtered_request": 0.5}}
    (tmp_path / "filtering.yaml").write_text(yaml.safe_dump(behaviour))
    study = write_study(models=[{"name": "toy", "engine": "scripted", "model": str(tmp_path / "filtering.yaml")}])
    at = ["--workspace", tmp_path / "w", "--json"]
    part = afgap("run", study, *at, "--limit", 2)
    assert part.code == 0, part.err
    assert part.facts["trials"] == part.facts["trials_complete"] == 4
    whole = afgap("run", study, *at)
    assert whole.code == 0, whole.err
    assert whole.facts["trials_complete"] == 12
    events = Workspace(tmp_path / "w").read("calls")
    assert events.height == events["call_id"].n_unique() == 12
    failed = events.filter(events["event"] == "failure").height
    assert 0 < failed < 12
    opened = afgap("run", study, *at, "--retry-failed")
    assert opened.code == 0, opened.err
    assert Workspace(tmp_path / "w").read("calls").height == 12 + failed

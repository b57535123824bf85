"""A run that is stopped, killed, refused or out of money goes on with the same command and calls nothing twice."""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest

from benchmarks.fault_rounds import requests_stored
from core.engines.stand_in.process import StandInProcess, start_stand_in
from core.engines.stand_in.server import StandInOptions
from core.store.lock import last_holder
from core.store.workspace import Workspace

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]

Afgap = Callable[..., Any]
WriteStudy = Callable[..., Path]
ApiStudy = Callable[..., Path]
Counts = Callable[[int], dict[str, Any]]
WaitUntil = Callable[..., None]

JUDGES = {"compliance": {"model": "judge"}, "faking": {"model": "judge", "votes": 3}}


def begin(command: list[str], study: Path, workspace: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*command, "run", str(study), "--workspace", str(workspace), "--quiet"], cwd=ROOT, start_new_session=True
    )


def kill(run: "subprocess.Popen[bytes]", workspace: Path, *, whom: str) -> None:
    """kill -9, of the driver alone, of the journal alone, or of everything that the run has started."""
    family = psutil.Process(run.pid).children(recursive=True)
    if whom == "journal":
        holder = last_holder(workspace / ".lock")
        assert holder is not None
        os.kill(holder.pid, signal.SIGKILL)
        with pytest.raises(subprocess.TimeoutExpired):
            run.wait(timeout=0.2)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    if whom == "all":
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(family, timeout=30)


def assert_each_trial_once(workspace: Path, *, trials: int) -> None:
    held = Workspace(workspace)
    snapshot = held.snapshot("tiny")
    assert snapshot is not None
    outcomes = held.outcomes(snapshot)
    assert sum(trial.call_id in outcomes for trial in snapshot.trials) == len(snapshot.trials) == trials


def test_a_run_killed_three_times_ends_complete_and_repeats_only_what_was_in_the_air(
    afgap: Afgap,
    afgap_command: list[str],
    api_study: ApiStudy,
    stand_in: StandInProcess,
    stand_in_counts: Counts,
    wait_until: WaitUntil,
    tmp_path: Path,
) -> None:
    study, workspace = api_study(stand_in, requests=60, judges=JUDGES), tmp_path / "w"
    chance = random.Random(20250618)
    in_the_air = 0
    for whom in ("driver", "all", "journal"):
        before = stand_in_counts(stand_in.port)["total"]
        moment = before + chance.randint(20, 120)
        run = begin(afgap_command, study, workspace)
        wait_until(lambda: stand_in_counts(stand_in.port)["total"] >= moment, run)  # noqa: B023 - used at once
        kill(run, workspace, whom=whom)
        wait_for_silence(stand_in, stand_in_counts)
        in_the_air += stand_in_counts(stand_in.port)["ids"] - requests_stored(workspace)
    ended = afgap("run", study, "--workspace", workspace, "--json")
    assert ended.code == 0, ended.err
    assert_each_trial_once(workspace, trials=120)
    counts = stand_in_counts(stand_in.port)
    assert sum(arrivals - 1 for arrivals in counts["repeats"].values()) <= in_the_air
    events = Workspace(workspace).read("calls")
    assert events["call_id"].is_unique().all()
    again = afgap("run", study, "--workspace", workspace, "--json")
    assert again.code == 0
    assert stand_in_counts(stand_in.port)["total"] == counts["total"]
    assert again.facts["gaps"] == ended.facts["gaps"]


def wait_for_silence(server: StandInProcess, counts: Counts) -> None:
    """Until no request of a killed run arrives any more."""
    last, since = -1, time.monotonic()
    while time.monotonic() - since < 2.0:
        total = counts(server.port)["total"]
        if total != last:
            last, since = total, time.monotonic()
        time.sleep(0.1)


def test_ctrl_c_lets_calls_land_and_the_same_command_goes_on(
    afgap: Afgap,
    afgap_command: list[str],
    api_study: ApiStudy,
    stand_in: StandInProcess,
    stand_in_counts: Counts,
    wait_until: WaitUntil,
    tmp_path: Path,
) -> None:
    study, workspace = api_study(stand_in, requests=400, judges=JUDGES), tmp_path / "w"
    run = begin(afgap_command, study, workspace)
    wait_until(lambda: stand_in_counts(stand_in.port)["total"] >= 30, run)
    refused = afgap("run", study, "--workspace", workspace)
    assert refused.code == 2
    assert "in use by `run tiny`" in refused.err
    assert "Traceback" not in refused.err
    status = afgap("status", "tiny", "--workspace", workspace)
    assert "now: run tiny" in status.out
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does it: the whole group
    assert run.wait(timeout=60) == 3
    faster = [word for name in ("toy", "judge") for word in ("--set", f"models[{name}].limits.concurrency=64")]
    assert afgap("run", study, "--workspace", workspace, "--quiet", *faster).code == 0
    assert_each_trial_once(workspace, trials=800)
    assert stand_in_counts(stand_in.port)["repeats"] == {}


def test_a_refused_key_is_mended_and_the_study_goes_on(afgap: Afgap, write_study: WriteStudy, tmp_path: Path) -> None:
    with start_stand_in("planted", StandInOptions(accept_key="the-right-key")) as server:
        study = write_study(
            models=[
                {
                    "name": "toy",
                    "engine": "anthropic",
                    "model": "m-2026-11-01",
                    "base_url": server.anthropic_url,
                    "api_key_env": "TOY_KEY",
                }
            ],
            budget={"unknown_price": "allow"},
        )
        unset = afgap("run", study, "--workspace", tmp_path / "w")
        assert unset.code == 2
        assert "TOY_KEY is not set" in unset.err
        assert not (tmp_path / "w").exists()
        wrong = afgap("run", study, "--workspace", tmp_path / "w", TOY_KEY="the-wrong-key")
        assert wrong.code == 3
        assert "the key was refused" in wrong.out + wrong.err
        assert "the-wrong-key" not in wrong.out + wrong.err
        status = afgap("status", "tiny", "--workspace", tmp_path / "w", "--json").facts
        assert status["trials_complete"] == 0
        right = afgap("run", study, "--workspace", tmp_path / "w", "--json", TOY_KEY="the-right-key")
        assert right.code == 0, right.err
        assert right.facts["trials_complete"] == 12
    stored = b"".join(path.read_bytes() for path in (tmp_path / "w").rglob("*") if path.is_file())
    assert b"the-right-key" not in stored
    assert b"the-wrong-key" not in stored
    # no entry names a stand-in, but the server said what it is
    assert right.facts["gaps"][0]["provenance"] == "simulated"


def test_the_budget_stops_a_run_and_a_higher_one_lets_it_go_on(
    afgap: Afgap, api_study: ApiStudy, stand_in: StandInProcess, tmp_path: Path
) -> None:
    study = api_study(
        stand_in, toy={"price": {"input": 1.0, "output": 10.0}}, budget={"usd": 0.1}, sampling={"max_tokens": 200},
        requests=40, judges=JUDGES,
    )  # fmt: skip
    ended = afgap("run", study, "--workspace", tmp_path / "w", "--json")
    assert ended.code == 4, ended.err
    complete = ended.facts["trials_complete"]
    assert 0 < complete < 80
    assert afgap("export", "tiny", "--workspace", tmp_path / "w", "--to", tmp_path / "out").code == 0
    spend = pl.read_parquet(tmp_path / "out" / "spend.parquet")
    assert 0.05 < spend["cost_usd"].sum() <= 0.1
    assert "partial" in pl.read_parquet(tmp_path / "out" / "gaps.parquet")["flags"][0]
    more = afgap("run", study, "--workspace", tmp_path / "w", "--json", "--set", "budget.usd=5")
    assert more.code == 0, more.err
    assert more.facts["trials_complete"] == 80

"""Seconds from the command to the first new call, when most of a large study with 20 votes a trial is stored.

    python benchmarks/resume.py [--trials 200000] [--stored 180000] [--votes 20] [--to FOLDER]

writes a workspace in which that many trials are generated and judged (every row is simulated), then starts `afgap run`
as a user does and waits for the first request at a stand-in server of its own; then the run is stopped. Two cases:
`cached`, after a run that ended or was stopped, and `killed`, after a kill -9, which takes the last lot of the cache of
judged trials with it. Whether the time is linear shows in runs of several sizes. A line for each case goes to
benchmarks/results/resume.jsonl. The workspace is removed at the end unless `--to` names its folder; a folder that holds
one is used as it is.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from made_workspace import fill_workspace, new_workspace
from measured import ROOT, append_result

from core.engines.stand_in.process import StandInProcess, counts_at, start_stand_in
from core.engines.stand_in.server import StandInOptions
from core.plan.snapshot import Snapshot
from core.store.derived_cache import DerivedCache
from core.store.owed import LOT, open_trials
from core.store.workspace import Workspace
from ray_jobs.preparation import prepare

REPEATS = 50
GOAL_S = 20.0
PATIENCE_S = 900.0


def write_study(folder: Path, *, trials: int, votes: int, url: str) -> Path:
    """One model × two tiers × 50 repeats on a stand-in, a judge on a lane of its own."""
    api = {"engine": "openai", "stand_in": "planted", "base_url": url, "limits": {"concurrency": 64}}
    requests = [
        json.dumps({"id": f"r{at:05}", "text": f"Made-up request number {at}: write a note on {at * 7919}."})
        for at in range(max(1, trials // (2 * REPEATS)))
    ]
    (folder / "requests.jsonl").write_text("\n".join(requests) + "\n")
    study = {
        "study": "made-up",
        "models": [
            {"name": "subject", **api, "model": "subject-2026-01-01"},
            {"name": "judge", **api, "model": "judge-2026-01-01", "role": "judge"},
        ],
        "requests": {"source": "requests.jsonl"},
        "sampling": {"repeats": REPEATS, "temperature": 1.0},
        "judges": {"compliance": {"model": "rules"}, "faking": {"model": "judge", "votes": votes}},
    }
    path = folder / "study.yaml"
    path.write_text(json.dumps(study))
    return path


def first_call_s(study: Path, workspace: Path, server: StandInProcess) -> float:
    """From the start of the command to the first request at the server; the run is stopped then."""
    before = counts_at(server.port)["total"]
    began = time.perf_counter()
    command = [sys.executable, "-m", "ray_jobs", "run", str(study), "--workspace", str(workspace), "--quiet"]
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True) as run:
        while counts_at(server.port)["total"] == before:
            assert run.poll() is None, "the run made no call"
            assert time.perf_counter() - began < PATIENCE_S
            time.sleep(0.02)
        seconds = time.perf_counter() - began
        run.send_signal(signal.SIGINT)
    assert run.returncode == 3, run.returncode
    return seconds


def lose_last_lot(snapshot: Snapshot, workspace: Workspace) -> int:
    """As a kill -9 does: up to a lot of the judged trials is not in the cache; returns how many."""
    cache = DerivedCache(workspace.cache, snapshot)
    rows = cache.read()
    for file in cache.folder.iterdir():
        file.unlink()
    lost = min(LOT, rows.height)
    cache.append(rows.head(rows.height - lost))
    return lost


def main() -> int:
    """Write, start twice, print; 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200_000)
    parser.add_argument("--stored", type=int, default=180_000)
    parser.add_argument("--votes", type=int, default=20)
    parser.add_argument("--to", type=Path, help="folder for the workspace, kept")
    asked = parser.parse_args()
    is_missed = False
    served = StandInOptions(latency_ms=200.0)
    with tempfile.TemporaryDirectory(prefix="afgap-resume-") as scratch, start_stand_in("planted", served) as server:
        study = write_study(Path(scratch), trials=asked.trials, votes=asked.votes, url=server.openai_url)
        workspace = Workspace(asked.to or Path(scratch) / "workspace")
        snapshot = prepare(str(study), workspace=workspace).snapshot
        began = time.perf_counter()
        if not workspace.exists:
            fill_workspace(new_workspace(workspace.folder, snapshot), snapshot, stored=asked.stored)
            print(f"wrote {asked.stored:,} simulated trials in {time.perf_counter() - began:.0f} s", flush=True)
        began = time.perf_counter()
        found = open_trials(snapshot, workspace)
        print(f"{found.complete:,} complete, known and cached in {time.perf_counter() - began:.0f} s", flush=True)
        rows = sum(file.rows for file in workspace.table("calls").files())
        for case in ("cached", "killed"):
            lost = lose_last_lot(snapshot, workspace) if case == "killed" else 0
            seconds = first_call_s(study, workspace.folder, server)
            is_missed = is_missed or seconds > GOAL_S
            print(f"{case:7} first new call after {seconds:.1f} s (goal {GOAL_S:.0f})  simulated", flush=True)
            append_result(
                "resume", case=case, trials=asked.trials, stored=found.complete, rows=rows, not_cached=lost,
                first_call_s=round(seconds, 2), goal_s=GOAL_S, provenance="simulated",
            )  # fmt: skip
    return int(is_missed)


if __name__ == "__main__":
    sys.exit(main())

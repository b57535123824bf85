"""Times what a resumed study needs first: which of its trials are still owed, of hundreds of thousands with 20 votes.

    python benchmarks/owed_set.py [--trials 200000] [--stored 180000] [--votes 20] [--to FOLDER]

writes a workspace in which that many trials are generated and judged (every row is simulated), then asks for the owed
set in fresh processes: with no cache, and with the cache that a run leaves behind. The second is what a resumed run
does; the goal is a few seconds of the 20 s from the command to the first new call. A line goes to
benchmarks/results/owed_set.jsonl. The workspace is removed at the end unless `--to` names its folder.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from made_workspace import fill_workspace, made_snapshot, new_workspace
from measured import append_result, run_measured

MODELS, CELLS, REPEATS = 10, 2, 50
GOAL_S = 20.0
ASK = """
import json, sys, time
from pathlib import Path
from core.store.owed import open_trials
from core.store.workspace import Workspace

workspace = Workspace(Path(sys.argv[1]))
began = time.perf_counter()
snapshot = workspace.snapshot("made-up")
found = open_trials(snapshot, workspace)
print(json.dumps({"seconds": time.perf_counter() - began, "complete": found.complete, "open": len(found.indices)}))
"""


def write_workspace(folder: Path, *, trials: int, stored: int, votes: int) -> int:
    """The first `stored` trials in landing order, each with its draws; returns the number of votes."""
    judges = {"compliance": {"model": "rules"}, "faking": {"model": "model-00", "votes": votes}}
    requests = max(1, trials // (MODELS * CELLS * REPEATS))
    snapshot = made_snapshot(models=MODELS, requests=requests, repeats=REPEATS, judges=judges)
    return fill_workspace(new_workspace(folder, snapshot), snapshot, stored=stored)


def main() -> int:
    """Write, ask twice, print; 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200_000)
    parser.add_argument("--stored", type=int, default=180_000)
    parser.add_argument("--votes", type=int, default=20)
    parser.add_argument("--to", type=Path, help="folder for the workspace, kept")
    asked = parser.parse_args()
    missed = False
    with tempfile.TemporaryDirectory(prefix="afgap-owed-") as scratch:
        folder: Path = asked.to or Path(scratch) / "workspace"
        began = time.perf_counter()
        votes = write_workspace(folder, trials=asked.trials, stored=asked.stored, votes=asked.votes)
        print(f"wrote {asked.stored:,} simulated trials and {votes:,} votes in {time.perf_counter() - began:.0f} s")
        for case in ("no cache", "cached"):
            if case == "no cache":
                shutil.rmtree(folder / "cache", ignore_errors=True)
            run = run_measured([sys.executable, "-c", ASK, str(folder)])
            told = json.loads(run.output)
            missed = missed or (case == "cached" and run.seconds > GOAL_S)
            print(
                f"{case:9} {told['complete']:,} complete, {told['open']:,} open: {told['seconds']:.2f} s, "
                f"with the start of Python {run.seconds:.2f} s (goal {GOAL_S:.0f} for the whole path, cached), "
                f"{run.cpu_seconds:.1f} s of processor, {run.peak_bytes / 2**30:.2f} GiB  simulated", flush=True
            )  # fmt: skip
            append_result(
                "owed_set", case=case, trials=asked.trials, stored=asked.stored, votes=votes, open=told["open"],
                owed_s=round(told["seconds"], 3), seconds=round(run.seconds, 2), cpu_seconds=round(run.cpu_seconds, 2),
                goal_s=GOAL_S, peak_gib=round(run.peak_bytes / 2**30, 3), provenance="simulated",
            )  # fmt: skip
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())

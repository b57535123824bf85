"""Times `afgap analyse` of millions of made-up trials: from raw text, with no cache, and when all is parsed already.

    python benchmarks/analyse_scale.py [--trials 5000000] [--case raw|parsed|both] [--to FOLDER]

writes a workspace of 10 scripted models × free and paid × requests × 50 repeats, 1 KB of text a reply, the rule judge
(every row is simulated), runs the real command in a process of its own, and prints seconds and peak memory beside the
goals. A line with the machine's size goes to benchmarks/results/analyse_scale.jsonl. The workspace is removed at the
end unless `--to` names its folder.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from made_workspace import generations, made_snapshot, new_workspace, reply_texts
from measured import append_result, run_measured

MODELS, CELLS, REPEATS = 10, 2, 50
GOAL_S = {"raw": 300.0, "parsed": 30.0}
GOAL_BYTES = 4 * 2**30
FULL_SIZE = 5_000_000


def write_workspace(folder: Path, *, trials: int) -> int:
    """All replies, in an order that mixes all arms; returns the number of trials."""
    snapshot = made_snapshot(models=MODELS, requests=max(1, trials // (MODELS * CELLS * REPEATS)), repeats=REPEATS)
    workspace = new_workspace(folder, snapshot)
    # in flight at once are some thousands: the order of landing is the plan's, shuffled within a window
    size = len(snapshot.trials)
    landed = np.argsort(np.arange(size) + np.random.default_rng(7).uniform(0, 5000, size))
    for mark, rows in enumerate(generations(snapshot, landed, reply_texts(20_000), first_sequence=1)):
        workspace.table("calls").append(rows, mark=mark + 1)
    return size


def main() -> int:
    """Write, run, print; 1 where a goal is missed at full size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=FULL_SIZE)
    parser.add_argument("--case", choices=("raw", "parsed", "both"), default="both")
    parser.add_argument("--to", type=Path, help="folder for the workspace, kept; one that is there is used again")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="afgap-analyse-") as scratch:
        folder: Path = asked.to or Path(scratch) / "workspace"
        began = time.perf_counter()
        trials = asked.trials
        if not (folder / "workspace.json").is_file():
            trials = write_workspace(folder, trials=asked.trials)
            print(f"wrote {trials:,} simulated trials in {time.perf_counter() - began:.0f} s", flush=True)
        missed = False
        for case in ("raw", "parsed") if asked.case == "both" else (asked.case,):
            if case == "raw":
                shutil.rmtree(folder / "cache", ignore_errors=True)
            run = run_measured([sys.executable, "-m", "ray_jobs", "analyse", "made-up", "--workspace", str(folder)])
            reached = run.seconds <= GOAL_S[case] and run.peak_bytes <= GOAL_BYTES
            missed = missed or not reached
            print(
                f"{case:6} {trials:>10,} trials  {run.seconds:7.1f} s (goal {GOAL_S[case]:.0f})  "
                f"{run.cpu_seconds:7.1f} s of processor  "
                f"{run.peak_bytes / 2**30:5.2f} GiB (goal 4)  simulated", flush=True
            )  # fmt: skip
            append_result(
                "analyse_scale", case=case, trials=trials, seconds=round(run.seconds, 2),
                cpu_seconds=round(run.cpu_seconds, 2), goal_s=GOAL_S[case],
                peak_gib=round(run.peak_bytes / 2**30, 3), goal_gib=4, provenance="simulated",
            )  # fmt: skip
    return int(missed and trials >= FULL_SIZE)


if __name__ == "__main__":
    sys.exit(main())

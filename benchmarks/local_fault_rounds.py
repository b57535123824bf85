"""A round of the fault campaign on the real vLLM engine: its replica or its engine core is killed while it generates.

Not a command itself. What the small model says is worth nothing and depends on how calls were batched, so ids, counts
and statuses are compared with those of an undisturbed run. Nobody but the engine sees a call: repeats are those calls
that were in flight at a kill, as their replies count attempts.
"""

import json
import random
import time
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from benchmarks.fault_rounds import (
    STUDY,
    Round,
    begin,
    check_store,
    ended,
    export,
    kill,
    stored,
    wait_until,
)
from core.store.workspace import Workspace

MODEL = "bundled:smollm2-135m-instruct"
CONCURRENCY = 4


def write_local_study(folder: Path, *, requests: int) -> Path:
    """Two tiers × a few requests on the bundled model, 48 tokens each, judged by the rules."""
    study = {
        "study": STUDY,
        "models": [
            {
                "name": "local",
                "engine": "vllm",
                "model": MODEL,
                "engine_args": {"max_model_len": 4096, "enforce_eager": True},
                "limits": {"concurrency": CONCURRENCY},
            }
        ],
        "requests": {"source": "bundled:harmful", "limit": requests},
        "sampling": {"max_tokens": 48},
        "judges": {"compliance": {"model": "rules"}},
    }
    path = folder / "local.yaml"
    path.write_text(json.dumps(study))
    return path


def play_local(components: Sequence[str], *, seed: int, folder: Path, reference: Path, requests: int = 8) -> Round:
    """One run in an empty folder, in which each of these is killed, one after the other, as replies come in.
    `reference`: exported tables of an undisturbed run of the same study."""
    chance = random.Random(f"{components} {seed}")
    study, workspace = write_local_study(folder, requests=requests), folder / "workspace"
    trials, in_the_air, moment = 2 * requests, 0, 0
    run = begin(study, workspace)
    for at, component in enumerate(components):
        # the first kill in the first part of the work, the second in the second; some work is left after the last
        moment = chance.randint(max(1, at * trials // len(components)), (at + 1) * trials // len(components) - 2)
        wait_until(lambda moment=moment: len(stored(workspace)) >= moment or run.poll() is not None)  # type: ignore[misc]
        time.sleep(chance.random() / 2)
        in_the_air += trials - len(stored(workspace))
        kill(run, component)
    code = ended(run)
    runs = 1
    while code != 0 and runs < 6:
        code = ended(begin(study, workspace))
        runs += 1
    problems = [] if code == 0 else [f"the study is not complete after {runs} runs: exit {code}"]
    replies = Workspace(workspace).read("calls", columns=["attempts"], where=pl.col("event") == "reply")
    repeats = int((replies["attempts"] - 1).sum())
    allowed = min(in_the_air, CONCURRENCY * len(components))
    if repeats > allowed:
        problems.append(f"{repeats} calls were repeated, {allowed} could have been in flight")
    problems += check_store(workspace)
    problems += _differences(reference, export(workspace, folder / "tables"))
    return Round("+".join(components), seed, moment, runs, repeats, allowed, tuple(problems))


def undisturbed_local(folder: Path, *, requests: int = 8) -> Path:
    """The exported tables of a run that nothing happened to."""
    study = write_local_study(folder, requests=requests)
    code = ended(begin(study, folder / "workspace"))
    assert code == 0
    return export(folder / "workspace", folder / "tables")


def _differences(reference: Path, tables: Path) -> list[str]:
    """Ids and statuses of the samples, and the calls of the table of spend."""
    found = []
    for table, columns in (("samples", ["trial_id", "call_id", "status"]), ("spend", ["call_id"])):
        rows = [
            pl.read_parquet(each / f"{table}.parquet").select(columns).sort(columns) for each in (reference, tables)
        ]
        if not rows[0].equals(rows[1]):
            found.append(f"ids or statuses of {table} differ from those of an undisturbed run")
    return found

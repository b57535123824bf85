"""Samples per second of a whole generation-only sweep, over those of the bare OpenAI client in the same run.

    python benchmarks/sweep_rate.py [--samples 6000] [--concurrency 200] [--latency-ms 200] [--pairs 3] [--no-bare]

A stand-in server on this machine answers both. The bare client is `AsyncOpenAI` with its aiohttp transport and as
many tasks as may be in flight; ours is `afgap run` as a user starts it: Ray, scheduler, journal, tables. Counted is
the time from the first request to the last commit. Also printed: the rate of the last tenth over that of the first,
and the most memory that the driver and each actor took. A line is added to results/sweep_rate.jsonl.
"""

import argparse
import asyncio
import csv
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import polars as pl
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.measured import append_result  # noqa: E402 - the path is set first
from core.engines.stand_in.process import StandInProcess, start_stand_in  # noqa: E402
from core.engines.stand_in.server import StandInOptions  # noqa: E402
from core.plan.build import build_snapshot, trial_messages  # noqa: E402
from core.spec.load import load_study  # noqa: E402
from core.store.workspace import Workspace  # noqa: E402

BEHAVIOUR = "planted"
GOAL_RATIO = 0.90
GOAL_LAST_TENTH = 0.95
GOAL_DRIVER_GIB = 1.5


def write_study(folder: Path, *, samples: int, concurrency: int, url: str) -> Path:
    """Two tiers × half as many requests as samples, rule judge."""
    with (folder / "requests.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["id", "text"])
        writer.writerows((f"r{at}", f"Request number {at}: explain how to do it.") for at in range(samples // 2))
    study = {
        "study": "sweep-rate",
        "models": [
            {
                "name": "model", "engine": "openai", "model": "stand-in-2026-01-01", "base_url": url,
                "stand_in": BEHAVIOUR, "limits": {"concurrency": concurrency},
            }
        ],
        "requests": {"source": "requests.csv"},
        "judges": {"compliance": {"model": "rules"}},
    }  # fmt: skip
    path = folder / "study.yaml"
    path.write_text(json.dumps(study))
    return path


def bare_rate(study: Path, *, concurrency: int) -> float:
    """Samples per second of the bare client, in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--bare-study", str(study), "--concurrency", str(concurrency)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def run_bare(study: Path, *, concurrency: int) -> None:
    """The reference: the same prompts, as many tasks as may be in flight; prints samples per second."""
    import openai

    spec = load_study(study, overrides=())
    snapshot = build_snapshot(spec, folder=study.parent, behaviours={"model": "any"})
    trials = iter(snapshot.trials)

    async def ask_all() -> float:
        client = openai.AsyncOpenAI(
            api_key="stand-in",
            base_url=spec.models[0].base_url,
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(limits=openai.DEFAULT_CONNECTION_LIMITS),
        )

        async def ask() -> None:
            for trial in trials:
                messages = [{"role": each.role, "content": each.text} for each in trial_messages(snapshot, trial)]
                await client.chat.completions.create(
                    model="stand-in-2026-01-01",
                    messages=messages,  # type: ignore[arg-type]
                    temperature=0.0,
                    max_tokens=1024,
                    extra_headers={"X-Client-Request-Id": f"{trial.call_id}.1"},
                )

        began = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(concurrency)))
        seconds = time.perf_counter() - began
        await client.close()
        return len(snapshot.trials) / seconds

    print(asyncio.run(ask_all()))


class MemoryWatch:
    """The most resident memory of a process and of each of its descendants, by name, sampled every second."""

    def __init__(self, process: psutil.Process) -> None:
        self.peaks: dict[str, int] = {}
        self._process = process
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> dict[str, float]:
        """GiB by name."""
        self._is_over.set()
        self._thread.join()
        return {name: round(size / 2**30, 3) for name, size in sorted(self.peaks.items())}

    def _watch(self) -> None:
        while not self._is_over.wait(1.0):
            try:
                self._note("driver", self._process)
                for child in self._process.children(recursive=True):
                    title = " ".join(child.cmdline()[:1])
                    if title.startswith("ray::"):
                        self._note(title.split(".")[0], child)
            except psutil.Error:
                continue

    def _note(self, name: str, process: psutil.Process) -> None:
        self.peaks[name] = max(self.peaks.get(name, 0), process.memory_info().rss)


def our_sweep(study: Path, workspace: Path) -> dict[str, object]:
    """`afgap run`; figures come from the stored rows."""
    command = [sys.executable, "-m", "ray_jobs", "run", str(study), "--workspace", str(workspace), "--json"]
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    memory = MemoryWatch(psutil.Process(process.pid))
    told, _ = process.communicate()
    peaks = memory.end()
    assert process.returncode == 0, told
    rows = Workspace(workspace).read("calls", columns=["written_at", "latency_s", "call_id"])
    assert rows.height == rows["call_id"].n_unique() == json.loads(told)["trials"]
    ended = rows["written_at"].sort()
    first = rows.select((pl.col("written_at") - pl.duration(microseconds=pl.col("latency_s") * 1e6)).min()).item()
    tenth = rows.height // 10

    def rate(frame: pl.Series) -> float:
        return len(frame) / (frame[-1] - frame[0]).total_seconds()

    return {
        "samples": rows.height,
        "samples_per_s": rows.height / (ended[-1] - first).total_seconds(),
        "last_over_first_tenth": rate(ended[-tenth:]) / rate(ended[:tenth]),
        "peak_gib": peaks,
        "command_s": time.perf_counter() - began,
    }


def median(values: list[float]) -> float:
    """The middle one."""
    return sorted(values)[len(values) // 2]


def measure(options: argparse.Namespace, server: StandInProcess, folder: Path) -> dict[str, object]:
    """All pairs; each sweep in a fresh workspace."""
    study = write_study(folder, samples=options.samples, concurrency=options.concurrency, url=server.openai_url)
    ours, ratios = [], []
    for pair in range(options.pairs):
        sweep = our_sweep(study, folder / f"workspace-{pair}")
        print(f"ours: {sweep}", flush=True)
        ours.append(sweep)
        if not options.no_bare:
            bare = bare_rate(study, concurrency=options.concurrency)
            ratios.append(float(str(sweep["samples_per_s"])) / bare)
            print(f"bare: {bare:.0f} samples/s; ours ÷ bare: {ratios[-1]:.3f}", flush=True)
    result: dict[str, object] = {"sweeps": ours}
    if ratios:
        result |= {"ours_over_bare": ratios, "median_ours_over_bare": median(ratios)}
        print(f"median ours ÷ bare: {median(ratios):.3f} (to reach: {GOAL_RATIO})")
    last = median([float(str(sweep["last_over_first_tenth"])) for sweep in ours])
    print(f"median last ÷ first tenth: {last:.3f} (to reach at 200,000 samples: {GOAL_LAST_TENTH})")
    return result


def main() -> int:
    """Print the figures and add them to the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=6000)
    parser.add_argument("--concurrency", type=int, default=200)
    parser.add_argument("--latency-ms", type=float, default=200.0)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--no-bare", action="store_true")
    parser.add_argument("--bare-study", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare_study is not None:
        run_bare(options.bare_study, concurrency=options.concurrency)
        return 0
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    served = StandInOptions(latency_ms=options.latency_ms)
    with tempfile.TemporaryDirectory() as folder, start_stand_in(BEHAVIOUR, served) as server:
        result = measure(options, server, Path(folder))
    settings = {"samples": options.samples, "concurrency": options.concurrency, "latency_ms": options.latency_ms}
    append_result("sweep_rate", **settings, **result)
    return 0


if __name__ == "__main__":
    sys.exit(main())

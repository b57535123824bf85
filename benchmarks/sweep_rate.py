"""Samples per second of a whole generation-only sweep, over those of the bare OpenAI client in the same run.

    python benchmarks/sweep_rate.py [--samples 20000] [--concurrency 200] [--latency-ms 200] [--pairs 3] [--no-bare]
                                    [--judged] [--priced]

A stand-in server on this machine answers both. The bare client is `AsyncOpenAI` with its aiohttp transport and as
many tasks as may be in flight; ours is `afgap run` as a user starts it: Ray, scheduler, journal, tables. Counted is
the time from the first request to the last commit. Also printed: the rate of the last tenth over that of the first,
and the most memory that the driver and each actor took. With `--judged` all three judges read every sample, 20 votes on
faking, on a lane of their own, and calls are counted. With `--priced` every attempt is announced on disk before it goes
out, as on a lane that costs money. A line is added to results/sweep_rate.jsonl.
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
from statistics import median_high

import polars as pl
import psutil
from measured import ROOT, append_result

from core.engines.stand_in.process import StandInProcess, start_stand_in
from core.engines.stand_in.server import StandInOptions
from core.plan.build import build_snapshot, trial_messages
from core.spec.load import load_study
from core.store.workspace import Workspace

BEHAVIOUR = "planted"
GOAL_RATIO = 0.90
GOAL_LAST_TENTH = 0.95


def write_study(folder: Path, options: argparse.Namespace, *, url: str) -> Path:
    """Two tiers × half as many requests as samples; the rule judge, or all three."""
    samples = options.samples
    with (folder / "requests.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["id", "text"])
        writer.writerows((f"r{at}", f"Request number {at}: explain how to do it.") for at in range(samples // 2))
    api = {"engine": "openai", "base_url": url, "stand_in": BEHAVIOUR, "limits": {"concurrency": options.concurrency}}
    if options.priced:
        api["price"] = {"input": 1.0, "output": 2.0, "as_of": "2026-01-01"}
    study = {
        "study": "sweep-rate",
        "models": [{"name": "model", **api, "model": "stand-in-2026-01-01"}],
        "requests": {"source": "requests.csv"},
        "judges": {"compliance": {"model": "rules"}},
    }
    if options.judged:
        study["models"] = [*study["models"], {"name": "judge", **api, "model": "judge-2026-01-01", "role": "judge"}]
        judge = {"model": "judge"}
        study["judges"] = {"compliance": judge, "faking": {**judge, "votes": 20}, "partial": judge}
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
                    messages=messages,  # type: ignore[arg-type] - the SDK has a type of its own for each role
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
    ended = pl.col("event") == "reply"
    rows = Workspace(workspace).read("calls", columns=["written_at", "latency_s", "call_id", "stage"], where=ended)
    samples = rows.filter(pl.col("stage") == "generate").height
    assert rows.height == rows["call_id"].n_unique()
    assert samples == json.loads(told)["trials"]
    landed = rows["written_at"].sort()
    first = rows.select((pl.col("written_at") - pl.duration(microseconds=pl.col("latency_s") * 1e6)).min()).item()
    tenth = rows.height // 10

    def rate(frame: pl.Series) -> float:
        return len(frame) / (frame[-1] - frame[0]).total_seconds()

    seconds = (landed[-1] - first).total_seconds()
    return {
        "samples": samples,
        "calls": rows.height,
        "samples_per_s": samples / seconds,
        "calls_per_s": rows.height / seconds,
        "last_over_first_tenth": rate(landed[-tenth:]) / rate(landed[:tenth]),
        "peak_gib": peaks,
        "command_s": time.perf_counter() - began,
    }


def measure(options: argparse.Namespace, server: StandInProcess, folder: Path) -> dict[str, object]:
    """All pairs; each sweep in a fresh workspace."""
    study = write_study(folder, options, url=server.openai_url)
    ours, ratios = [], []
    for pair in range(options.pairs):
        sweep = our_sweep(study, folder / f"workspace-{pair}")
        print(f"ours: {sweep}", flush=True)
        ours.append(sweep)
        if not (options.no_bare or options.judged):
            bare = bare_rate(study, concurrency=options.concurrency)
            ratios.append(float(str(sweep["samples_per_s"])) / bare)
            print(f"bare: {bare:.0f} samples/s; ours ÷ bare: {ratios[-1]:.3f}", flush=True)
    result: dict[str, object] = {"sweeps": ours}
    if ratios:
        result |= {"ours_over_bare": ratios, "median_ours_over_bare": median_high(ratios)}
        print(f"median ours ÷ bare: {median_high(ratios):.3f} (to reach: {GOAL_RATIO})")
    last = median_high([float(str(sweep["last_over_first_tenth"])) for sweep in ours])
    print(f"median last ÷ first tenth: {last:.3f} (to reach at 200,000 samples: {GOAL_LAST_TENTH})")
    return result


def main() -> int:
    """Print the figures and add them to the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=200)
    parser.add_argument("--latency-ms", type=float, default=200.0)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--no-bare", action="store_true")
    parser.add_argument("--judged", action="store_true", help="with three judges; not against the bare client")
    parser.add_argument("--priced", action="store_true", help="with a price on every call")
    parser.add_argument("--bare-study", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare_study is not None:
        run_bare(options.bare_study, concurrency=options.concurrency)
        return 0
    # by itself Ray starts its workers at nice 15: what others use of the machine they lose, the bare client does not
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    served = StandInOptions(latency_ms=options.latency_ms)
    with tempfile.TemporaryDirectory() as folder, start_stand_in(BEHAVIOUR, served) as server:
        result = measure(options, server, Path(folder))
    settings = {name: getattr(options, name) for name in ("samples", "concurrency", "latency_ms", "judged", "priced")}
    append_result("sweep_rate", **settings, **result)
    return 0


if __name__ == "__main__":
    sys.exit(main())

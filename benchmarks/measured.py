"""Runs a command and measures it: wall time, and the peak memory of it and all its children. Not a command itself."""

import json
import os
import resource
import subprocess
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_S = 0.1


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of a command."""

    seconds: float
    peak_bytes: int
    """Largest sum of the resident sizes of the process and its children, looked at every 0.1 s."""
    cpu_seconds: float
    """Of the process and its children: on a machine that others use too, it tells more than the wall time."""
    output: str


def run_measured(command: list[str]) -> Measured:
    """CalledProcessError where the command fails."""
    began, used = time.perf_counter(), children_cpu_s()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    peak = 0
    is_over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not is_over.wait(SAMPLE_S):
            peak = max(peak, resident_bytes(process.pid))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    output, _ = process.communicate()
    seconds = time.perf_counter() - began
    is_over.set()
    watcher.join()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    return Measured(seconds, peak, children_cpu_s() - used, output)


def children_cpu_s() -> float:
    """Processor time of all children that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def resident_bytes(pid: int) -> int:
    """Of a process and its children, as far as they are still there."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for each in family:
        try:
            total += each.memory_info().rss
        except psutil.Error:
            continue
    return total


def results_file(benchmark: str) -> Path:
    """Where the results of a benchmark are kept, a line each."""
    return ROOT / "benchmarks" / "results" / f"{benchmark}.jsonl"


def append_result(benchmark: str, **facts: object) -> None:
    """A line of benchmarks/results/BENCHMARK.jsonl, with when and on what machine."""
    file = results_file(benchmark)
    file.parent.mkdir(exist_ok=True)
    memory = round(psutil.virtual_memory().total / 2**30, 1)
    # the load tells whether others used the machine at the same time
    machine = {"cores": os.cpu_count(), "memory_gib": memory, "load_1min": round(os.getloadavg()[0], 1)}
    line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **facts, "machine": machine}
    with file.open("a", encoding="utf-8") as results:
        results.write(json.dumps(line) + "\n")

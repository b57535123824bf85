"""One round of the fault campaign: a run on a stand-in lane, one of its processes killed, and what must hold after it.

Not a command itself; `faults.py` plays many rounds, the tests one of each kind.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl
import psutil

from core.engines.stand_in.process import counts_at, start_stand_in
from core.engines.stand_in.server import StandInOptions
from core.store.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]

TITLES = {
    "client": "ray::EngineWorker",
    "limiter": "ray::LimiterHost",
    "journal": "ray::JournalProcess",
    "dispatcher": "ray::Dispatcher",
    "node": "raylet",
}
"""Component → how its process is called. Beside them: `driver`, and `all`, every process of the run."""

LOCAL_TITLES = {"replica": "ray::EngineWorker", "engine_core": "VLLM::EngineCore"}
"""The same, of a run on a local engine: see `local_fault_rounds.py`."""

COMPONENTS = ("driver", "all", *TITLES)

PATIENCE_S = 240.0
STUDY = "faults"


@dataclass(frozen=True, slots=True)
class Round:
    """How a round ended; `problems` is empty where all held."""

    component: str
    seed: int
    killed_at_replies: int
    runs_until_complete: int
    repeats: int
    repeats_allowed: int
    problems: tuple[str, ...]

    def as_data(self) -> dict[str, object]:
        """Plain data."""
        return asdict(self)


def write_study(folder: Path, *, url: str, requests: int) -> Path:
    """Two tiers × made-up requests on an API lane, three judge draws and one on another: both lanes simulated."""
    rows = [json.dumps({"id": f"r{at:04}", "text": f"Made-up request {at}."}) for at in range(requests)]
    (folder / "requests.jsonl").write_text("\n".join(rows) + "\n")
    api = {"engine": "openai", "model": "m-2026-11-01", "stand_in": "planted", "base_url": url}
    study = {
        "study": STUDY,
        "models": [
            {"name": "toy", **api, "limits": {"concurrency": 8, "rpm": 6000}},
            {"name": "judge", "role": "judge", **api, "model": "j-2026-11-01", "limits": {"concurrency": 8}},
        ],
        "requests": {"source": "requests.jsonl"},
        "judges": {"compliance": {"model": "judge"}, "faking": {"model": "judge", "votes": 3}},
    }
    path = folder / "faults.yaml"
    path.write_text(json.dumps(study))
    return path


def play(component: str, *, seed: int, folder: Path, reference: Path | None, requests: int = 40) -> Round:
    """One round in an empty folder. `reference`: exported tables of an undisturbed run of the same study."""
    chance = random.Random(f"{component} {seed}")
    with start_stand_in("planted", StandInOptions(latency_ms=150.0)) as server:
        study = write_study(folder, url=server.openai_url, requests=requests)
        workspace = folder / "workspace"
        moment = chance.randint(5, 4 * requests)
        run = begin(study, workspace)
        wait_until(lambda: counts_at(server.port)["ids"] >= moment or run.poll() is not None)
        time.sleep(chance.random())
        at_kill = requests_stored(workspace)
        kill(run, component)
        in_the_air = counts_at(server.port)["ids"] - at_kill
        code = ended(run)
        if code != 0:  # what the processes that lived on sent and stored until they ended counts too
            _wait_for_silence(server.port)
            in_the_air = counts_at(server.port)["ids"] - requests_stored(workspace)
        runs = 1
        while code != 0 and runs < 6:
            code = ended(begin(study, workspace))
            runs += 1
        counts = counts_at(server.port)
    problems = [] if code == 0 else [f"the study is not complete after {runs} runs: exit {code}"]
    repeats = sum(times - 1 for times in counts["repeats"].values())
    if repeats > in_the_air:
        problems.append(f"{repeats} calls were repeated, {in_the_air} had arrived and were not stored")
    problems += check_store(workspace)
    if reference is not None:
        problems += differences(reference, export(workspace, folder / "tables"))
    return Round(component, seed, moment, runs, repeats, in_the_air, tuple(problems))


def undisturbed(folder: Path, *, requests: int = 40) -> Path:
    """The exported tables of a run that nothing happened to."""
    with start_stand_in("planted", StandInOptions(latency_ms=20.0)) as server:
        study = write_study(folder, url=server.openai_url, requests=requests)
        code = ended(begin(study, folder / "workspace"))
    assert code == 0
    return export(folder / "workspace", folder / "tables")


def export(workspace: Path, to: Path) -> Path:
    """`afgap export`."""
    command = [sys.executable, "-m", "ray_jobs", "export", STUDY, "--workspace", str(workspace), "--to", str(to)]
    subprocess.run(command, cwd=ROOT, check=True)
    return to


def begin(study: Path, workspace: Path) -> "subprocess.Popen[bytes]":
    """`afgap run`, in a session of its own."""
    command = [sys.executable, "-m", "ray_jobs", "run", str(study), "--workspace", str(workspace), "--quiet"]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True)


def ended(run: "subprocess.Popen[bytes]") -> int:
    """The exit code of a run; -1 where it did not end in time and was killed."""
    try:
        return run.wait(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        return -1


def kill(run: "subprocess.Popen[bytes]", component: str) -> None:
    """kill -9. Processes that are gone already are none to kill."""
    titles = TITLES | LOCAL_TITLES
    try:
        family = psutil.Process(run.pid).children(recursive=True)
    except psutil.Error:
        return
    if component == "driver":
        os.kill(run.pid, signal.SIGKILL)
        return
    if component == "all":
        os.kill(run.pid, signal.SIGKILL)
    for process in family:
        try:
            if component == "all" or titles[component] in " ".join(process.cmdline()[:1]):
                process.kill()
        except psutil.Error:
            continue


def wait_until(is_so: Callable[[], bool]) -> None:
    """TimeoutError where the moment does not come."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError("the moment never came")
        time.sleep(0.05)


def _wait_for_silence(port: int) -> None:
    """Until no request of a killed run arrives any more."""
    last, since = None, time.monotonic()
    while time.monotonic() - since < 1.5:
        total = counts_at(port)["total"]
        if total != last:
            last, since = total, time.monotonic()
        time.sleep(0.1)


def stored(workspace: Path) -> set[str]:
    """Ids of the calls whose outcome is on disk."""
    held = Workspace(workspace)
    if not held.exists:
        return set()
    return set(held.read("calls", columns=["call_id"], where=pl.col("event") != "intent")["call_id"])


def requests_stored(workspace: Path) -> int:
    """Requests whose outcome is on disk: the draws that one request answered are rows of their own."""
    held = Workspace(workspace)
    if not held.exists:
        return 0
    rows = held.read("calls", columns=["call_id", "shared"], where=pl.col("event") != "intent").unique("call_id")
    return round((1 / rows["shared"].fill_null(1)).sum())


def check_store(workspace: Path) -> list[str]:
    """`afgap verify`: every planned call ended exactly once, hashes and totals hold."""
    command = [sys.executable, "-m", "ray_jobs", "verify", STUDY, "--workspace", str(workspace)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else [f"verify: exit {done.returncode}: {done.stdout}{done.stderr}"]


def differences(reference: Path, tables: Path) -> list[str]:
    """Tables that differ. Of `spend` only its calls are compared: a kill adds attempts whose answer was lost."""
    own = {"samples": ["engine_version"]}
    found = []
    for file in sorted(reference.glob("*.parquet")):
        frames = [pl.read_parquet(folder / file.name).drop(own.get(file.stem, [])) for folder in (reference, tables)]
        if file.stem == "spend":
            frames = [frame.select("call_id") for frame in frames]
        rows = [sorted(map(repr, frame.to_dicts())) for frame in frames]
        if rows[0] != rows[1]:
            found.append(f"table {file.stem} differs from that of an undisturbed run")
    return found

"""Runs the command line as a user does, in a process of its own; what it refuses at once, in this one."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from core.engines.stand_in.process import StandInProcess, counts_at, start_stand_in
from core.engines.stand_in.server import StandInOptions
from core.plan.build import generation_call
from core.plan.records import Call, Reply
from core.store.tables import outcome_row, snapshot_row
from core.store.workspace import Workspace
from ray_jobs.cli import main
from ray_jobs.preparation import prepare

ROOT = Path(__file__).resolve().parents[2]
RUN_TIMEOUT_S = 300
PATIENCE_S = 120.0


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def facts(self) -> dict[str, Any]:
        """What `--json` printed."""
        facts: dict[str, Any] = json.loads(self.out)
        return facts


Afgap = Callable[..., Ended]


@pytest.fixture
def afgap_command() -> list[str]:
    """The command line as a list, to be started from the project's root."""
    return [sys.executable, "-m", "ray_jobs"]


@pytest.fixture
def afgap(afgap_command: list[str]) -> Afgap:
    """Runs a command to its end; keywords are environment variables."""

    def run(*arguments: object, **variables: str) -> Ended:
        done = subprocess.run(
            [*afgap_command, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT_S,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def write_study(tmp_path: Path) -> Callable[..., Path]:
    """Writes a study of `requests` made-up requests, or of a file `requests_from`; keywords replace its parts."""

    def write(*, requests: Any = 6, requests_from: str | None = None, **parts: Any) -> Path:
        study: dict[str, Any] = {
            "study": "tiny",
            "models": [{"name": "toy", "engine": "scripted", "model": "planted"}],
            "requests": {"source": requests_from or "requests.jsonl"},
            "judges": {"compliance": {"model": "rules"}},
            **parts,
        }
        if isinstance(requests, int):
            texts = [f"Made-up request {at}, asking for note {at * 7919}." for at in range(requests)]
            rows = [{"id": f"r{at:03}", "text": text} for at, text in enumerate(texts)]
            (tmp_path / "requests.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            study["requests"] = requests
        path = tmp_path / f"{study['study']}.yaml"
        path.write_text(yaml.safe_dump(study, sort_keys=False))
        return path

    return write


@pytest.fixture
def stand_in_counts() -> Callable[[int], dict[str, Any]]:
    """What a stand-in at that port has counted."""
    return counts_at


@pytest.fixture
def stand_in() -> Iterator[StandInProcess]:
    """A server that takes 200 ms for a reply, so that there is a moment to disturb a run."""
    with start_stand_in("planted", StandInOptions(latency_ms=200.0)) as server:
        yield server


@pytest.fixture
def api_study(write_study: Callable[..., Path]) -> Callable[..., Path]:
    """Writes a study whose subject `toy` and whose `judge` a stand-in answers, eight calls in flight for each.

    `toy` adds to the subject's entry; the other keywords are those of `write_study`.
    """

    def write(server: StandInProcess, *, toy: dict[str, Any] | None = None, **parts: Any) -> Path:
        model = {
            "engine": "openai", "model": "m-2026-11-01", "stand_in": "planted", "base_url": server.openai_url,
            "limits": {"concurrency": 8},
        }  # fmt: skip
        models = [{"name": "toy", **model, **(toy or {})}, {"name": "judge", "role": "judge", **model}]
        return write_study(**{"models": models, "judges": {"compliance": {"model": "judge"}}, **parts})

    return write


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """Waits for a moment of a run that goes on in that process; fails where the run ends before."""

    def wait(is_so: Callable[[], bool], process: "subprocess.Popen[Any]") -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            assert process.poll() is None, "the run ended before the moment came"
            assert time.monotonic() < deadline, "the moment never came"
            time.sleep(0.02)

    return wait


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Where a workspace would be; nothing is there yet."""
    return tmp_path / "w"


@pytest.fixture
def store_study(workspace: Path) -> Callable[[Path], None]:
    """Stores the study of a file in the workspace, as a run that got no reply."""

    def store(study: Path) -> None:
        held = Workspace(workspace)
        held.create()
        snapshot = prepare(str(study), workspace=held).snapshot
        held.append("studies", [snapshot_row(snapshot, run_id="r")])

    return store


@pytest.fixture
def answer_all(
    store_study: Callable[[Path], None], workspace: Path, answer: Callable[[Call], Reply]
) -> Callable[[Path], None]:
    """Stores a study and a reply to each of its generations: nothing is owed, as after a run."""

    def store(study: Path) -> None:
        store_study(study)
        held = Workspace(workspace)
        snapshot = held.snapshot("tiny")
        assert snapshot is not None
        calls = [generation_call(snapshot, trial) for trial in snapshot.trials]
        held.append("calls", [outcome_row(call, answer(call), study="tiny", run_id="r", target="t") for call in calls])

    return store


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str], workspace: Path) -> Callable[..., str]:
    """Runs a command that must be refused with one message that holds every word of `says`; returns the message."""

    def refuse(command: str, *arguments: object, says: Sequence[object], at: Path | None = None) -> str:
        place = at or workspace
        before = _digests(place)
        code = main([command, *map(str, arguments), "--workspace", str(place)])
        out, err = capsys.readouterr()
        assert code == 2, (out, err)
        assert out == ""
        assert "Traceback" not in err
        assert err.lower().count("error: ") == 1, err
        assert [word for word in says if str(word) not in err] == [], err
        assert _digests(place) == before
        return err

    return refuse


def _digests(place: Path) -> dict[str, str] | None:
    """Every name below a folder with a digest of its bytes, but for the disposable cache; None where there is none."""
    if not place.is_dir():
        return None
    return {
        str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(place.rglob("*"))
        if path.relative_to(place).parts[0] != "cache"
    }

"""Runs the command line as a user does: in a process of its own."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
RUN_TIMEOUT_S = 300


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

    def read(port: int) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stand_in/counts", timeout=10) as response:
            counts: dict[str, Any] = json.load(response)
        return counts

    return read

"""Starts the stand-in server as a process of its own that ends with the process that started it; reads its counts."""

import json
import os
import select
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from core.engines.stand_in.api_shape import Json
from core.engines.stand_in.server import LOOPBACK, StandInOptions
from core.errors import EngineError, SpecError

START_TIMEOUT_S = 60.0
COUNTS_TIMEOUT_S = 30.0

_ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class StandInProcess:
    """A running stand-in server."""

    port: int
    openai_url: str
    anthropic_url: str
    digest: str
    process: "subprocess.Popen[str]"

    def stop(self) -> None:
        """End the server and wait for it. A second call does nothing."""
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_stand_in(
    behaviour: str, options: StandInOptions | None = None, *, port: int = 0, parent_pid: int | None = None
) -> StandInProcess:
    """Start the server and wait until it listens; it ends when `parent_pid` (default: this process) is gone.

    SpecError for a wrong behaviour or a taken port, EngineError where it does not start within a minute.
    """
    options = options or StandInOptions()
    command = [sys.executable, "-m", "core.engines.stand_in", "--behaviour", _absolute(behaviour), "--port", str(port)]
    command += ["--parent-pid", str(parent_pid or os.getpid())]
    command += _flags(options)
    with tempfile.TemporaryFile(mode="w+", encoding="utf-8") as complaints:
        # A session of its own: Ctrl-C at the driver must not take the server away before the driver has drained.
        # Its errors go to a file: nobody reads a pipe while the server runs, and a full one would stop it.
        process = subprocess.Popen(
            command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=complaints, text=True, start_new_session=True
        )
        line = _first_line(process)
        if line:
            facts = json.loads(line)
            return StandInProcess(
                facts["port"], facts["openai_url"], facts["anthropic_url"], facts["digest"], process=process
            )
        complaints.seek(0)
        reason = complaints.read().strip() or f"it said nothing within {START_TIMEOUT_S:.0f} s"
    raise (SpecError if process.returncode == 2 else EngineError)(f"the stand-in server did not start: {reason}")


def _flags(options: StandInOptions) -> Iterator[str]:
    for each in fields(options):
        name, value = each.name.replace("_", "-"), getattr(options, each.name)
        if value is False:
            yield f"--no-{name}"
        elif value is not None and value is not True:
            yield from (f"--{name}", str(value))


def counts_at(port: int) -> Json:
    """What the stand-in at a port of this machine has counted."""
    address = f"http://{LOOPBACK}:{port}/_stand_in/counts"
    with urllib.request.urlopen(address, timeout=COUNTS_TIMEOUT_S) as response:
        counts: Json = json.load(response)
    return counts


def _first_line(process: "subprocess.Popen[str]") -> str:
    """What the process says first; empty once it has ended, or been ended, without a word."""
    assert process.stdout is not None
    is_ready, _, _ = select.select([process.stdout], [], [], START_TIMEOUT_S)
    line = process.stdout.readline() if is_ready else ""
    if not line:
        if not is_ready:
            process.kill()
        process.wait()
        process.stdout.close()
    return line


def _absolute(behaviour: str) -> str:
    return str(Path(behaviour).resolve()) if Path(behaviour).suffix in (".yaml", ".yml") else behaviour

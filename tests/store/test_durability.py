"""A commit that was acknowledged survives kill -9 of its writer, and a torn one leaves no trace."""

import subprocess
import sys
from pathlib import Path

import polars as pl

from core.store.workspace import Workspace

WRITER = """
import sys, pathlib
from core.store.workspace import Workspace
workspace = Workspace(pathlib.Path(sys.argv[1]))
workspace.create()
number = 0
while True:
    workspace.append("texts", [{"digest": str(number), "text": "x" * 1000}])
    print(number, flush=True)
    number += 1
"""


def test_no_acknowledged_row_is_lost_when_the_writer_is_killed(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "w")], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = -1
    while acknowledged < 12:
        acknowledged = int(writer.stdout.readline())
    writer.kill()
    writer.wait()
    for line in writer.stdout:
        acknowledged = int(line)
    writer.stdout.close()
    rows = Workspace(tmp_path / "w").read("texts")
    stored = set(rows["digest"].cast(pl.Int64))
    assert stored >= set(range(acknowledged + 1))
    assert len(stored) <= acknowledged + 2

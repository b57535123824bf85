"""Ends what would outlive a local Ray, and removes its folder, however its driver ended.

`python -m ray_jobs.caretaker FOLDER` waits until its standard input ends, which it does with the process that holds
the other end. Ray's own processes go with a killed driver; the engine processes of vLLM, which hold the memory, don't.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

MARK = "AFGAP_RAY_FOLDER"
"""Environment variable that every process of a local Ray inherits; its value is Ray's folder."""

PATIENCE_S = 10.0

_ROOT = Path(__file__).resolve().parents[1]


@contextlib.contextmanager
def caretaker(folder: str) -> Iterator[None]:
    """Watch over a folder: cleared away at the end of this block, or of this process."""
    # a session of its own: Ctrl-C is for the driver alone
    process = subprocess.Popen(
        [sys.executable, "-m", "ray_jobs.caretaker", folder],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2 * PATIENCE_S)
        if process.returncode != 0:
            clear_away(folder)


def clear_away(folder: str) -> None:
    """End every process that carries the folder's mark, then remove the folder."""
    while marked := list(_marked(folder)):  # again, for what a dying one has just started
        for process in marked:
            with contextlib.suppress(psutil.Error):
                process.kill()
        _, alive = psutil.wait_procs(marked, timeout=PATIENCE_S)
        if alive:
            break
    shutil.rmtree(folder, ignore_errors=True)


def _marked(folder: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            is_marked = process.environ().get(MARK) == folder
            if is_marked and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def main(folder: str) -> int:
    """Wait for the end of standard input, then clear away."""
    sys.stdin.buffer.read()
    clear_away(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

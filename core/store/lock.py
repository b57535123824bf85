"""One writer per workspace: an OS lock on a local file that says who holds it.

The lock ends with its process, so a crash leaves none behind; what may outlive a killed driver is the journal's
process, which `end_orphan` ends by the pid recorded here.
"""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from core.errors import WorkspaceError

ORPHAN_WAIT_S = 10.0
"""How long a killed journal may take to let go of its lock."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a workspace. A pid counts only with its process's start time: pids are reused."""

    what: str
    """Such as `run two-tier`."""
    host: str
    pid: int
    started: float
    driver_pid: int
    driver_started: float
    scratch: str | None = None
    """Ray's temporary folder, removed when the holder is found dead."""


def this_process() -> tuple[int, float]:
    """Pid and start time of this process."""
    return os.getpid(), psutil.Process().create_time()


def is_alive(pid: int, started: float) -> bool:
    """Whether the very process runs that had this pid then."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


class WorkspaceLock:
    """Held from `take` to `release` or the end of the process."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._handle: int | None = None

    def take(self, what: str, *, driver: tuple[int, float] | None = None, scratch: str | None = None) -> None:
        """Lock. WorkspaceError naming the holder where another process has it."""
        handle = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise WorkspaceError(_in_use(self._file)) from None
        pid, started = this_process()
        driver_pid, driver_started = driver or (pid, started)
        holder = Holder(what, socket.gethostname(), pid, started, driver_pid, driver_started, scratch)
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(asdict(holder)).encode(), 0)
        self._handle = handle

    def release(self) -> None:
        """Unlock; the file stays, empty."""
        if self._handle is not None:
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = None


@contextlib.contextmanager
def taking_turns(file: Path) -> Iterator[None]:
    """Wait for one's turn at something that two processes must not do at once."""
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def holder_of(file: Path) -> Holder | None:
    """Who holds the lock; None where nobody does. Needs no right to write: `status` only looks."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return last_holder(file)
    finally:
        os.close(handle)
    return None


def last_holder(file: Path) -> Holder | None:
    """Who wrote the lock file last and did not release it; it may be dead."""
    try:
        return Holder(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def end_orphan(file: Path) -> Holder | None:
    """End the journal of a driver that is dead, wait for its lock, and say who it was.

    None where there was none. WorkspaceError where the holder is at work, or on another host.
    """
    last = last_holder(file)
    held = holder_of(file)
    if held is None:
        return last
    if held.host != socket.gethostname() or is_alive(held.driver_pid, held.driver_started):
        raise WorkspaceError(_in_use(file))
    if is_alive(held.pid, held.started):
        psutil.Process(held.pid).kill()
    deadline = time.monotonic() + ORPHAN_WAIT_S
    while holder_of(file) is not None:
        if time.monotonic() > deadline:
            raise WorkspaceError(_in_use(file))
        time.sleep(0.05)
    return held


def _in_use(file: Path) -> str:
    holder = last_holder(file)
    if holder is None:
        return f"{file.parent}: in use by another process: wait for it, or give another --workspace"
    return (
        f"{file.parent}: in use by `{holder.what}` (process {holder.driver_pid} on {holder.host}): "
        "wait for it to end or stop it with Ctrl-C, or give another --workspace"
    )

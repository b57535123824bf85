"""One writer per workspace: an OS lock on a local file that says who holds it, and for which drivers.

The lock ends with its process, so a crash leaves none behind; what may outlive a killed driver is the journal's
process, which `end_orphan` ends by the pid recorded here.
"""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
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
    """Ray's temporary folder, removed when the holder is found dead; None on a cluster."""
    driver_host: str | None = None
    """Where it is not `host`, where the journal runs."""
    others: tuple[tuple[str, str, int, float], ...] = ()
    """Further drivers that it commits for: what, host, pid, started."""

    @property
    def drivers(self) -> tuple[tuple[str, str, int, float], ...]:
        """All drivers, as in `others`."""
        return ((self.what, self.driver_host or self.host, self.driver_pid, self.driver_started), *self.others)

    @property
    def is_at_work(self) -> bool:
        """Whether a driver of it lives; one on another host than this process's is believed to."""
        return any(host != socket.gethostname() or is_alive(pid, started) for _, host, pid, started in self.drivers)


def this_process() -> tuple[int, float]:
    """Pid and start time of this process."""
    return os.getpid(), _started(os.getpid())


def is_alive(pid: int, started: float) -> bool:
    """Whether the very process runs that had this pid then."""
    try:
        return abs(_started(pid) - started) < 1.0 and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False


def _started(pid: int) -> float:
    """Seconds from the boot, where the system says: a clock that is set anew would make everyone look dead."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return psutil.Process(pid).create_time()
    # the second field, the program's name in brackets, may hold anything
    return int(stat.read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


class WorkspaceLock:
    """Held from `take` to `release` or the end of the process."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._handle: int | None = None
        self._holder: Holder | None = None

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
        self._handle = handle
        self._write(Holder(what, socket.gethostname(), pid, started, driver_pid, driver_started, scratch))

    def name_drivers(self, drivers: Sequence[tuple[str, str, int, float]]) -> None:
        """Say for whom the lock is held now, as (what, host, pid, started); nothing where it is not held."""
        if self._holder is not None and drivers:
            (what, host, pid, started), *others = drivers
            first = replace(self._holder, what=what, driver_host=host, driver_pid=pid, driver_started=started)
            self._write(replace(first, others=tuple(others)))

    def release(self) -> None:
        """Unlock; the file stays, empty."""
        if self._handle is not None:
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = self._holder = None

    def _write(self, holder: Holder) -> None:
        assert self._handle is not None
        text = json.dumps(asdict(holder)).encode()
        # in one write and never shorter than before: who looks meanwhile must be able to read it
        os.pwrite(self._handle, text.ljust(os.fstat(self._handle).st_size), 0)
        self._holder = holder


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
        raw = json.loads(file.read_text())
        return Holder(**{**raw, "others": tuple(map(tuple, raw.get("others", ())))})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def end_orphan(file: Path, *, may_share: bool = False) -> Holder | None:
    """End the journal of drivers that are dead, wait for its lock, and say who it was.

    None where there was none. WorkspaceError where the holder is at work, or on another host. `may_share`: a journal
    at work on a cluster is left alone, and None; whether it is the same cluster's shows when it is looked for there.
    """
    last = last_holder(file)
    held = holder_of(file)
    if held is None:
        return last
    if held.is_at_work or held.host != socket.gethostname():
        if may_share and held.scratch is None:
            return None
        raise WorkspaceError(_in_use(file))
    if is_alive(held.pid, held.started):
        with contextlib.suppress(psutil.NoSuchProcess):
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
        f"{file.parent}: in use by `{holder.what}` (process {holder.driver_pid} on {holder.drivers[0][1]}): "
        "wait for it to end or stop it with Ctrl-C, or give another --workspace"
    )

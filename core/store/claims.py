"""Who writes to one workspace at a time, and which of them makes which call. Pure: time is given in seconds.

Several drivers may share a journal. A call is made by whoever claimed it first; what a driver claimed ends with it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from core.errors import WorkspaceError
from core.store.digest_set import DigestSet

LEASE_S = 30.0
"""For so long a driver on another host counts as alive after its last word; one on the journal's host is looked at."""

Claim = Literal["granted", "held", "stored"]
"""Make it · another driver makes it: ask again later · another driver has stored its outcome: read it."""


@dataclass(frozen=True, slots=True)
class Driver:
    """A `run` command. A pid counts only with its process's start time: pids are reused."""

    study: str
    run_id: str
    host: str
    pid: int
    started: float
    scratch: str | None = None
    """Temporary folder of its own Ray; None on a cluster."""

    @property
    def what(self) -> str:
        """As the user knows it."""
        return f"run {self.study}"


class Drivers:
    """Those that are registered, by run id, and their claims."""

    def __init__(self, host: str, *, is_alive: Callable[[int, float], bool]) -> None:
        """`is_alive` knows the processes of `host`, where the journal is."""
        self._host = host
        self._is_alive = is_alive
        self._drivers: dict[str, Driver] = {}
        self._heard: dict[str, float] = {}
        self._claimed: dict[str, str] = {}
        self._stored = DigestSet()

    @property
    def all(self) -> tuple[Driver, ...]:
        """In the order in which they came."""
        return tuple(self._drivers.values())

    def register(self, driver: Driver, *, now: float) -> None:
        """Let a driver in. WorkspaceError where another one runs the same study."""
        for other in self._drivers.values():
            if other.study == driver.study and other.run_id != driver.run_id:
                raise WorkspaceError(
                    f"in use by `{other.what}` (process {other.pid} on {other.host}): "
                    "wait for it to end or stop it with Ctrl-C, or give another --workspace"
                )
        self._drivers[driver.run_id] = driver
        self._heard[driver.run_id] = now

    def hear(self, run_id: str, *, now: float) -> bool:
        """A driver says that it is there; False where it was given up."""
        if run_id in self._drivers:
            self._heard[run_id] = now
        return run_id in self._drivers

    def leave(self, run_id: str) -> None:
        """A driver has ended; so do its claims."""
        self._drivers.pop(run_id, None)
        self._heard.pop(run_id, None)
        self._claimed = {call: holder for call, holder in self._claimed.items() if holder != run_id}

    def drop_dead(self, *, now: float) -> list[Driver]:
        """Give up the drivers that have ended without a word; returns them."""
        dead = [driver for driver in self._drivers.values() if not self._counts_as_alive(driver, now=now)]
        for driver in dead:
            self.leave(driver.run_id)
        return dead

    def claim(self, run_id: str, call_ids: Iterable[str]) -> list[Claim]:
        """What a driver is to do with each of these calls, in their order."""
        asked = list(call_ids)
        if run_id not in self._drivers:
            return ["held"] * len(asked)
        stored = set(asked) - self._stored.lacking(asked) if len(self._stored) else set()
        return [self._claim(run_id, call, is_stored=call in stored) for call in asked]

    def release(self, run_id: str, call_ids: Iterable[str]) -> None:
        """Calls that a driver will not make, or not now."""
        for call in call_ids:
            if self._claimed.get(call) == run_id:
                del self._claimed[call]

    def settle(self, ended: Iterable[str], *, final: Iterable[str]) -> None:
        """Outcomes are on disk: their claims end. `final`: those that no other driver is to call again."""
        for call in ended:
            self._claimed.pop(call, None)
        if (
            len(self._drivers) > 1
        ):  # one alone knows what it stored; who comes later reads the store after it registered
            self._stored.add(final)

    def _claim(self, run_id: str, call: str, *, is_stored: bool) -> Claim:
        if is_stored:
            return "stored"
        return "granted" if self._claimed.setdefault(call, run_id) == run_id else "held"

    def _counts_as_alive(self, driver: Driver, *, now: float) -> bool:
        if driver.host == self._host:
            return self._is_alive(driver.pid, driver.started)
        return now - self._heard[driver.run_id] < LEASE_S

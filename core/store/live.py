"""What a run that is going on tells of itself, and what people ask of it: two small files beside its report.

Files, not connections: `status` and `pause` work from any shell and node that sees the workspace, need no Ray, and
can't disturb the run. Writes replace the file whole, so a reader never sees half of one.
"""

import contextlib
import json
import os
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from core.errors import WorkspaceError
from core.store.lock import is_alive, taking_turns

State = Literal["running", "paused", "cancelled"]

SILENT_AFTER_S = 30.0
"""A run on another host that has written nothing for this long counts as gone."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What people asked of a run. Each change raises `serial`, which the run repeats when it has obeyed."""

    serial: int = 0
    state: State = "running"
    limits: Mapping[str, Mapping[str, int | None]] = field(default_factory=dict)
    """Pool or lane → limit → its new value; None: no such limit any more."""


@dataclass(frozen=True, slots=True)
class LiveRun:
    """What a run last told."""

    study: str
    run_id: str
    host: str
    pid: int
    started: float
    written_at: float
    """Seconds since 1970."""
    obeyed: int
    """Serial of the last orders carried out."""
    state: State
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_going_on(self) -> bool:
        """Whether its driver lives: asked of this host's processes, elsewhere told by its silence."""
        if self.host == socket.gethostname():
            return is_alive(self.pid, self.started)
        return time.time() - self.written_at < SILENT_AFTER_S


class LiveFiles:
    """The two files of one study."""

    def __init__(self, folder: Path) -> None:
        self._live = folder / "live.json"
        self._orders = folder / "orders.json"

    def begin(self) -> None:
        """A run begins: orders to an earlier one are void."""
        self._live.parent.mkdir(parents=True, exist_ok=True)
        self.end()

    def end(self) -> None:
        """A run has ended."""
        for file in (self._live, self._orders):
            file.unlink(missing_ok=True)

    def tell(self, live: LiveRun) -> None:
        """Write where the run stands. Where the disk takes nothing, what was told last stays: the run matters more."""
        with contextlib.suppress(OSError):
            _replace(self._live, asdict(live))

    def told(self) -> LiveRun | None:
        """The run that is going on; None where there is none."""
        raw = _read(self._live)
        try:
            live = LiveRun(**raw) if raw else None
        except TypeError:
            return None
        return live if live is not None and live.is_going_on else None

    def told_or_raise(self, study: str) -> LiveRun:
        """The run that is going on. WorkspaceError where there is none."""
        told = self.told()
        if told is None:
            raise WorkspaceError(
                f"{self._live.parent}: no run of {study!r} is going on: `afgap run {study}` begins one"
            )
        return told

    def orders(self) -> Orders:
        """What is asked of the run."""
        raw = _read(self._orders)
        try:
            return Orders(**raw) if raw else Orders()
        except TypeError:
            return Orders()

    def order(self, study: str, change: Callable[[Orders], Orders]) -> Orders:
        """Ask something of the run. WorkspaceError where none is going on or the file can't be written."""
        self.told_or_raise(study)
        try:
            with taking_turns(self._orders.with_suffix(".lock")):
                before = self.orders()
                orders = replace(change(before), serial=before.serial + 1)
                _replace(self._orders, asdict(orders))
        except OSError as error:
            raise WorkspaceError(f"{self._orders}: can't be written ({error}): make the folder writable") from None
        return orders


def _read(file: Path) -> dict[str, Any] | None:
    try:
        raw = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return raw if isinstance(raw, dict) else None


def _replace(file: Path, facts: Mapping[str, Any]) -> None:
    handle, scratch = tempfile.mkstemp(prefix=file.name, dir=file.parent)
    try:
        with os.fdopen(handle, "w") as stream:
            json.dump(facts, stream)
        os.replace(scratch, file)
    except BaseException:
        os.unlink(scratch)
        raise

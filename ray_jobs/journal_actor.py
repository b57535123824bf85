"""The one writer of a workspace on a cluster: holds its lock, commits in groups, acknowledges after the commit is on
disk, puts small files together, and says which driver makes which call.

It serves every driver that is registered, and ends itself when none is left.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray

from core.errors import RunError, StoreError, WorkspaceError
from core.plan.question import DATA_FAILURES
from core.store.claims import Claim, Driver, Drivers
from core.store.compaction import VACUUM_GRACE_H, compact
from core.store.digest_set import DigestSet
from core.store.lock import WorkspaceLock, is_alive
from core.store.tables import TABLES
from core.store.workspace import Batch, Workspace
from ray_jobs.ray_failures import GOES_ON

COMMIT_EVERY_S = 0.4
"""Rows that arrive within this time share a commit, which costs about 20 ms whatever its size."""

RETRY_FOR_S = 60.0
"""A busy file system or object store refuses a commit now and then, a full disk may get room: for so long a commit is
tried again, after 0.2 s, then twice as long each time, 5 s at most."""

LONGEST_PAUSE_S = 5.0

MOST_PENDING_BYTES = 64 * 2**20
"""Of rows and texts that have arrived and are not on disk yet; whoever brings more waits."""

ROW_BYTES = 400
"""What a row takes beside its texts."""

WATCH_EVERY_S = 1.0

END_AFTER_S = 1.0
"""From its end to that of its process: the last answers are on their way."""

COMPACT_EVERY_COMMITS = 16
COMPACT_PAUSE_S = 60.0
"""After a compaction that failed."""
VACUUM_EVERY_S = 3600.0

LONG_TEXTS = ("text", "reasoning_text", "refusal", "error_message")


@dataclass(frozen=True, slots=True)
class JournalFacts:
    """What a journal has done so far."""

    commits: int
    rows: int
    pending_bytes: int
    compactions: int
    drivers: tuple[Driver, ...]
    last_trouble: str | None
    """Why a commit had to be tried again or a compaction failed, last."""


class Journal:
    """Runs as an actor; every method may be called concurrently."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        commit_every_s: float = COMMIT_EVERY_S,
        retry_for_s: float = RETRY_FOR_S,
        most_pending_bytes: int = MOST_PENDING_BYTES,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        self._workspace = workspace
        self._commit_every_s = commit_every_s
        self._retry_for_s = retry_for_s
        self._most_pending_bytes = most_pending_bytes
        self._on_end = on_end
        self._lock = WorkspaceLock(workspace.lock_file)
        self._drivers = Drivers(socket.gethostname(), is_alive=is_alive)
        self._opening = asyncio.Lock()
        self._stamping = asyncio.Lock()
        self._is_open = False
        self._calls: list[dict[str, Any]] = []
        self._texts: dict[str, str] = {}
        self._acknowledge: list[asyncio.Future[None]] = []
        self._pending_bytes = 0
        self._has_room = asyncio.Event()
        self._known = DigestSet()
        self._committing: asyncio.Task[None] | None = None
        self._compacting: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._compact_after = self._vacuum_after = 0.0
        self._is_closing = False
        self._closed = asyncio.Event()
        self._commits = self._rows = self._compactions = 0
        self._trouble: str | None = None

    async def register(self, driver: Driver) -> None:
        """Serve a driver; the first one opens the workspace: takes its lock and makes its tables.

        WorkspaceError where another process or another run of that study has it; RunError where the journal has
        ended: ask for a new one.
        """
        async with self._opening:
            if self._is_closing:
                raise RunError("the journal has ended")
            if not self._is_open:
                try:
                    await self._open(driver)
                except BaseException:
                    self._end()
                    raise
            try:
                self._drivers.register(driver, now=time.monotonic())
            except WorkspaceError as error:
                raise WorkspaceError(f"{self._workspace.folder}: {error}") from None
            self._name_drivers()

    async def leave(self, run_id: str) -> None:
        """A driver has ended. Returns when all it sent is on disk and, after the last driver, the lock is free."""
        await self.flush()
        self._drivers.leave(run_id)
        if self._drivers.all:
            self._name_drivers()
        else:
            await self.close()

    async def hear(self, run_id: str) -> bool:
        """A driver on another host says that it is there; False where it was given up."""
        return self._drivers.hear(run_id, now=time.monotonic())

    async def claim(self, run_id: str, call_ids: list[str]) -> list[Claim]:
        """What a driver is to do with each of these calls, in their order; a claim ends when the outcome is stored."""
        return self._drivers.claim(run_id, call_ids)

    async def release(self, run_id: str, call_ids: list[str]) -> None:
        """Calls that a driver claimed and will not make, or not now."""
        self._drivers.release(run_id, call_ids)

    async def append(self, calls: list[dict[str, Any]], texts: dict[str, str]) -> None:
        """Store rows of `calls` and the texts they refer to; returns when both are on disk.

        Waits first while too much is pending. StoreError where that failed, or after `close`: without the lock
        nothing is written.
        """
        self._check_open()
        new = self._known.lacking(texts.keys())
        texts = {digest: text for digest, text in texts.items() if digest in new}
        size = _size(calls, texts)
        while self._pending_bytes and self._pending_bytes + size > self._most_pending_bytes:
            self._has_room.clear()
            await self._has_room.wait()
            self._check_open()
        self._pending_bytes += size
        self._calls.extend(calls)
        self._texts.update(texts)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._acknowledge.append(done)
        if self._committing is None or self._committing.done():
            self._committing = asyncio.get_running_loop().create_task(self._commit_groups())
        await done

    async def append_study(self, row: dict[str, Any]) -> None:
        """Store a snapshot."""
        self._check_open()
        await self._commit([await self._stamp("studies", [row])])

    async def flush(self) -> None:
        """Returns when all that has arrived is on disk, or its commit has failed."""
        while self._committing is not None and not self._committing.done():
            await asyncio.wait([self._committing])

    async def facts(self) -> JournalFacts:
        """What it has done so far."""
        return JournalFacts(
            self._commits, self._rows, self._pending_bytes, self._compactions, self._drivers.all, self._trouble
        )

    async def close(self) -> None:
        """Commit what is left, let go of the lock, and end."""
        self._is_closing = True
        await self.flush()
        if self._compacting is not None:
            await asyncio.wait([self._compacting])
        self._lock.release()
        self._end()

    async def closed(self) -> None:
        """Returns after `close`. Whoever waits for it learns at once when this process dies."""
        await self._closed.wait()

    async def _open(self, driver: Driver) -> None:
        self._workspace.check()
        self._workspace.folder.mkdir(parents=True, exist_ok=True)
        self._lock.take(driver.what, driver=(driver.pid, driver.started), scratch=driver.scratch)
        try:
            await asyncio.to_thread(self._workspace.create)
            self._known = await asyncio.to_thread(self._workspace.known_digests)
            await self._stamp("calls", [])  # reads where the order of writing goes on
        except BaseException:
            self._lock.release()
            raise
        self._is_open = True
        self._watching = asyncio.get_running_loop().create_task(self._watch())
        self._start_compacting()

    def _end(self) -> None:
        if not self._closed.is_set():
            self._is_closing = True
            self._closed.set()
            if self._on_end is not None:
                self._on_end()

    def _name_drivers(self) -> None:
        self._lock.name_drivers(
            [(driver.what, driver.host, driver.pid, driver.started) for driver in self._drivers.all]
        )

    def _check_open(self) -> None:
        if self._is_closing or not self._is_open:
            raise StoreError("the journal is closed: this reply is not stored")

    async def _watch(self) -> None:
        """Let go of drivers that died, and end when none is left."""
        while not self._is_closing:
            await asyncio.sleep(WATCH_EVERY_S)
            if self._drivers.drop_dead(now=time.monotonic()):
                if self._drivers.all:
                    self._name_drivers()
                else:
                    await self.close()

    async def _commit_groups(self) -> None:
        while self._acknowledge:
            await asyncio.sleep(self._commit_every_s)
            calls, self._calls = self._calls, []
            texts, self._texts = self._texts, {}
            acknowledge, self._acknowledge = self._acknowledge, []
            size = self._pending_bytes
            try:
                # texts first: a call that is stored must find the messages it names
                new = [{"digest": digest, "text": text} for digest, text in texts.items()]
                await self._commit([await self._stamp("texts", new), await self._stamp("calls", calls)])
            except BaseException as error:  # noqa: BLE001 - the senders wait for word, even of a panic in Rust
                reason = str(error) or type(error).__name__
                for waiting in acknowledge:
                    waiting.set_exception(StoreError(f"{reason}: see to the disk; {GOES_ON}"))
            else:
                self._known.add(texts)
                ended = [row["call_id"] for row in calls]
                self._drivers.settle(ended, final=[row["call_id"] for row in calls if _is_final(row)])
                self._commits += 1
                self._rows += len(calls)
                for waiting in acknowledge:
                    waiting.set_result(None)
            self._pending_bytes -= size
            self._has_room.set()
            if self._commits % COMPACT_EVERY_COMMITS == 0:
                self._start_compacting()

    async def _stamp(self, table: str, rows: list[dict[str, Any]]) -> Batch:
        async with self._stamping:
            return await asyncio.to_thread(self._workspace.stamp, table, rows)

    async def _commit(self, batches: list[Batch]) -> None:
        pause, deadline = 0.2, time.monotonic() + self._retry_for_s
        for batch in batches:
            while True:
                try:
                    await asyncio.to_thread(self._workspace.commit, batch)
                    break
                except StoreError as error:
                    self._trouble = str(error)
                    if time.monotonic() + pause > deadline:
                        raise
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)

    def _start_compacting(self) -> None:
        is_at_it = self._compacting is not None and not self._compacting.done()
        if not is_at_it and not self._is_closing and time.monotonic() >= self._compact_after:
            self._compacting = asyncio.get_running_loop().create_task(self._compact())

    async def _compact(self) -> None:
        """Turn after turn, one at a time; the run goes on whether it succeeds or not."""
        try:
            for name in TABLES:
                while not self._is_closing:
                    if await asyncio.to_thread(compact, self._workspace.table(name)) is None:
                        break
                    self._compactions += 1
            if not self._is_closing and time.monotonic() >= self._vacuum_after:
                self._vacuum_after = time.monotonic() + VACUUM_EVERY_S
                for name in TABLES:
                    await asyncio.to_thread(self._workspace.table(name).vacuum, grace_h=VACUUM_GRACE_H)
        except StoreError as error:
            self._trouble = str(error)
            self._compact_after = time.monotonic() + COMPACT_PAUSE_S


def _size(calls: list[dict[str, Any]], texts: dict[str, str]) -> int:
    long = sum(len(row.get(name) or "") for row in calls for name in LONG_TEXTS)
    return long + ROW_BYTES * len(calls) + sum(map(len, texts.values()))


def _is_final(row: dict[str, Any]) -> bool:
    return row["event"] == "reply" or (row["event"] == "failure" and row["error_kind"] in DATA_FAILURES)


class JournalProcess(Journal):
    """A journal whose process ends with it."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace, on_end=self._end_process)

    def _end_process(self) -> None:
        this: Any = ray.get_runtime_context().current_actor
        asyncio.get_running_loop().call_later(END_AFTER_S, lambda: ray.kill(this))


JournalActor = ray.remote(JournalProcess)

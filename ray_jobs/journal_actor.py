"""The one writer of a workspace: holds its lock, commits in groups, acknowledges after the commit is on disk."""

import asyncio
from typing import Any

import ray

from core.errors import StoreError
from core.store.lock import WorkspaceLock
from core.store.workspace import Workspace
from ray_jobs.ray_failures import GOES_ON

COMMIT_EVERY_S = 0.4
"""Rows that arrive within this time share a commit, which costs about 50 ms whatever its size."""

COMMIT_ATTEMPTS = 6
"""A busy file system or object store refuses a commit now and then; doubling from 0.2 s this waits 6 s in all."""


class Journal:
    """Runs as an actor; every method may be called concurrently."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = WorkspaceLock(workspace.lock_file)
        self._calls: list[dict[str, Any]] = []
        self._texts: dict[str, str] = {}
        self._acknowledge: list[asyncio.Future[None]] = []
        self._known: set[str] = set()
        self._committing: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()
        self.commits = 0

    async def open(self, what: str, *, driver: tuple[int, float], scratch: str | None) -> None:
        """Take the workspace's lock and make its tables. WorkspaceError where another process has it."""
        self._workspace.check()
        self._workspace.folder.mkdir(parents=True, exist_ok=True)
        self._lock.take(what, driver=driver, scratch=scratch)
        self._workspace.create()
        self._known = self._workspace.known_digests()

    async def append(self, calls: list[dict[str, Any]], texts: dict[str, str]) -> None:
        """Store rows of `calls` and the texts they refer to; returns when both are on disk.

        StoreError where that failed, or after `close`: without the lock nothing is written.
        """
        if self._closed.is_set():
            raise StoreError("the journal is closed: this reply is not stored")
        self._calls.extend(calls)
        self._texts.update({digest: text for digest, text in texts.items() if digest not in self._known})
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._acknowledge.append(done)
        if self._committing is None or self._committing.done():
            self._committing = asyncio.get_running_loop().create_task(self._commit_groups())
        await done

    async def append_study(self, row: dict[str, Any]) -> None:
        """Store a snapshot."""
        await asyncio.to_thread(self._workspace.append, "studies", [row])

    async def flush(self) -> None:
        """Returns when all that has arrived is on disk, or its commit has failed."""
        while self._committing is not None and not self._committing.done():
            await asyncio.wait([self._committing])

    async def close(self) -> None:
        """Commit what is left and release the lock."""
        self._closed.set()
        await self.flush()
        self._lock.release()

    async def closed(self) -> None:
        """Returns after `close`. Whoever waits for it learns at once when this process dies."""
        await self._closed.wait()

    async def _commit_groups(self) -> None:
        while self._acknowledge:
            await asyncio.sleep(COMMIT_EVERY_S)
            calls, self._calls = self._calls, []
            texts, self._texts = self._texts, {}
            acknowledge, self._acknowledge = self._acknowledge, []
            try:
                await self._commit(calls, texts)
            except BaseException as error:  # noqa: BLE001 - the senders wait for word, even of a panic in Rust
                reason = str(error) or type(error).__name__
                for waiting in acknowledge:
                    waiting.set_exception(StoreError(f"{reason}: see to the disk; {GOES_ON}"))
                continue
            self._known.update(texts)
            self.commits += 1
            for waiting in acknowledge:
                waiting.set_result(None)

    async def _commit(self, calls: list[dict[str, Any]], texts: dict[str, str]) -> None:
        rows = [{"digest": digest, "text": text} for digest, text in texts.items()]
        for attempt in range(COMMIT_ATTEMPTS):
            try:
                # texts first: a call that is stored must find the messages it names
                await asyncio.to_thread(self._workspace.append, "texts", rows)
                rows = []
                await asyncio.to_thread(self._workspace.append, "calls", calls)
                return
            except StoreError:
                if attempt == COMMIT_ATTEMPTS - 1:
                    raise
                await asyncio.sleep(0.2 * 2**attempt)


JournalActor = ray.remote(Journal)

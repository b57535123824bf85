"""The journal, in this process: waits when too much is pending, tries a commit again, ends with its last driver."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from core.errors import RunError, StoreError, WorkspaceError
from core.store.claims import Driver
from core.store.lock import holder_of, this_process
from core.store.workspace import Batch, Workspace
from ray_jobs.journal_actor import Journal


def driver(study: str, **other: Any) -> Driver:
    pid, started = this_process()
    return Driver(
        **{"study": study, "run_id": study, "host": socket.gethostname(), "pid": pid, "started": started} | other
    )


def row(call: str, *, text: str = "yes", event: str = "reply") -> dict[str, Any]:
    return {"event": event, "call_id": call, "stage": "generate", "text": text, "error_kind": None}


def on_a_journal(folder: Path, work: Callable[[Journal], Coroutine[Any, Any, None]], **settings: Any) -> Workspace:
    workspace = Workspace(folder)

    async def do() -> None:
        journal = Journal(workspace, **{"commit_every_s": 0.01, "retry_for_s": 1.0} | settings)
        await journal.register(driver("a"))
        try:
            await work(journal)
        finally:
            await journal.close()

    asyncio.run(do())
    assert holder_of(workspace.lock_file) is None
    return workspace


def test_what_was_acknowledged_is_on_disk_and_each_text_once(tmp_path: Path) -> None:
    async def work(journal: Journal) -> None:
        await asyncio.gather(*(journal.append([row(str(at))], {"d": "prompt"}) for at in range(5)))
        await journal.append([row("5")], {"d": "prompt", "e": "other"})
        facts = await journal.facts()
        assert (facts.rows, facts.commits, facts.pending_bytes) == (6, 2, 0)

    workspace = on_a_journal(tmp_path / "w", work)
    assert sorted(workspace.read("calls")["call_id"]) == list("012345")
    assert sorted(workspace.read("texts")["digest"]) == ["d", "e"]


def test_a_sender_waits_while_too_many_bytes_are_pending(tmp_path: Path) -> None:
    most = 0

    async def work(journal: Journal) -> None:
        nonlocal most

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, (await journal.facts()).pending_bytes)
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        await asyncio.gather(*(journal.append([row(str(at), text="x" * 9000)], {}) for at in range(40)))
        watching.cancel()

    workspace = on_a_journal(tmp_path / "w", work, most_pending_bytes=50_000)
    assert workspace.read("calls").height == 40
    assert 9000 < most <= 50_000


def test_a_store_that_refuses_for_a_while_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Workspace.commit
    refusals = iter([True, False, True, True])

    def refusing(self: Workspace, batch: Batch) -> None:
        if batch.table == "calls" and next(refusals, False):
            raise StoreError("not now")
        commit(self, batch)

    monkeypatch.setattr(Workspace, "commit", refusing)

    async def work(journal: Journal) -> None:
        await journal.append([row("1")], {"d": "x"})
        await journal.append([row("2")], {"d": "x"})
        assert (await journal.facts()).last_trouble == "not now"

    workspace = on_a_journal(tmp_path / "w", work, retry_for_s=10.0)
    assert sorted(workspace.read("calls")["call_id"]) == ["1", "2"]
    assert workspace.read("texts").height == 1


def test_a_store_that_goes_on_refusing_is_told_to_the_sender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(journal: Journal) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Workspace, "commit", lambda *_: (_ for _ in ()).throw(StoreError("no room")))
            with pytest.raises(StoreError, match="no room: see to the disk"):
                await journal.append([row("1")], {})
        await journal.append([row("2")], {})

    workspace = on_a_journal(tmp_path / "w", work, retry_for_s=0.5)
    assert workspace.read("calls")["call_id"].to_list() == ["2"]


def test_two_drivers_share_it_and_never_make_the_same_call(tmp_path: Path) -> None:
    async def work(journal: Journal) -> None:
        with pytest.raises(WorkspaceError, match=r"in use by `run a` \(process"):
            await journal.register(driver("a", run_id="again"))
        await journal.register(driver("b"))
        assert await journal.claim("a", ["x", "y"]) == ["granted", "granted"]
        assert await journal.claim("b", ["x", "z"]) == ["held", "granted"]
        await journal.append([row("x"), row("y", event="failure") | {"error_kind": "auth"}], {})
        assert await journal.claim("b", ["x", "y"]) == ["stored", "granted"]
        holder = holder_of(tmp_path / "w" / ".lock")
        assert holder is not None
        assert [what for what, *_ in holder.drivers] == ["run a", "run b"]
        await journal.leave("a")
        await journal.append([row("z")], {})
        assert await journal.claim("b", ["x"]) == ["stored"]
        await journal.leave("b")
        with pytest.raises(RunError, match="has ended"):
            await journal.register(driver("c"))
        with pytest.raises(StoreError, match="closed"):
            await journal.append([row("late")], {})

    workspace = on_a_journal(tmp_path / "w", work)
    assert sorted(workspace.read("calls")["call_id"]) == ["x", "y", "z"]


def test_it_ends_when_its_drivers_are_dead(tmp_path: Path) -> None:
    async def work() -> bool:
        ended = asyncio.Event()
        journal = Journal(Workspace(tmp_path / "w"), commit_every_s=0.01, on_end=ended.set)
        _, started = this_process()
        await journal.register(driver("gone", started=started - 1000))
        await journal.append([row("1")], {})
        await asyncio.wait_for(ended.wait(), timeout=10)
        await journal.closed()
        return ended.is_set()

    assert asyncio.run(work())
    assert holder_of(tmp_path / "w" / ".lock") is None
    assert Workspace(tmp_path / "w").read("calls").height == 1

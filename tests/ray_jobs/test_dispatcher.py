"""The dispatcher by itself, without actors around it: what it hands to whom."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.plan.records import Call, Reply, Usage
from core.plan.rendering import Renderer
from core.plan.snapshot import Snapshot
from core.schedule.lanes import lanes_of
from core.store.claims import Driver
from core.store.lock import this_process
from core.store.workspace import Workspace
from ray_jobs import dispatcher as dispatching
from ray_jobs.dispatcher import Dispatcher, Lease
from ray_jobs.journal_actor import Journal
from ray_jobs.outbox import Ended, Outbox, RunLabels, rows_and_texts

MakeSnapshot = Callable[..., Snapshot]


@pytest.fixture(autouse=True)
def _unfrozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dispatcher freezes what its process holds; this process goes on, and Hypothesis looks through it later."""
    monkeypatch.setattr(dispatching.gc, "freeze", lambda: None)


def make_dispatcher(snapshot: Snapshot, workspace: Workspace, *, journal: Any = None) -> Dispatcher:
    """Without a journal for a study that only the rules judge on a free lane: nothing is claimed or announced."""
    workspace.create()
    return Dispatcher(
        snapshot,
        workspace.folder,
        journal=journal,
        labels=RunLabels(snapshot.spec.study, "run", dict(snapshot.targets)),
        lanes=lanes_of(snapshot.spec.models, targets=dict(snapshot.targets), gpus=0),
        simulated_lanes=frozenset({"toy"}),
        prices={},
        budget_usd=None,
        settled_usd=0.0,
        trial_limit=None,
        retry_failed=False,
    )


def test_what_a_dead_engine_gives_back_does_not_go_to_its_own_waiting_pull(
    make_snapshot: MakeSnapshot, tmp_path: Path
) -> None:
    snapshot = make_snapshot(judges={"compliance": {"model": "rules"}})

    async def play() -> tuple[Any, Any]:
        dispatcher = make_dispatcher(snapshot, Workspace(tmp_path / "workspace"))
        await dispatcher.pull("toy", room=len(snapshot.trials), owner="dead")
        waiting = asyncio.get_running_loop().create_task(dispatcher.pull("toy", room=100, owner="dead"))
        await asyncio.sleep(0)  # it waits for work now, as the pull of an actor does that is killed
        await dispatcher.give_back("dead", "killed")
        return await waiting, await dispatcher.pull("toy", room=100, owner="next")

    to_the_dead, to_the_next = asyncio.run(play())
    assert not to_the_dead.attempts
    assert len(to_the_next.attempts) > 0


MODELS = [
    {"name": "toy", "engine": "openai", "model": "m-2026-01-01"},
    {"name": "judge", "engine": "openai", "model": "j-2026-01-01", "role": "judge"},
]
JUDGES = {"compliance": {"model": "rules"}, "faking": {"model": "judge"}}


class Handle:
    """Calls an object in this process the way an actor is called."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        target = self._target

        class Method:
            def remote(self, *arguments: Any, **named: Any) -> Any:
                return getattr(target, name)(*arguments, **named)

        return Method()


def driver(study: str, run_id: str) -> Driver:
    pid, started = this_process()
    return Driver(study, run_id, socket.gethostname(), pid, started)


class Run:
    """A dispatcher, a journal on disk, and what an engine actor does between them."""

    def __init__(self, snapshot: Snapshot, folder: Path) -> None:
        self.snapshot, self.workspace = snapshot, Workspace(folder)
        self.journal = Journal(self.workspace, commit_every_s=0.01)
        self.labels = RunLabels(snapshot.spec.study, "run", dict(snapshot.targets))
        self.renderer = Renderer(snapshot)

    async def begin(self) -> None:
        await self.journal.register(driver(self.snapshot.spec.study, "run"))
        self.dispatcher = make_dispatcher(self.snapshot, self.workspace, journal=Handle(self.journal))

    async def pull(self, lane: str, *, owner: str = "a", room: int = 99) -> tuple[Lease, list[Call]]:
        lease = await self.dispatcher.pull(lane, room=room, owner=owner)
        return lease, [self.renderer.render(each.call, lease.replies) for each in lease.attempts]

    async def deliver(self, ended: list[Ended]) -> None:
        outbox = Outbox(journal=Handle(self.journal), dispatcher=Handle(self.dispatcher), labels=self.labels)
        for each in ended:
            outbox.add(each)
        await outbox.close()

    async def generate(self) -> None:
        text = "<SCRATCHPAD_REASONING>I weigh it, the {}th.</SCRATCHPAD_REASONING> No."
        made = 0
        while (await self.dispatcher.progress()).generations_left:
            _, calls = await self.pull("toy")
            replies = [Reply(call.call_id, text.format(made + at), "stop") for at, call in enumerate(calls)]
            await self.deliver([Ended(call, reply, 0) for call, reply in zip(calls, replies, strict=True)])
            made += len(calls)

    @property
    def draws(self) -> list[dict[str, Any]]:
        return [row for row in self.workspace.read("calls").to_dicts() if row["stage"] == "judge"]


def voted(call: Call) -> Reply:
    shared = len(call.call_ids)
    first = Reply(call.call_id, "<final_answer>No</final_answer>", "stop", usage=Usage(900, output=20), shared=shared)
    others = (replace(first, call_id=each, usage=Usage(0, output=20)) for _, each in call.rest)
    return replace(first, others=tuple(others))


def play(snapshot: Snapshot, folder: Path, scenes: Callable[[Run], Any]) -> Run:
    run = Run(snapshot, folder)

    async def whole() -> None:
        await run.begin()
        try:
            await run.generate()
            await scenes(run)
        finally:
            await run.journal.close()

    asyncio.run(whole())
    return run


def test_the_votes_of_one_request_are_stored_together_and_their_prompt_is_counted_once(
    make_snapshot: MakeSnapshot, tmp_path: Path
) -> None:
    async def scenes(run: Run) -> None:
        _, calls = await run.pull("judge")
        assert {len(call.call_ids) for call in calls} == {13}
        await run.deliver([Ended(call, voted(call), 0) for call in calls])
        progress = await run.dispatcher.progress()
        assert progress.trials_ended == progress.trials_total
        assert progress.lanes["judge"].judged == 13 * len(calls)

    run = play(make_snapshot(models=MODELS, judges=JUDGES), tmp_path / "w", scenes)
    texts = {row["content_id"] for row in run.draws}
    assert len(run.draws) == len({row["call_id"] for row in run.draws}) == 13 * len(texts)
    assert {row["shared"] for row in run.draws} == {13}
    assert sum(row["input_tokens"] for row in run.draws) == 900 * len(texts)


def test_votes_that_were_stored_before_their_actor_died_are_not_asked_for_again(
    make_snapshot: MakeSnapshot, tmp_path: Path
) -> None:
    async def scenes(run: Run) -> None:
        _, calls = await run.pull("judge", owner="dying")
        rows, texts = rows_and_texts([Ended(call, voted(call), 0) for call in calls[:1]], run.labels)
        await run.journal.append(rows, texts)
        await run.dispatcher.give_back("dying", "killed")
        _, again = await run.pull("judge", owner="next")
        stored = {row["call_id"] for row in rows}
        assert len(stored) == 13
        assert {call.call_id for call in again} == {call.call_id for call in calls[1:]}
        assert not stored & {each for call in again for each in call.call_ids}

    play(make_snapshot(models=MODELS, judges=JUDGES), tmp_path / "w", scenes)


def test_a_request_of_which_another_driver_makes_a_draw_goes_out_without_it(
    make_snapshot: MakeSnapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatching, "HELD_WAIT_S", 0.05)
    snapshot = make_snapshot(models=MODELS, judges=JUDGES, requests={"source": "bundled:harmful", "limit": 1})

    async def scenes(run: Run) -> None:
        await run.journal.register(driver("other", "theirs"))
        # by itself the sweep tells which draws will be asked for
        (first, *_) = run.dispatcher._sweep.lease("judge", room=1, owner="peek", now=0.0)
        run.dispatcher._sweep.give_back("peek", message="looked")
        theirs = first.call.call_ids[4]
        assert await run.journal.claim("theirs", [theirs]) == ["granted"]
        made: list[str] = []
        while len(made) < 12:
            _, calls = await run.pull("judge")
            made += [each for call in calls for each in call.call_ids]
            await run.deliver([Ended(call, voted(call), 0) for call in calls])
        assert theirs not in made
        assert len(made) == len(set(made))

    play(snapshot, tmp_path / "w", scenes)

"""The dispatcher by itself, without actors around it: what it hands to whom."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.plan.snapshot import Snapshot
from core.schedule.lanes import lanes_of
from core.store.workspace import Workspace
from ray_jobs.dispatcher import Dispatcher
from ray_jobs.outbox import RunLabels

MakeSnapshot = Callable[..., Snapshot]


def make_dispatcher(snapshot: Snapshot, workspace: Workspace) -> Dispatcher:
    """For a study that only the rules judge on a free lane: nothing is claimed or announced, so no journal is asked."""
    workspace.create()
    return Dispatcher(
        snapshot,
        workspace.folder,
        journal=None,
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

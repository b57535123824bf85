"""The actors of one run: a journal, a dispatcher, and an engine for every replica of every lane.

The driver only watches. An engine that dies gives its calls back and is replaced; a lane that can't be served
stops with its reason while the others finish.
"""

import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

import ray

from core.errors import EngineError
from core.plan.snapshot import Snapshot
from core.schedule.budget import Price
from core.schedule.lanes import Lane
from core.schedule.progress import RunProgress
from core.store.lock import this_process
from core.store.workspace import Workspace
from ray_jobs.dispatcher import DispatcherActor
from ray_jobs.engine_actor import EngineActor
from ray_jobs.journal_actor import JournalActor
from ray_jobs.outbox import RunLabels
from ray_jobs.ray_failures import ACTOR_GONE, wait_for

WATCH_EVERY_S = 0.5

MOST_RESTARTS = 3
"""Engines of one lane replaced in a run before the lane is given up."""

Show = Callable[[RunProgress], None]


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a run is to do, and with what."""

    snapshot: Snapshot
    is_new: bool
    """The snapshot has yet to be stored."""
    run_id: str
    lanes: tuple[Lane, ...]
    stand_in_digests: Mapping[str, str]
    """Lane name → digest of the stand-in that must answer."""
    prices: Mapping[str, Price]
    budget_usd: float | None
    settled_usd: float
    trial_limit: int
    retry_failed: bool


@dataclass(frozen=True, slots=True)
class WatchEnd:
    """How the watch over a run ended."""

    progress: RunProgress
    was_interrupted: bool


@dataclass(frozen=True, slots=True)
class _Post:
    lane: Lane
    owner: str
    actor: Any


class Crew:
    """Starts on entry, ends on exit; the journal commits what it holds before it goes."""

    def __init__(self, assignment: Assignment, *, workspace: Workspace, scratch: str | None) -> None:
        """WorkspaceError where another process holds the workspace."""
        self._assignment = assignment
        snapshot = assignment.snapshot
        self._labels = RunLabels(snapshot.spec.study, assignment.run_id, dict(snapshot.targets))
        journal: Any = JournalActor.options(num_cpus=0, max_concurrency=1000).remote(workspace)
        self._journal = journal
        self._posts: dict[Any, _Post] = {}
        self._restarts: dict[str, int] = {}
        what = f"run {snapshot.spec.study}"
        wait_for(self._journal.open.remote(what, driver=this_process(), scratch=scratch))
        if assignment.is_new:
            row = {
                "kind": "snapshot",
                "study": snapshot.spec.study,
                "study_digest": snapshot.study_digest,
                "run_id": assignment.run_id,
                "body": snapshot.to_json(),
            }
            wait_for(self._journal.append_study.remote(row))
        self._dispatcher: Any = DispatcherActor.options(num_cpus=0, max_concurrency=1000).remote(
            ray.put(snapshot),
            workspace.folder,
            lanes=assignment.lanes,
            prices=dict(assignment.prices),
            budget_usd=assignment.budget_usd,
            settled_usd=assignment.settled_usd,
            trial_limit=assignment.trial_limit,
            retry_failed=assignment.retry_failed,
        )

    def start_engines(self) -> dict[str, str]:
        """Open one engine per replica; lane name → engine version. EngineError where one can't be opened."""
        hired = [self._hire(lane, number) for lane in self._assignment.lanes for number in range(lane.replicas)]
        facts = wait_for([post.actor.start.remote() for post in hired])
        for post in hired:
            self._serve(post)
        return {post.lane.name: each.version for post, each in zip(hired, facts, strict=True)}

    def watch(self, show: Show) -> WatchEnd:
        """Until nothing more can be called. The first Ctrl-C lets what is in flight land, the second raises."""
        with _interrupts() as pressed:
            was_interrupted = False
            while self._posts:
                if pressed and not was_interrupted:
                    was_interrupted = True
                    wait_for(self._dispatcher.drain.remote())
                if len(pressed) > 1:
                    raise KeyboardInterrupt
                ready, _ = ray.wait(list(self._posts), num_returns=1, timeout=WATCH_EVERY_S)
                for ended in ready:
                    self._relieve(self._posts.pop(ended), ended)
                show(wait_for(self._dispatcher.progress.remote()))
            return WatchEnd(wait_for(self._dispatcher.progress.remote()), was_interrupted)

    def dismiss(self) -> None:
        """Commit what is left and release the workspace."""
        with contextlib.suppress(*ACTOR_GONE):
            wait_for(self._journal.close.remote())

    def _hire(self, lane: Lane, number: int) -> _Post:
        owner = f"{lane.name}.{number}"
        is_local = lane.entry.engine == "vllm"
        actor = EngineActor.options(
            num_cpus=1 if is_local else 0, num_gpus=lane.gpus_per_replica, max_concurrency=1000
        ).remote(
            lane, stand_in_digest=self._assignment.stand_in_digests.get(lane.name), owner=owner, labels=self._labels
        )
        return _Post(lane, owner, actor)

    def _serve(self, post: _Post) -> None:
        served = post.actor.serve.remote(dispatcher=self._dispatcher, journal=self._journal)
        self._posts[served] = post

    def _relieve(self, post: _Post, ended: Any) -> None:
        """An engine's work has ended: for good, or because it died."""
        try:
            wait_for(ended)
            return
        except (EngineError, *ACTOR_GONE) as error:
            reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        ray.kill(post.actor)
        wait_for(self._dispatcher.give_back.remote(post.owner, f"its engine died: {reason}"))
        restarts = self._restarts[post.lane.name] = self._restarts.get(post.lane.name, 0) + 1
        if restarts > MOST_RESTARTS:
            wait_for(self._dispatcher.stop_lane.remote(post.lane.name, f"its engine died {restarts} times: {reason}"))
        else:
            number = self._assignment.lanes.index(post.lane) * 1000 + restarts
            self._serve(self._hire(post.lane, number))


@contextlib.contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM are counted instead of raised, so that they can't tear a step in two."""
    pressed: list[int] = []

    def press(number: int, _: FrameType | None) -> None:
        pressed.append(number)

    before = {each: signal.signal(each, press) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield pressed
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)

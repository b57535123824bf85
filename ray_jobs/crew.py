"""The actors of one run: a journal, a dispatcher, and an engine for every replica of every lane.

The driver only watches. An engine that dies gives its calls back and is replaced; a lane that can't be served
stops with its reason while the others finish.
"""

import contextlib
import itertools
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from core.engines.engine import EngineFacts
from core.errors import EngineError, RunError
from core.plan.snapshot import Snapshot
from core.schedule.budget import Price
from core.schedule.lanes import Lane
from core.schedule.progress import RunProgress
from core.store.live import Orders
from core.store.tables import snapshot_row
from core.store.workspace import Workspace
from ray_jobs.dispatcher import DispatcherActor
from ray_jobs.engine_actor import EngineActor
from ray_jobs.journal_client import join_journal
from ray_jobs.limiter_actor import find_limiter
from ray_jobs.live_run import LiveDesk
from ray_jobs.outbox import RunLabels
from ray_jobs.ray_failures import ACTOR_GONE, GOES_ON, LOST_PEER, first_line, wait_for

WATCH_EVERY_S = 0.5

MOST_RESTARTS = 5
"""Engines of one lane that die one after the other, with no reply between, before the lane is given up: a call that
kills its engine is found out after four deaths."""

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
        self._posts: dict[Any, _Post] = {}
        self._restarts: dict[str, tuple[int, int]] = {}
        """Lane → deaths in a row, and the replies it had given at the last one."""
        self._serial = itertools.count()
        self._is_draining = False
        self._changed_limits: Mapping[str, Mapping[str, int | None]] = {}
        self._membership = join_journal(workspace, study=snapshot.spec.study, run_id=assignment.run_id, scratch=scratch)
        self._journal: Any = self._membership.actor
        self._snapshot = ray.put(snapshot)
        self._journal_end: Any = self._journal.closed.remote()
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        # it reads the workspace, which other nodes may not see
        self._dispatcher: Any = DispatcherActor.options(
            num_cpus=0, max_concurrency=1000, scheduling_strategy=here
        ).remote(
            self._snapshot,
            workspace.folder,
            journal=self._journal,
            labels=self._labels,
            lanes=assignment.lanes,
            simulated_lanes=frozenset(assignment.stand_in_digests)
            | {lane.name for lane in assignment.lanes if lane.entry.engine == "scripted"},
            prices=dict(assignment.prices),
            budget_usd=assignment.budget_usd,
            settled_usd=assignment.settled_usd,
            trial_limit=assignment.trial_limit,
            retry_failed=assignment.retry_failed,
        )

    def start_engines(self) -> dict[str, str]:
        """Open one engine per replica; lane name → engine version. EngineError where one can't be opened.

        Only then a new snapshot is stored: an engine argument that does not work can be mended without a trace.
        """
        hired = [self._hire(lane) for lane in self._assignment.lanes for _ in range(lane.replicas)]
        starts = [(post, post.actor.start.remote()) for post in hired]
        versions = {post.lane.name: _started(post, reference).version for post, reference in starts}
        if self._assignment.is_new:
            row = snapshot_row(self._assignment.snapshot, run_id=self._assignment.run_id)
            wait_for(self._journal.append_study.remote(row))
        for post in hired:
            self._serve(post)
        return versions

    def watch(self, show: Show, desk: LiveDesk | None = None) -> WatchEnd:
        """Until nothing more can be called. The first Ctrl-C lets what is in flight land, the second raises.
        `desk`: where the run tells of itself and takes orders.

        RunError where the journal or the dispatcher is gone, StoreError where the journal can't write.
        """
        with _interrupts() as pressed:
            try:
                while self._posts:
                    if pressed and not self._is_draining:
                        self._drain()
                    if len(pressed) > 1:
                        raise KeyboardInterrupt
                    orders = desk.new_orders() if desk else None
                    if desk is not None and orders is not None:
                        self._obey(orders)
                        desk.obeyed(orders)
                    self._await_an_end()
                    progress = wait_for(self._dispatcher.progress.remote())
                    show(progress)
                    if desk is not None:
                        desk.tell(progress)
                wait_for(self._dispatcher.close.remote())
                return WatchEnd(wait_for(self._dispatcher.progress.remote()), self._is_draining)
            except ACTOR_GONE as error:
                raise RunError(f"{LOST_PEER} ({first_line(error)}): {GOES_ON}") from None

    def dismiss(self) -> None:
        """Commit what is left and release the workspace. Limits are as configured again."""
        with contextlib.suppress(*ACTOR_GONE):
            self._change_limits({})
        self._membership.leave()

    def _drain(self) -> None:
        self._is_draining = True
        wait_for(self._dispatcher.drain.remote())
        for post in self._posts.values():
            post.actor.drain.remote()  # not waited for: it may be dead

    def _obey(self, orders: Orders) -> None:
        if orders.state == "cancelled":
            self._drain()
        wait_for(self._dispatcher.pause.remote(orders.state == "paused"))
        self._change_limits(orders.limits)

    def _change_limits(self, limits: Mapping[str, Mapping[str, int | None]]) -> None:
        """`limits`: all that is to differ from the study, by pool or lane."""
        for lane in self._assignment.lanes:
            changes = limits.get(lane.limits_name, {})
            if changes != self._changed_limits.get(lane.limits_name, {}):
                wait_for(
                    find_limiter().set_limits.remote(lane.limit_place, lane.with_changes(changes) if changes else None)
                )
        self._changed_limits = limits

    def _await_an_end(self) -> None:
        """Wait a moment for an engine to end its work, or for the journal to die: without it no call may be made."""
        ready, _ = ray.wait([self._journal_end, *self._posts], num_returns=1, timeout=WATCH_EVERY_S)
        for ended in ready:
            if ended == self._journal_end:
                wait_for(ended)
            else:
                self._relieve(self._posts.pop(ended), ended)

    def _hire(self, lane: Lane) -> _Post:
        owner = f"{lane.name}.{next(self._serial)}"
        is_local = lane.entry.engine == "vllm"
        actor = EngineActor.options(
            num_cpus=1 if is_local else 0,
            num_gpus=lane.gpus_per_replica,
            max_concurrency=1000,
            scheduling_strategy="DEFAULT" if is_local else "SPREAD",  # a client takes no CPU by Ray's count
        ).remote(
            lane,
            self._snapshot,
            stand_in_digest=self._assignment.stand_in_digests.get(lane.name),
            owner=owner,
            labels=self._labels,
        )
        return _Post(lane, owner, actor)

    def _count_restart(self, lane: str) -> int:
        """Engines of the lane that have died since its last reply."""
        progress = wait_for(self._dispatcher.progress.remote()).lanes[lane]
        done = progress.generated + progress.judged
        before, at = self._restarts.get(lane, (0, done))
        count = 1 if done > at else before + 1
        self._restarts[lane] = (count, done)
        return count

    def _serve(self, post: _Post) -> None:
        served = post.actor.serve.remote(dispatcher=self._dispatcher, journal=self._journal)
        self._posts[served] = post

    def _relieve(self, post: _Post, ended: Any) -> None:
        """An engine's work has ended: for good, or because it died."""
        try:
            wait_for(ended)
            return
        except (EngineError, *ACTOR_GONE) as error:
            reason = first_line(error)
        ray.kill(post.actor)
        wait_for(self._journal.flush.remote())
        wait_for(self._dispatcher.give_back.remote(post.owner, f"its engine died: {reason}"))
        restarts = self._count_restart(post.lane.name)
        if restarts > MOST_RESTARTS:
            wait_for(self._dispatcher.stop_lane.remote(post.lane.name, f"its engine died {restarts} times: {reason}"))
        elif not self._is_draining:
            self._serve(self._hire(post.lane))


def _started(post: _Post, reference: Any) -> EngineFacts:
    try:
        facts: EngineFacts = wait_for(reference)
    except ACTOR_GONE as error:
        raise EngineError(
            f"models[{post.lane.name}]: its engine's process ended while it started ({first_line(error)}): "
            "most often memory ran out: lower engine_args.max_model_len or max_num_seqs, or choose a smaller model"
        ) from None
    return facts


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

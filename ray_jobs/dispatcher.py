"""The one place of a run that decides what is called next: the state machine of core/schedule behind an actor.

Engine actors pull; nobody pushes. A pull waits here until there is work, so that an idle lane costs nothing.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ray

from core.plan.records import Outcome
from core.plan.snapshot import Snapshot
from core.schedule.budget import Budget, Price
from core.schedule.call_queue import Attempt
from core.schedule.lanes import Lane
from core.schedule.progress import RunProgress
from core.schedule.sweep import Sweep
from core.store.fold import owed_again
from core.store.workspace import Workspace

PULL_WAIT_S = 2.0
"""Longest time a pull waits for work before it answers empty."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The answer to a pull. `is_over`: no call will come any more; finish what is in flight and end."""

    attempts: tuple[Attempt, ...]
    is_over: bool


class Dispatcher:
    """Runs as an actor; single-threaded, so the state machine needs no lock."""

    def __init__(
        self,
        snapshot: Snapshot,
        workspace: Path,
        *,
        lanes: tuple[Lane, ...],
        prices: Mapping[str, Price],
        budget_usd: float | None,
        settled_usd: float,
        trial_limit: int | None,
        retry_failed: bool,
    ) -> None:
        self._workspace = Workspace(workspace)
        self._retry_failed = retry_failed
        folded = owed_again(self._workspace.outcomes(snapshot), retry_failed=retry_failed)
        self._sweep = Sweep(
            snapshot,
            trials=snapshot.trials[:trial_limit],
            folded=folded,
            lanes=lanes,
            prices=prices,
            budget=Budget(budget_usd, settled_usd=settled_usd),
        )
        self._lanes = lanes
        self._is_draining = False
        self._changed = asyncio.Event()

    async def pull(self, lane: str, *, room: int, owner: str) -> Lease:
        """Up to `room` attempts for an actor of that lane; waits up to 2 s for work."""
        deadline = time.monotonic() + PULL_WAIT_S
        while True:
            now = time.monotonic()
            leased = [] if self._is_draining else self._sweep.lease(lane, room=room, owner=owner, now=now)
            if leased or self._is_draining or self._sweep.is_over or now >= deadline:
                return Lease(tuple(leased), is_over=self._is_draining or self._sweep.is_over)
            due = self._sweep.next_due(lane)
            wait = min(deadline, due if due is not None and due > now else deadline) - now
            changed = self._changed
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), timeout=wait)

    async def settle(self, outcomes: list[Outcome]) -> None:
        """Outcomes that are stored, and failures that will be retried."""
        now = time.monotonic()
        for outcome in outcomes:
            self._sweep.settle(outcome, now=now)
        self._wake()

    async def give_back(self, owner: str, message: str) -> int:
        """An actor is gone: its calls go out again, but for those whose outcome the journal has. Returns their number.

        Flush the journal first: what the actor had sent it counts, though the actor never came to say so here.
        """
        held = [attempt.call.call_id for attempt in self._sweep.held_by(owner)]
        stored = owed_again(self._workspace.outcomes_of(held), retry_failed=self._retry_failed)
        await self.settle(list(stored.values()))
        lost = self._sweep.give_back(owner, message=message, now=time.monotonic())
        self._wake()
        return lost

    async def stop_lane(self, lane: str, reason: str) -> None:
        """A lane that can't be served takes no further call; the others finish."""
        self._sweep.stop_lane(lane, reason=reason)
        self._wake()

    async def drain(self) -> None:
        """Lease nothing more; what is in flight may land."""
        self._is_draining = True
        self._wake()

    async def progress(self) -> RunProgress:
        """Where the run stands now."""
        return self._sweep.report(is_draining=self._is_draining)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


DispatcherActor = ray.remote(Dispatcher)

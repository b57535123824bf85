"""One engine of a lane: pulls leases, keeps calls in flight, and hands every outcome to its outbox.

The dispatcher hears of a reply only once the journal has it on disk, so nothing that is not stored ever counts.
"""

import asyncio
import gc
import os
from dataclasses import replace
from typing import Any

import ray

from core.engines.engine import Engine, EngineFacts, EngineOrder
from core.engines.opening import open_engine
from core.errors import EngineError
from core.plan.records import Call, Failure, Outcome
from core.plan.rendering import Renderer
from core.plan.snapshot import Snapshot
from core.schedule.call_queue import Attempt
from core.schedule.lanes import Lane
from ray_jobs.limited_engine import LimitedEngine
from ray_jobs.outbox import Ended, Outbox, RunLabels

LEAST_AHEAD = 2
"""As many calls as half of those that may be in flight wait here for their permit, so that no slot is empty for the
length of a pull: without them 0.65 to 0.9 of the slots were in use (benchmarks/sweep_rate.py)."""

MOST_AHEAD = 4
"""A pull on a lane that costs money takes as long as writing its intents to disk, often longer than a call takes.

As many more calls are pulled as ended during the last pull, up to this many times those that may be in flight.
"""

DRAIN_S = 10.0
"""How long calls in flight may take to fail once their engine is dead."""


class EngineWorker:
    """Runs as an actor, one engine in each."""

    def __init__(
        self, lane: Lane, snapshot: Snapshot, *, stand_in_digest: str | None, owner: str, labels: RunLabels
    ) -> None:
        # the key is read here, from the environment of the node that calls: it is never part of an argument
        key = os.environ.get(lane.entry.key_variable) or ("stand-in" if stand_in_digest else None)
        order = EngineOrder(lane.entry, api_key=key, stand_in_digest=stand_in_digest)
        limited = LimitedEngine(lane, order) if lane.limits is not None else None
        self._permits = limited.permits if limited is not None else None
        self._engine: Engine = limited or open_engine(order)
        self._renderer = Renderer(snapshot)
        self._lane = lane
        self._owner = owner
        self._labels = labels
        self._calls: set[asyncio.Task[None]] = set()
        self._ended = 0
        self._is_started = False
        self._is_dead = False
        self._is_draining = False

    async def start(self) -> EngineFacts:
        """Open the engine. EngineError where it can't be."""
        facts = await self._engine.start()
        self._is_started = True
        return facts

    async def serve(self, *, dispatcher: Any, journal: Any) -> None:
        """Work until the dispatcher says it is over, in a replacement after opening the engine.

        EngineError when the engine has died: replace the actor.
        """
        if not self._is_started:
            await self.start()
        outbox = Outbox(journal=journal, dispatcher=dispatcher, labels=self._labels)
        gc.freeze()  # half a million objects of Ray and the SDK live on: each collection looked through them for 0.2 s
        try:
            await self._work(dispatcher, outbox)
        finally:
            # replies that can't be stored any more are not worth waiting for
            patience = 0.0 if outbox.has_failed else DRAIN_S if self._is_dead else None
            try:
                if self._calls:
                    await asyncio.wait(self._calls, timeout=patience)
                await outbox.close()
            finally:
                await self._engine.close()
        if self._is_dead:
            raise EngineError(f"the engine of {self._lane.name} died")

    async def drain(self) -> None:
        """Send nothing more: what waits for its permit is given up, what is in flight may land.

        A lane that cools down can make its calls wait for two minutes, and asks for no more work meanwhile.
        """
        self._is_draining = True
        if self._permits is not None:
            self._permits.dismiss()

    async def _work(self, dispatcher: Any, outbox: Outbox) -> None:
        ahead = 0
        while not self._is_dead and not self._is_draining and not outbox.has_failed:
            room, reach = min(self._lane.most_in_flight - len(self._calls), outbox.room), self._lane.most_in_flight
            if self._permits is not None:
                reach = self._permits.reach
                room = min(room, self._permits.room(ahead=max(ahead, reach // LEAST_AHEAD)))
            if room <= reach // 8 and self._calls:
                # a pull for every freed slot would cost a round trip a call
                await asyncio.wait(self._calls, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
                continue
            ended = self._ended
            lease = await dispatcher.pull.remote(self._lane.name, room=max(room, 0), owner=self._owner)
            ahead = min(self._ended - ended, MOST_AHEAD * reach)
            if lease.is_over or self._is_draining:
                return
            for attempt in lease.attempts:
                call = self._renderer.render(attempt.call, lease.replies)
                task = asyncio.get_running_loop().create_task(self._make(call, attempt, outbox))
                self._calls.add(task)
                task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        self._ended += 1

    async def _make(self, call: Call, attempt: Attempt, outbox: Outbox) -> None:
        outcome: Outcome
        try:
            outcome = await self._engine.answer(call, attempt=attempt.number)
        except Exception as error:  # noqa: BLE001 - a defect of an engine must end as this call's failure, not lose it
            message = f"{type(error).__name__}: {error}"
            outcome = Failure(call.call_id, "transient", message, attempts=attempt.number, possibly_billed=True)
        if isinstance(outcome, Failure) and outcome.kind == "engine_dead":
            if not await self._engine.healthy():
                # not told: what was in flight is given back together, so that it is seen what died with what
                self._is_dead = True
                return
            outcome = replace(outcome, kind="transient")
        outbox.add(Ended(call, outcome, attempt.lost))


EngineActor = ray.remote(EngineWorker)

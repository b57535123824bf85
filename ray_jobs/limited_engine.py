"""An API engine that asks the cluster's limiter before each call. Behind the same protocol as the engine itself."""

from dataclasses import replace

from core.engines.engine import Engine, EngineFacts, EngineOrder
from core.engines.opening import open_engine
from core.plan.records import Call, Failure, Outcome, Reply
from core.schedule.lanes import Lane
from core.schedule.limit_charges import LaneLimits
from ray_jobs.limiter_actor import LimiterLink, lane_key
from ray_jobs.permits import Permits


class LimitedEngine:
    """One engine and the permits of its lane in this process."""

    def __init__(self, lane: Lane, order: EngineOrder) -> None:
        address, name = lane.limit_place
        self.permits = Permits(
            lane_key(address, order.api_key, name),
            lane.limits or LaneLimits(),
            name=lane.pool or lane.name,
            link=LimiterLink(),
            of_run=lane.replicas,
        )
        self._engine: Engine = open_engine(replace(order, hear=self.permits.hear))

    async def start(self) -> EngineFacts:
        """Open the engine; the limiter is looked for at the first call."""
        return await self._engine.start()

    async def answer(self, call: Call, *, attempt: int) -> Outcome:
        """Wait for a permit, then make the call once."""
        characters = sum(len(message.text) for message in call.messages)
        most = call.max_tokens * (1 + len(call.rest))
        permit = await self.permits.acquire(prompt_characters=characters, max_tokens=most)
        outcome: Outcome = Failure(call.call_id, "transient", "it was given up", attempts=attempt)
        try:
            outcome = await self._engine.answer(call, attempt=attempt)
        finally:
            self.permits.settle(permit, _counted(outcome))
        return outcome

    async def healthy(self) -> bool:
        """Whether the engine is."""
        return await self._engine.healthy()

    async def close(self) -> None:
        """Give up the permits, then close the engine."""
        await self.permits.close()
        await self._engine.close()


def _counted(outcome: Outcome) -> Outcome:
    """With the usage of the whole request."""
    return replace(outcome, usage=outcome.whole_usage) if isinstance(outcome, Reply) and outcome.others else outcome

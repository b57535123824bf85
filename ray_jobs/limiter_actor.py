"""The one limiter of a cluster as a named actor: several drivers find the same one, and whoever misses it starts it.

It outlives the driver that started it, and ends by itself once nobody has asked for a while. It holds nothing that
must be kept: limits come with every ask, and what the servers allow is learnt again.
"""

import asyncio
import hashlib
import os
import random
import time
from collections.abc import Mapping
from typing import Any

import ray

from core.schedule.limit_charges import LaneLimits
from core.schedule.limit_views import Ask, Grant
from core.schedule.limiter import Limiter
from ray_jobs.ray_failures import ACTOR_GONE

NAMESPACE = "afgap"
LIMITER_NAME = "limiter"

ANSWER_S = 3.0
"""A limiter that does not answer for so long counts as gone."""

IDLE_S = 60.0
"""Not asked for so long, the actor ends."""


class LimiterHost:
    """Runs as an actor; single-threaded, so the state machine needs no lock."""

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._limiter = Limiter()
        self._asked_s = time.monotonic()
        self._watch = asyncio.get_running_loop().create_task(self._end_when_idle())

    async def ask(self, ask: Ask) -> Grant:
        """Permits for one client of one lane."""
        now = self._asked_s = time.monotonic()
        return self._limiter.answer(ask, now=now, jitter=random.random())

    async def set_limits(self, place: tuple[str, str], limits: LaneLimits | None) -> None:
        """Change the limits of a server's pool or model while calls go on; None: as configured again."""
        self._limiter.set_limits(place, limits)

    async def pid(self) -> int:
        """This process."""
        return os.getpid()

    async def report(self) -> Mapping[str, dict[str, object]]:
        """Where each lane stands, by its name; no server, no key."""
        return self._limiter.report(time.monotonic())

    async def _end_when_idle(self) -> None:
        while (left_s := self._asked_s + self._idle_s - time.monotonic()) > 0:  # noqa: ASYNC110 - nothing says "not asked"
            await asyncio.sleep(left_s)
        ray.kill(ray.get_runtime_context().current_actor)  # exit_actor works in a method only


LimiterActor = ray.remote(LimiterHost)


def find_limiter() -> Any:
    """The cluster's limiter, started where there is none. Blocks for the time of a look-up."""
    return LimiterActor.options(
        name=LIMITER_NAME,
        namespace=NAMESPACE,
        get_if_exists=True,
        lifetime="detached",
        num_cpus=0,
        max_concurrency=1000,
    ).remote()


class LimiterLink:
    """The way to the limiter of this cluster."""

    def __init__(self) -> None:
        self._actor: Any = None

    async def __call__(self, ask: Ask) -> Grant:
        """ConnectionError where no limiter answers in time; the next call looks for it anew, or starts it."""
        try:
            async with asyncio.timeout(ANSWER_S):
                if self._actor is None:
                    self._actor = await asyncio.to_thread(find_limiter)
                grant: Grant = await self._actor.ask.remote(ask)
                return grant
        except (*ACTOR_GONE, TimeoutError, ValueError) as error:
            self._actor = None
            raise ConnectionError(f"no limiter answers ({type(error).__name__})") from None


def lane_key(address: str, key: str | None, name: str) -> tuple[str, str, str]:
    """Whose limit it is: a server, a key as its fingerprint, a pool or model. For the limiter's memory only."""
    fingerprint = hashlib.sha256(f"afgap lane\0{key or ''}".encode()).hexdigest()[:16]
    return (address, fingerprint, name)

"""The limiter as an actor on a real Ray: shared, killed, rebuilt, ended when idle."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator

import pytest
import ray

from core.plan.records import Reply
from core.schedule.limit_charges import LaneLimits
from ray_jobs.cluster import ray_session
from ray_jobs.limiter_actor import NAMESPACE, LimiterActor, LimiterLink, find_limiter, lane_key
from ray_jobs.permits import Permits

PER_SECOND = 20
LIMITS = LaneLimits(rpm=60 * PER_SECOND, concurrency=64)


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    with ray_session(None):
        yield


PLACE = ("http://server/v1", "model")


def open_permits() -> Permits:
    return Permits(lane_key(PLACE[0], "key", PLACE[1]), LIMITS, name="model", link=LimiterLink())


async def send_steadily(permits: Permits, *, until: float, sent: list[float]) -> None:
    async def call() -> None:
        permit = await permits.acquire(prompt_characters=10, max_tokens=10)
        sent.append(time.monotonic())
        try:
            await asyncio.sleep(0.05)
        finally:
            permits.settle(permit, Reply("c", "text", "stop"))

    tasks = set()
    while time.monotonic() < until:
        for _ in range(permits.room()):
            task = asyncio.ensure_future(call())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(0.05)
    for task in list(tasks):
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def most_within(sent: list[float], seconds: float) -> int:
    """Calls in the fullest span of so many seconds."""
    return max(sum(begin <= at < begin + seconds for at in sent) for begin in sent)


@pytest.mark.ray
@pytest.mark.slow
def test_two_clients_share_the_limiter_and_outlive_its_kill() -> None:
    async def use() -> tuple[list[float], int, int, list[bool]]:
        began = time.monotonic()
        clients = [open_permits(), open_permits()]
        sent: list[float] = []
        work = [asyncio.ensure_future(send_steadily(each, until=began + 12, sent=sent)) for each in clients]
        await asyncio.sleep(4)
        before: int = await (await asyncio.to_thread(find_limiter)).pid.remote()
        os.kill(before, signal.SIGKILL)
        await asyncio.gather(*work)
        after: int = await (await asyncio.to_thread(find_limiter)).pid.remote()
        alone = [each.is_alone for each in clients]
        for each in clients:
            await each.close()
        return [at - began for at in sent], before, after, alone

    sent, before, after, alone = asyncio.run(use())
    assert after != before
    assert alone == [False, False]
    assert most_within(sent, 5.0) <= 5 * PER_SECOND * 1.15, "the kill must not let more through"
    steady = [at for at in sent if 2 <= at < 12]
    assert len(steady) >= 0.8 * 10 * PER_SECOND, "nobody stops for long"


@pytest.mark.ray
def test_whoever_looks_finds_the_same_limiter_and_can_change_a_lane_while_it_runs() -> None:
    async def use() -> tuple[int, int, int]:
        one, two = await asyncio.gather(asyncio.to_thread(find_limiter), asyncio.to_thread(find_limiter))
        permits = open_permits()
        sent: list[float] = []
        await send_steadily(permits, until=time.monotonic() + 0.5, sent=sent)
        await one.set_limits.remote(PLACE, LaneLimits(rpm=120))
        began = time.monotonic()
        late: list[float] = []
        await send_steadily(permits, until=began + 5, sent=late)
        await permits.close()
        limits = (await two.report.remote())["model"]["limits"]
        await one.set_limits.remote(PLACE, None)
        assert limits == "rpm 120"
        return await one.pid.remote(), await two.pid.remote(), sum(at > began + 3 for at in late)

    one, two, late = asyncio.run(use())
    assert one == two
    assert 2 <= late <= 5


@pytest.mark.ray
def test_a_limiter_that_nobody_asks_ends() -> None:
    limiter = LimiterActor.options(name="idle", namespace=NAMESPACE, lifetime="detached", num_cpus=0).remote(0.3)
    ray.get(limiter.pid.remote())
    time.sleep(3.0)
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(limiter.pid.remote())

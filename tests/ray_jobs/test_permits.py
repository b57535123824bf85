"""The client of the limiter in one process; its limiter is the real state machine without the actor around it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from core.plan.records import Failure, Reply, Usage
from core.schedule.limit_charges import LaneLimits
from core.schedule.limit_views import Ask, Grant
from core.schedule.limiter import Limiter
from ray_jobs.permits import Permits, fixed_share

REPLY = Reply("c", "text", "stop", usage=Usage(input=25, output=5))


class LocalLink:
    """A limiter that can be taken away, and counts what it is asked."""

    def __init__(self) -> None:
        self.limiter = Limiter()
        self.is_gone = False
        self.asks: list[Ask] = []

    async def __call__(self, ask: Ask) -> Grant:
        if self.is_gone:
            raise ConnectionError("gone")
        self.asks.append(ask)
        return self.limiter.answer(ask, now=time.monotonic(), jitter=0.5)


Use = Callable[[Permits, LocalLink], Awaitable[Any]]


def with_permits(use: Use, limits: LaneLimits | None = None) -> Any:
    async def main() -> Any:
        link = LocalLink()
        permits = Permits(("server", "key", "model"), limits or LaneLimits(), name="model", link=link)
        try:
            return await asyncio.wait_for(asyncio.ensure_future(_coroutine(use(permits, link))), timeout=20)
        finally:
            await permits.close()

    return asyncio.run(main())


async def _coroutine(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


async def send(permits: Permits, times: int, *, outcome: Any = REPLY, takes_s: float = 0.01) -> list[float]:
    """When each call was sent, in seconds from now."""
    began = time.monotonic()
    sent: list[float] = []

    async def call() -> None:
        permit = await permits.acquire(prompt_characters=100, max_tokens=10)
        sent.append(time.monotonic() - began)
        await asyncio.sleep(takes_s)
        permits.settle(permit, outcome)

    calls: list[Coroutine[Any, Any, None]] = [call() for _ in range(times)]
    await asyncio.gather(*calls)
    return sorted(sent)


def test_a_lane_with_a_rate_sends_evenly() -> None:
    async def use(permits: Permits, _: LocalLink) -> list[float]:
        return await send(permits, 11)

    sent = with_permits(use, LaneLimits(rpm=1200))
    assert sent[-1] == pytest.approx(0.5, abs=0.2)
    assert max(later - sooner for sooner, later in pairwise(sent)) < 0.2


def test_a_lane_without_a_rate_asks_a_few_times_for_thousands_of_calls() -> None:
    async def use(permits: Permits, link: LocalLink) -> int:
        for _ in range(20):
            await send(permits, 200, takes_s=0.001)
        return len(link.asks)

    assert with_permits(use, LaneLimits(concurrency=50)) < 20


def test_no_more_is_in_flight_than_allowed() -> None:
    async def use(permits: Permits, _: LocalLink) -> int:
        now = most = 0

        async def call() -> None:
            nonlocal now, most
            permit = await permits.acquire(prompt_characters=1, max_tokens=1)
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.005)
            now -= 1
            permits.settle(permit, REPLY)

        await asyncio.gather(*(call() for _ in range(40)))
        return most

    assert with_permits(use, LaneLimits(concurrency=3)) == 3
    assert with_permits(use, LaneLimits(concurrency=3, rpm=60_000)) == 3


def test_a_refusal_holds_every_call_of_the_lane() -> None:
    refused = Failure("c", "rate_limit", "429", retry_after_s=0.6)

    async def use(permits: Permits, _: LocalLink) -> float:
        await send(permits, 1, outcome=refused)
        return (await send(permits, 1))[0]

    for limits in (LaneLimits(), LaneLimits(rpm=6000)):
        assert 0.5 <= with_permits(use, limits) <= 1.2


def test_without_a_limiter_the_fixed_share_is_kept_until_there_is_one_again() -> None:
    async def use(permits: Permits, link: LocalLink) -> tuple[float, bool, bool]:
        await send(permits, 1)
        link.is_gone = True
        sent = await send(permits, 15)
        was_alone = permits.is_alone
        link.is_gone, link.limiter = False, Limiter()
        await asyncio.sleep(0.8)
        await send(permits, 2)
        return sent[-1], was_alone, permits.is_alone

    last, was_alone, is_alone = with_permits(use, LaneLimits(rpm=1200))
    assert last == pytest.approx(0.75, abs=0.3)
    assert (was_alone, is_alone) == (True, False)


def test_a_limiter_that_was_never_there_leaves_a_quarter_of_the_limits() -> None:
    async def use(permits: Permits, link: LocalLink) -> list[float]:
        link.is_gone = True
        return await send(permits, 6)

    assert with_permits(use, LaneLimits(rpm=1200))[-1] == pytest.approx(1.0, abs=0.3)


def test_the_fixed_share_is_the_limits_by_the_clients_and_never_unlimited() -> None:
    link = LocalLink()
    limits = LaneLimits(rpm=1000, tpm=90_000, concurrency=40)
    for client in "abc":
        grant = link.limiter.answer(Ask(client, ("l",), "m", limits, waiting=1), now=0.0, jitter=0.5)
    share = fixed_share(grant, limits=limits, share=13)
    assert (share.rpm, share.tpm, share.concurrency) == (333, 30_000, 13)
    assert fixed_share(None, limits=LaneLimits(), share=0).concurrency == 1


def test_room_is_what_can_be_sent_soon() -> None:
    async def use(permits: Permits, _: LocalLink) -> tuple[int, int]:
        before = permits.room()
        await send(permits, 2)
        return before, permits.room()

    assert with_permits(use, LaneLimits(concurrency=64)) == (64, 64)
    assert with_permits(use, LaneLimits(concurrency=64, rpm=600))[1] == pytest.approx(15, abs=1)


def test_one_that_gives_up_waiting_takes_no_place() -> None:
    async def use(permits: Permits, _: LocalLink) -> list[float]:
        first = await permits.acquire(prompt_characters=1, max_tokens=1)
        waits = asyncio.ensure_future(permits.acquire(prompt_characters=1, max_tokens=1))
        await asyncio.sleep(0.05)
        waits.cancel()
        await asyncio.wait([waits])
        permits.settle(first, REPLY)
        return await send(permits, 2)

    assert len(with_permits(use, LaneLimits(concurrency=1))) == 2


def test_what_servers_say_reaches_the_limiter() -> None:
    headers = {
        "x-ratelimit-limit-requests": "300", "x-ratelimit-remaining-requests": "299",
        "x-ratelimit-reset-requests": "200ms",
    }  # fmt: skip

    async def use(permits: Permits, link: LocalLink) -> int | None:
        permit = await permits.acquire(prompt_characters=1, max_tokens=1)
        permits.hear(headers, latency_s=0.1, is_refusal=False)
        permits.settle(permit, REPLY)
        await send(permits, 2)
        return link.limiter.answer(link.asks[-1], now=time.monotonic(), jitter=0.0).kept.rpm

    assert with_permits(use, LaneLimits(rpm=6000)) == 300


def test_where_a_pull_takes_long_calls_are_pulled_that_will_wait() -> None:
    async def use(permits: Permits, link: LocalLink) -> tuple[int, int]:
        held = [await permits.acquire(prompt_characters=1, max_tokens=1) for _ in range(2)]
        rooms = permits.room(), permits.room(ahead=5)
        for permit in held:
            permits.settle(permit, REPLY)
        return rooms

    assert with_permits(use, LaneLimits(concurrency=2)) == (1, 5)


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_a_clock_that_is_set_by_an_hour_neither_stops_a_lane_nor_lets_it_burst(
    monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    shift = 0.0
    monkeypatch.setattr("ray_jobs.permits.time", SimpleNamespace(monotonic=lambda: time.monotonic() + shift))

    async def use(permits: Permits, _: LocalLink) -> list[float]:
        nonlocal shift
        asyncio.get_running_loop().call_later(0.4, set_clock)
        return await send(permits, 21)

    def set_clock() -> None:
        nonlocal shift
        shift = step

    sent = with_permits(use, LaneLimits(rpm=1200))
    assert sent[-1] == pytest.approx(1.0, abs=0.4)
    assert all(later - sooner >= 0.5 for sooner, later in zip(sent, sent[15:], strict=False))

    async def cool_down(permits: Permits, _: LocalLink) -> float:
        nonlocal shift
        shift = 0.0
        await send(permits, 1)
        await send(permits, 1, outcome=Failure("c", "rate_limit", "429", retry_after_s=1.0))
        shift = step
        return (await send(permits, 1))[0]

    for limits in (LaneLimits(), LaneLimits(rpm=6000)):
        assert with_permits(cool_down, limits) <= 2.5

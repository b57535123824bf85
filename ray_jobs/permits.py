"""What an engine actor asks before it sends a call. A lane whose rate is not known costs no round trip per call.

Without a limiter, calls go on at a fixed share: the limits last kept to, divided by the clients last known; where no
rate is known, with the calls in flight last allowed. A new limiter is looked for, or started, all the while.
"""

import asyncio
import contextlib
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from core.engines.rate_headers import limit_views
from core.plan.records import Failure, Outcome, Reply
from core.schedule.growth import FIRST_WINDOW, WINDOW_STEP_S
from core.schedule.limit_charges import NOTHING, Charge, Dimension, Expectation, LaneLimits
from core.schedule.limit_views import Ask, Grant, LimitView, Report, Throttle
from core.schedule.limiter import REPORT_EVERY_S, LaneLimiter
from core.schedule.steady_clock import SteadyClock

UNKNOWN_CLIENTS = 4
"""Before the first contact with a limiter, the limits are divided by so many."""

LOOK_EVERY_S = 0.5
"""How often a lost limiter is looked for."""

AHEAD_S = 1.5
"""An actor need not hold more waiting calls than may be sent within that time."""

HEAR_EVERY_S = 0.02
"""Headers of answers are read at most this often; those of refusals always."""

LEAST_PAUSE_S = 0.005
"""Between two asks: calls that come to wait meanwhile are asked for together."""

MOST_WANTED = 2048

Link = Callable[[Ask], Awaitable[Grant]]
"""The way to the limiter. ConnectionError where none answers."""


@dataclass(frozen=True, slots=True)
class Permit:
    """One call may be sent, once."""

    prompt_characters: int
    max_tokens: int
    charge: Charge
    sent_s: float


def fixed_share(grant: Grant | None, *, limits: LaneLimits, share: int) -> LaneLimits:
    """What one client keeps to alone while there is no limiter: never more than its part of the limits."""
    kept = limits if grant is None else grant.kept
    clients = UNKNOWN_CLIENTS if grant is None else max(1, grant.clients)

    def part(limit: int | None) -> int | None:
        return None if limit is None else max(1, limit // clients)

    return replace(
        kept,
        rpm=part(kept.rpm),
        rpd=part(kept.rpd),
        tpm=part(kept.tpm),
        input_tpm=part(kept.input_tpm),
        output_tpm=part(kept.output_tpm),
        concurrency=max(1, share),
    )


class Permits:
    """One lane's permits in one process."""

    def __init__(self, lane: tuple[str, ...], limits: LaneLimits, *, name: str, link: Link, of_run: int = 1) -> None:
        """`lane` holds the key's fingerprint: it goes to the limiter and nowhere else. `of_run`: clients that the run
        has on the lane."""
        self._of_run = of_run
        self._lane, self._limits, self._name, self._link = lane, limits, name, link
        self._client = uuid.uuid4().hex[:12]
        self._expectation = Expectation(limits.charge)
        self._waiters: deque[tuple[Charge, asyncio.Future[None]]] = deque()
        self._in_flight = 0
        self._share = 0
        self._grant: Grant | None = None
        self._is_free = False
        self._held_until_s = 0.0
        self._clock = SteadyClock()
        self._alone: LaneLimiter | None = None
        """Keeps the fixed share while there is no limiter."""
        self._looking: asyncio.Task[None] | None = None
        self._pump: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._heard_s = 0.0
        self._refusal: tuple[LimitView, ...] = ()
        self._views: dict[Dimension, tuple[LimitView, float]] = {}
        self._is_view_new = False
        self._throttles: list[tuple[Throttle, float]] = []
        self._answered, self._correction, self._was_full = 0, NOTHING, False

    @property
    def reach(self) -> int:
        """Calls that an actor may hold when none is out: those that may be sent soon."""
        if self._grant is None:
            return max(1, (self._limits.concurrency or FIRST_WINDOW) // self._of_run)
        if self._grant.calls_per_s is None or self._is_free:
            return max(1, self._share)
        return max(1, min(self._share, int(self._grant.calls_per_s * AHEAD_S) + 1))

    def room(self, *, ahead: int = 0) -> int:
        """Calls that an actor should pull now. One may always wait: who waits for nothing is given nothing.

        `ahead`: calls that will end until what is pulled is there.
        """
        share = self._share if self._grant is not None else self.reach
        is_paced = self._grant is not None and self._grant.calls_per_s is not None and not self._is_free
        free = min(share - self._in_flight + ahead, self.reach + (0 if is_paced else ahead)) - len(self._waiters)
        return max(free, 1 - len(self._waiters), 0)

    @property
    def is_alone(self) -> bool:
        """Whether there is no limiter and the fixed share is kept."""
        return self._alone is not None

    async def acquire(self, *, prompt_characters: int, max_tokens: int) -> Permit:
        """Wait until a call may be sent; send it at once."""
        if self._pump is None:
            self._pump = asyncio.get_running_loop().create_task(self._keep_asking())
        charge = self._expectation.of(prompt_characters=prompt_characters, max_tokens=max_tokens)
        if self._may_go_free() and not self._waiters:
            self._in_flight += 1
            self._was_full |= self._in_flight >= self._share
        else:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append((charge, future))
            self._was_full |= self._in_flight >= self._share > 0
            self._news.set()
            try:
                await future
            except asyncio.CancelledError:
                if not future.cancelled():
                    self._in_flight -= 1  # it was let go and gave up in the same moment
                raise
        return Permit(prompt_characters, max_tokens, charge, sent_s=self._now())

    def hear(self, headers: Mapping[str, str], *, latency_s: float, is_refusal: bool) -> None:
        """The headers of an answer to a request that was sent `latency_s` ago."""
        now = self._now()
        if now - self._heard_s < HEAR_EVERY_S and not is_refusal:
            return
        self._heard_s = now
        views = limit_views(headers.items())
        self._refusal = views if is_refusal else ()
        for view in views:
            self._views[view.dimension] = (view, now - latency_s)
            self._is_view_new = True

    def settle(self, permit: Permit, outcome: Outcome) -> None:
        """The call has ended: what it really counted, or that it was refused."""
        self._in_flight -= 1
        if isinstance(outcome, Failure) and outcome.kind == "rate_limit":
            is_left = _is_left(self._refusal, permit.charge)
            self._throttles.append((Throttle(outcome.retry_after_s, limit_is_left=is_left), permit.sent_s))
            self._correction = self._correction.less(permit.charge)  # a refused request counts nothing
            self._held_until_s = max(self._held_until_s, self._now() + (outcome.retry_after_s or 0.0))
            self._news.set()
            return
        self._answered += 1
        if isinstance(outcome, Reply):
            counted = self._expectation.learn(
                outcome.usage, prompt_characters=permit.prompt_characters, max_tokens=permit.max_tokens
            )
            if counted is not None:
                self._correction = self._correction.plus(counted.less(permit.charge))
        if self._waiters:
            self._let_go_free()
            self._news.set()

    def dismiss(self) -> None:
        """Whoever waits for a permit is cancelled."""
        while self._waiters:
            self._waiters.popleft()[1].cancel()

    async def close(self) -> None:
        """Stop asking; whoever waits is cancelled."""
        for task in (self._pump, self._looking):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self.dismiss()

    def _now(self) -> float:
        return self._clock.read(time.monotonic())

    async def _keep_asking(self) -> None:
        while True:
            self._news.clear()
            ask = self._make_ask()
            grant = await self._answer(ask)
            self._take(grant, wanted=len(ask.wanted))
            await asyncio.sleep(LEAST_PAUSE_S)
            await self._wait(grant, was_paced=len(grant.starts_s) < len(ask.wanted))

    async def _answer(self, ask: Ask) -> Grant:
        if self._alone is None:
            try:
                return await self._link(ask)
            except ConnectionError:
                limits = fixed_share(self._grant, limits=self._limits, share=self._share or FIRST_WINDOW)
                self._alone = LaneLimiter(self._name, now=self._now())
                self._alone.set_limits(limits)
                self._looking = asyncio.get_running_loop().create_task(self._look_for_limiter())
        return self._alone.answer(ask, now=self._now(), jitter=0.5)

    async def _look_for_limiter(self) -> None:
        """Until one answers; it hears at once what the last one knew."""
        while self._alone is not None:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self._link(replace(self._make_ask(is_report=False), wanted=()))
            except ConnectionError:
                continue
            self._alone, self._is_view_new = None, bool(self._views)

    async def _wait(self, grant: Grant, *, was_paced: bool) -> None:
        """Until asking again can bring something."""
        now = self._now()
        due = now + (grant.hold_s or (grant.ask_again_s if was_paced else REPORT_EVERY_S))
        if self._was_full and self._is_free:
            due = min(due, now + WINDOW_STEP_S)
        while not self._throttles:
            if not self._in_flight and not self._waiters:
                await self._news.wait()  # nothing to report and nothing to ask for: sleep until there is
            elif now >= due or (not was_paced and not self._is_free and not grant.hold_s and self._wanted()):
                return
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(due - now):
                        await self._news.wait()
            self._news.clear()
            now = self._now()

    def _wanted(self) -> int:
        """Waiting calls that could be in flight if they had permits."""
        return min(len(self._waiters), max(0, self._share - self._in_flight), MOST_WANTED)

    def _make_ask(self, *, is_report: bool = True) -> Ask:
        now = self._now()
        self._waiters = deque(each for each in self._waiters if not each[1].done())
        wanted = self._wanted() if self._grant is not None else min(len(self._waiters), MOST_WANTED)
        charges = tuple(self._waiters[index][0] for index in range(wanted))
        return Ask(
            client=self._client,
            lane=self._lane,
            name=self._name,
            limits=self._limits,
            override=None if self._grant is None else self._grant.override,
            wanted=charges,
            in_flight=self._in_flight,
            waiting=len(self._waiters),
            of_run=self._of_run,
            report=self._make_report(now) if is_report else Report(),
        )

    def _make_report(self, now: float) -> Report:
        views = tuple(replace(view, age_s=now - sent) for view, sent in self._views.values())
        report = Report(
            answered=self._answered,
            correction=self._correction,
            views=views if self._is_view_new else (),
            throttles=tuple(replace(throttle, age_s=now - sent) for throttle, sent in self._throttles),
            was_full=self._was_full,
        )
        self._throttles, self._is_view_new = [], False
        self._answered, self._correction, self._was_full = 0, NOTHING, False
        return report

    def _take(self, grant: Grant, *, wanted: int) -> None:
        """Let the first waiters go at the times given."""
        loop = asyncio.get_running_loop()
        self._grant = grant if self._alone is None else self._grant
        self._share, self._is_free = grant.share, grant.is_free
        self._held_until_s = self._now() + grant.hold_s if grant.hold_s else 0.0
        for start_s in grant.starts_s[:wanted]:
            if not self._waiters:
                break
            _, future = self._waiters.popleft()
            self._in_flight += 1
            loop.call_later(start_s, self._let_go, future)
        self._let_go_free()

    def _let_go(self, future: "asyncio.Future[None]") -> None:
        while future.done() and self._waiters:
            future = self._waiters.popleft()[1]  # whoever waited has given up: the next one may go
        if future.done():
            self._in_flight -= 1
        else:
            future.set_result(None)

    def _may_go_free(self) -> bool:
        return self._is_free and self._in_flight < self._share and self._now() >= self._held_until_s

    def _let_go_free(self) -> None:
        while self._waiters and self._may_go_free():
            _, future = self._waiters.popleft()
            self._in_flight += 1
            self._let_go(future)
        self._was_full |= bool(self._waiters) and self._in_flight >= self._share


def _is_left(views: tuple[LimitView, ...], charge: Charge) -> bool:
    """Whether a refusal's own headers say that no limit was reached."""
    needed: dict[Dimension, float] = {
        "requests": 1, "day": 1, "tokens": charge.tokens, "input": charge.input, "output": charge.output,
    }  # fmt: skip
    return bool(views) and all(view.remaining >= needed[view.dimension] for view in views)

"""The one limiter of a cluster: who may send how many calls when, over all lanes and drivers. Pure; times are given.

Permits are starts: a client is told when each of its waiting calls may go, at most a quarter of a second ahead, so
an actor that dies takes no more than that with it. What a call really counted is settled with the next ask.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from core.schedule.growth import Cooldown, Growth
from core.schedule.limit_charges import Charge, Dimension, LaneLimits, smallest
from core.schedule.limit_views import Ask, Grant, LimitView, Report
from core.schedule.pacing import Pacer, RollingDay
from core.schedule.steady_clock import SteadyClock

HORIZON_S = 0.25
"""How far ahead starts are given away."""

REPORT_EVERY_S = 1.0
"""How often a client that needs no permit reports all the same."""

CLIENT_S = 5.0
"""A client not heard of for so long is gone: its share is free again."""

HISTORY_S = 600.0
"""How long starts are remembered, to compare with what a slow answer says was left."""

ACTIVE_S = 1.5

LONGEST_SILENCE_S = 10.0
"""A client that has calls asks every second, or when the cooldown ends: if it seems silent for so much longer, it was
the clock that was set."""

PACED: Final[tuple[Dimension, ...]] = ("requests", "tokens", "input", "output")


@dataclass(slots=True)
class _Client:
    seen: float
    limits: LaneLimits
    in_flight: int = 0
    waiting: int = 0
    of_run: int = 1
    share: int = 0

    @property
    def is_busy(self) -> bool:
        """Whether it had calls when it asked last."""
        return self.in_flight + self.waiting > 0

    def may_hold(self, *, is_free: bool) -> int:
        """Calls that it may have in flight by now; `is_free`: it sends what comes to it without asking."""
        least = self.in_flight + self.waiting
        return max(self.in_flight, self.share if is_free and self.is_busy else min(self.share, least))


class LaneLimiter:
    """One lane: a server, a key, and a model or pool."""

    def __init__(self, name: str, *, now: float) -> None:
        self.names = {name}
        """What people call it; drivers may differ."""
        self.limits = LaneLimits()
        """In force."""
        self.cooldown = Cooldown()
        self.growth = Growth(now)
        self._override: LaneLimits | None = None
        self._clock = SteadyClock()
        self._clients: dict[str, _Client] = {}
        self._pacers: dict[Dimension, Pacer] = {}
        self._day: RollingDay | None = None
        self._views: dict[Dimension, LimitView] = {}
        self._seen_of: dict[Dimension, float] = {}
        """When the request was sent whose answer said so."""
        self._starts: list[float] = []
        self._counted: list[tuple[float, ...]] = []
        self._total = (0.0,) * len(PACED)

    @property
    def clients(self) -> int:
        """Clients heard of lately."""
        return len(self._clients)

    def set_limits(self, limits: LaneLimits | None) -> None:
        """Other limits from the next ask on, whatever the clients' are; None: the clients' again."""
        self._override = limits

    def answer(self, ask: Ask, *, now: float, jitter: float) -> Grant:
        """Take in what a client reports and give it permits."""
        now = self._read_clock(now, ask)
        client = self._meet(ask, now=now)
        self._learn(ask.report, now=now, jitter=jitter)
        self._keep_limits(now)
        client.share = self._share(ask.client, now=now)
        hold_s = max(0.0, self.cooldown.until - now)
        starts: tuple[float, ...] = ()
        next_start = now + REPORT_EVERY_S
        per_second = self._calls_per_s(ask.wanted[:1])
        active = self._active(now)
        if ask.wanted and hold_s == 0 and (self._pacers or self._day):
            most = min(self._fair(per_second, active), max(0, client.share - ask.in_flight))
            starts, next_start = self._book(ask.wanted, most=most, now=now)
        return Grant(
            starts_s=starts,
            ask_again_s=hold_s or min(REPORT_EVERY_S, max(0.002, next_start - now)),
            is_free=self._is_free,
            hold_s=hold_s,
            share=client.share,
            calls_per_s=None if per_second is None else per_second / active,
            clients=self.clients,
            kept=self.kept(),
            override=self._override,
        )

    def cooldown_s(self, now: float) -> float:
        """Until the lane may be used again."""
        return max(0.0, self.cooldown.until - self._clock.steady(now))

    def effective(self, dimension: Dimension) -> float | None:
        """What is kept to: the smallest of what is configured, what the server says, and what was guessed."""
        view = self._views.get(dimension)
        known = [float(each) for each in (self.limits.of(dimension),) if each is not None]
        known += [] if view is None else [view.limit]
        if dimension == "requests" and self.growth.guess is not None and not self._is_known:
            known.append(self.growth.guess)
        return min(known, default=None)

    def kept(self) -> LaneLimits:
        """All that is kept to."""
        values = {dimension: self.effective(dimension) for dimension in (*PACED, "day")}
        rpm, tpm, input_tpm, output_tpm, rpd = (
            None if value is None else max(1, int(value)) for value in values.values()
        )
        return replace(self.limits, rpm=rpm, tpm=tpm, input_tpm=input_tpm, output_tpm=output_tpm, rpd=rpd)

    @property
    def _is_free(self) -> bool:
        """No rate is known, so that clients need no permit for each start."""
        return not self._pacers and self._day is None

    @property
    def _is_known(self) -> bool:
        return self.limits.has_rates or bool(self._views)

    def _read_clock(self, now: float, ask: Ask) -> float:
        client, longest_s = self._clients.get(ask.client), math.inf
        if client is not None and client.in_flight + client.waiting:
            longest_s = max(client.seen, self.cooldown.until) + LONGEST_SILENCE_S - self._clock.now
        return self._clock.read(now, longest_s=longest_s)

    def _meet(self, ask: Ask, *, now: float) -> _Client:
        client = self._clients.setdefault(ask.client, _Client(now, ask.limits))
        client.seen, client.limits = now, ask.limits
        self.names.add(ask.name)
        client.in_flight, client.waiting, client.of_run = ask.in_flight, ask.waiting, ask.of_run
        for name in [name for name, each in self._clients.items() if now - each.seen > CLIENT_S]:
            del self._clients[name]
        self.limits = self._override or smallest(each.limits for each in self._clients.values())
        return client

    def _learn(self, report: Report, *, now: float, jitter: float) -> None:
        self.growth.answered(report.answered, now=now)
        for view in report.views:
            self._see(view, now=now)
        for pacer, more in zip(map(self._pacers.get, PACED), (0.0, *report.correction), strict=True):
            if pacer is not None and more:
                pacer.correct(more, now=now)
        for throttle in report.throttles:
            if self.cooldown.begins(throttle, now=now, jitter=jitter) and not throttle.limit_is_left:
                self._cut(now)
        waiting = any(each.waiting for each in self._clients.values())
        self.growth.grow(now=now, is_pressed=waiting)
        if report.was_full and now >= self.cooldown.until:
            self.growth.widen(now=now)

    def _cut(self, now: float) -> None:
        requests = self._pacers.get("requests")
        is_confirmed = bool(self._views) and self.growth.pace > 0.9
        known = None
        if self._is_known:
            known = requests.limit if requests is not None else math.inf
        self.growth.cut(now=now, known_per_minute=known, is_confirmed=is_confirmed)

    def _see(self, view: LimitView, *, now: float) -> None:
        """Go down to what the server says; what is configured is never raised by it."""
        sent = now - view.age_s
        # an answer that took longer than one already read was admitted before it: it says nothing new
        if sent < self._seen_of.get(view.dimension, -math.inf):
            return
        self._views[view.dimension], self._seen_of[view.dimension] = view, sent
        if view.dimension == "day":
            if self._day is not None:
                self._day.correct_to(view.limit - view.remaining, now=now)
            return
        pacer = self._pacers.get(view.dimension)
        if pacer is None or view.age_s > HISTORY_S:
            return
        left = view.remaining - self._booked_since(sent, view.dimension) + view.limit / 60 * view.age_s
        if left < 0:
            pacer.hold_for(-left, now=now)

    def _keep_limits(self, now: float) -> None:
        for dimension in PACED:
            limit, pacer = self.effective(dimension), self._pacers.get(dimension)
            if limit is None:
                self._pacers.pop(dimension, None)
                continue
            if pacer is None:
                pacer = self._pacers[dimension] = Pacer(limit, now=now)
            pacer.set_limit(limit, now=now)
            pacer.set_pace(self.growth.pace, now=now)
        day = self.effective("day")
        if day is None:
            self._day = None
        else:
            self._day = self._day or RollingDay(day)
            self._day.limit = day

    def _book(self, wanted: tuple[Charge, ...], *, most: int, now: float) -> tuple[tuple[float, ...], float]:
        """Starts, in seconds from now, of the first calls wanted; and when the next one could start."""
        starts: list[float] = []
        start = self._next_start(now)
        for charge in wanted[:most]:
            if start > now + HORIZON_S:
                break
            starts.append(start - now)
            costs = (1.0, *charge)
            for dimension, pacer in self._pacers.items():
                pacer.book(costs[PACED.index(dimension)], at=start)
            if self._day is not None:
                self._day.book(1, at=start)
            self._remember(start, costs)
            start = self._next_start(now)
        return tuple(starts), start

    def _next_start(self, now: float) -> float:
        starts = [pacer.next_start(now) for pacer in self._pacers.values()]
        return max([*starts, *([self._day.next_start(now)] if self._day is not None else [])], default=now)

    def _remember(self, start: float, costs: tuple[float, ...]) -> None:
        self._total = tuple(total + cost for total, cost in zip(self._total, costs, strict=True))
        self._starts.append(start)
        self._counted.append(self._total)
        if len(self._starts) % 4096 == 0:
            old = bisect_right(self._starts, start - HISTORY_S)
            del self._starts[:old], self._counted[:old]

    def _booked_since(self, moment: float, dimension: Dimension) -> float:
        """What calls that started after that moment count, those of the next moments included."""
        index, at = PACED.index(dimension), bisect_right(self._starts, moment)
        before = self._counted[at - 1][index] if at else (self._counted[0][index] if self._counted else 0.0)
        return self._total[index] - before

    def _calls_per_s(self, wanted: tuple[Charge, ...]) -> float | None:
        """Calls of the usual cost that may start a second; None where no rate is known."""
        costs = (1.0, *wanted[0]) if wanted else (1.0, 0.0, 0.0, 0.0)
        rates = [
            pacer.per_second / cost
            for dimension, pacer in self._pacers.items()
            if (cost := pacer.typical_cost or costs[PACED.index(dimension)]) > 0
        ]
        return min(rates, default=None)

    def _active(self, now: float) -> int:
        return max(1, sum(1 for each in self._clients.values() if each.waiting and now - each.seen < ACTIVE_S))

    @staticmethod
    def _fair(per_second: float | None, active: int) -> int:
        """Starts given to one client at once, so that another that asks next finds some left."""
        return 4096 if per_second is None else max(1, math.ceil(per_second * HORIZON_S / active))

    def _share(self, name: str, *, now: float) -> int:
        """Calls that a client may have in flight: an equal part, less what the others still hold."""
        most = self.limits.concurrency or self.growth.window
        busy = sorted(each for each, client in self._clients.items() if client.is_busy or each == name)
        parts = max(len(busy), *(self._clients[each].of_run for each in busy))
        # where there are more clients than calls, they take turns
        turn = int(now / 2) % parts if parts > most else 0
        place = (busy.index(name) - turn) % parts
        part = most // parts + (1 if place < most % parts else 0)
        others = sum(client.may_hold(is_free=self._is_free) for each, client in self._clients.items() if each != name)
        return max(0, min(part, most - others))


class Limiter:
    """All lanes of a cluster."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, ...], LaneLimiter] = {}
        self._overrides: dict[tuple[str, str], LaneLimits] = {}
        """Server, and pool or model → limits set while running."""

    def answer(self, ask: Ask, *, now: float, jitter: float) -> Grant:
        """Permits for one client of one lane; a lane begins with its first ask."""
        lane = self._lanes.get(ask.lane)
        if lane is None:
            lane = self._lanes[ask.lane] = LaneLimiter(ask.name, now=now)
            lane.set_limits(self._overrides.get(_place(ask.lane), ask.override))
        return lane.answer(ask, now=now, jitter=jitter)

    def set_limits(self, place: tuple[str, str], limits: LaneLimits | None) -> None:
        """Change the limits of all lanes of a server and pool or model while they run; None: as configured again."""
        if limits is None:
            self._overrides.pop(place, None)
        else:
            self._overrides[place] = limits
        for key, lane in self._lanes.items():
            if _place(key) == place:
                lane.set_limits(limits)

    def report(self, now: float) -> Mapping[str, dict[str, object]]:
        """Where each lane stands, by its name: without server or key."""
        return {
            ", ".join(sorted(lane.names)): {
                "limits": lane.limits.told(),
                "kept": lane.kept().told(),
                "pace": lane.growth.pace,
                "cooldown_s": lane.cooldown_s(now),
                "clients": lane.clients,
            }
            for lane in self._lanes.values()
        }


def _place(lane: tuple[str, ...]) -> tuple[str, str]:
    """A lane's key without the fingerprint of its API key, which only those who call know."""
    return lane[0], lane[-1]

"""The limiter against each kind of limit, in simulated time: a server admits or refuses what it lets go."""

import heapq
import itertools
import random
from dataclasses import dataclass, field

import pytest

from core.engines.stand_in.rate_limit import LimitKind, RateLimits, RequestCost
from core.schedule.limit_charges import NOTHING, Charge, LaneLimits
from core.schedule.limit_views import Ask, LimitView, Report, Throttle
from core.schedule.limiter import LaneLimiter

KINDS: tuple[LimitKind, ...] = ("bucket", "fixed", "sliding")


@dataclass
class Client:
    """Always has calls waiting; asks as a real client does, and hears of answers after the latency."""

    name: str
    limits: LaneLimits
    charge: Charge = NOTHING
    answered: int = 0
    views: dict = field(default_factory=dict)
    throttles: list = field(default_factory=list)
    in_flight: int = 0

    def ask(self, lane: tuple[str, ...], *, now: float) -> Ask:
        views = tuple(
            LimitView(name, limit=told.limit, remaining=told.remaining, reset_s=told.reset_s, age_s=now - sent)
            for name, (told, sent) in self.views.items()
        )
        throttles = tuple(Throttle(retry, age_s=now - sent) for retry, sent in self.throttles)
        report = Report(answered=self.answered, views=views, throttles=throttles)
        self.answered, self.views, self.throttles = 0, {}, []
        return Ask(self.name, lane, "m", self.limits, None, (self.charge,) * 60, self.in_flight, 60, report)


@dataclass
class Outcome:
    admitted: int = 0
    refused: int = 0
    available: float = 0.0
    by_second: dict = field(default_factory=dict)

    @property
    def share(self) -> float:
        return self.admitted / self.available

    @property
    def refused_share(self) -> float:
        return self.refused / (self.admitted + self.refused)


def simulate(
    server: RateLimits,
    clients: list[Client],
    *,
    seconds: float,
    latency_s: float = 0.2,
    headers: bool = True,
    unit: str = "requests",
    warm_up_s: float = 0.0,
    cost: RequestCost | None = None,
) -> Outcome:
    """Run the clients against the server; requests take 1–15 ms to arrive and `latency_s` to be answered."""
    rng = random.Random(7)
    lane = LaneLimiter("m", now=0.0)
    serial = itertools.count()
    events: list = []
    cost = cost or RequestCost(0, 0, 0)
    outcome = Outcome()

    def at(when: float, what: str, *rest: object) -> None:
        heapq.heappush(events, (when, next(serial), what, rest))

    for client in clients:
        at(rng.random() * 0.1, "ask", client)
    for second in range(int(seconds)):
        at(float(second), "tick")
    while events and events[0][0] < seconds:
        now, _, what, rest = heapq.heappop(events)
        if what == "tick":
            if now >= warm_up_s:
                in_force = server.in_force()
                outcome.available += in_force[unit] / 60
        elif what == "ask":
            (client,) = rest
            grant = lane.answer(client.ask(("s", "k", "m"), now=now), now=now, jitter=rng.random())
            starts = [0.0] * max(0, grant.share - client.in_flight) if grant.is_free else list(grant.starts_s)
            client.in_flight += len(starts)
            for start in starts:
                at(now + start + 0.001 + 0.014 * rng.random(), "arrive", client, now + start)
            at(now + max(0.003, min(grant.ask_again_s, 0.05 if grant.is_free else 9.9)), "ask", client)
        elif what == "arrive":
            client, sent = rest
            admission = server.admit(cost, now)
            amount = {"requests": 1, "tokens": cost.tokens}[unit]
            if now >= warm_up_s:
                outcome.admitted += amount * admission.is_admitted
                outcome.refused += amount * (not admission.is_admitted)
            at(now + (latency_s if admission.is_admitted else 0.01), "answer", client, sent, admission)
        else:
            client, sent, admission = rest
            client.in_flight -= 1
            client.answered += admission.is_admitted
            if headers:
                client.views |= {name: (told, sent) for name, told in admission.by_name.items()}
            if not admission.is_admitted:
                client.throttles.append((admission.retry_after_s, sent))
    return outcome


@pytest.mark.parametrize("clients", [1, 2, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_nearly_all_of_a_limit_of_requests_is_used_and_almost_nothing_refused(kind, clients):
    server = RateLimits(kind=kind, rpm=1200)
    limits = LaneLimits(rpm=1200, concurrency=256)
    ended = simulate(server, [Client(str(each), limits) for each in range(clients)], seconds=300)
    assert (ended.share >= 0.97, ended.refused_share <= 0.01) == (True, True), ended


@pytest.mark.parametrize("latency_s", [0.2, 20.0])
@pytest.mark.parametrize("kind", KINDS)
def test_a_limit_of_tokens_binds_as_well(kind, latency_s):
    server = RateLimits(kind=kind, rpm=5000, tpm=600_000)
    limits = LaneLimits(rpm=5000, tpm=600_000, concurrency=512)
    ended = simulate(
        server,
        [Client(str(each), limits, Charge(1500.0, 500.0, 1000.0)) for each in range(2)],
        seconds=300,
        latency_s=latency_s,
        unit="tokens",
        cost=RequestCost(1500, 500, 0),
    )
    assert (ended.share >= 0.93, ended.refused_share <= 0.03) == (True, True), ended


@pytest.mark.parametrize("headers", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_limit_that_halves_is_followed(kind, headers):
    server = RateLimits(kind=kind, rpm=1200, halve_after_s=155.0)
    clients = [Client(str(each), LaneLimits(rpm=1200, concurrency=256)) for each in range(2)]
    ended = simulate(server, clients, seconds=300, headers=headers)
    if headers:
        assert (ended.share >= 0.95, ended.refused_share <= 0.01) == (True, True), ended
    else:  # only refusals tell of it
        assert (ended.share >= 0.80, ended.refused_share <= 0.03) == (True, True), ended


@pytest.mark.parametrize("kind", KINDS)
def test_a_limit_that_nobody_configured_is_learnt_from_headers(kind):
    server = RateLimits(kind=kind, rpm=1200)
    ended = simulate(server, [Client("a", LaneLimits())], seconds=300, warm_up_s=60.0)
    assert (ended.share >= 0.95, ended.refused_share <= 0.01) == (True, True), ended


@pytest.mark.parametrize(("kind", "least"), [("bucket", 0.85), ("sliding", 0.75), ("fixed", 0.7)])
def test_a_limit_that_nobody_tells_is_found_by_its_refusals(kind, least):
    server = RateLimits(kind=kind, rpm=1200)
    ended = simulate(server, [Client("a", LaneLimits())], seconds=420, headers=False, warm_up_s=120.0)
    assert (ended.share >= least, ended.refused_share <= 0.03) == (True, True), ended


def test_a_server_without_limits_is_never_asked_for_permits_and_calls_in_flight_grow():
    lane = LaneLimiter("m", now=0.0)
    shares = []
    for step in range(20):
        ask = Ask("a", ("s",), "m", LaneLimits(), None, (), 32, 100, Report(answered=30, was_full=True))
        grant = lane.answer(ask, now=step * 0.5, jitter=0.5)
        assert grant.is_free
        shares.append(grant.share)
    assert (shares[0], shares[1], shares[2], shares[-1]) == (32, 64, 128, 512)

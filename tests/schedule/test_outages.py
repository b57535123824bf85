"""Policy, tally and breaker on one lane: an outage costs few attempts and ends no call; a bad call still ends."""

import heapq

import pytest

from core.plan.records import Failure, FailureKind
from core.schedule.breaker import Breaker
from core.schedule.retry import NO_TALLY, Tally, treat

LATENCY_S = 0.2
CONCURRENCY = 8


class Lane:
    """Calls against a server that fails all of them for a while, and some of them always. Time is simulated."""

    def __init__(self, calls: int, *, kind: FailureKind, out: tuple[float, float], bad: frozenset[str]) -> None:
        self.breaker = Breaker()
        self.now = 0.0
        self.ready = [f"c{at}" for at in range(calls)]
        self.delayed: list[tuple[float, str]] = []
        self.flying: list[tuple[float, str]] = []
        self.tallies: dict[str, Tally] = {}
        self.numbers: dict[str, int] = {}
        self.ended: dict[str, Failure | None] = {}
        self.failed_in_outage = 0
        self.kind, self.out, self.bad = kind, out, bad

    def run(self) -> None:
        while self.ready or self.delayed or self.flying:
            if self.breaker.gave_up is not None:
                return
            while self.delayed and self.delayed[0][0] <= self.now:
                self.ready.insert(0, heapq.heappop(self.delayed)[1])
            while self.ready and len(self.flying) < CONCURRENCY and self.breaker.allowance(self.now):
                call_id = self.ready.pop(0)
                self.breaker.sent(call_id)
                heapq.heappush(self.flying, (self.now + LATENCY_S, call_id))
            self.step()

    def step(self) -> None:
        times = [self.flying[0][0]] if self.flying else []
        times += [self.delayed[0][0]] if self.delayed else []
        probe = self.breaker.next_probe(self.now)
        times += [probe] if probe is not None and self.ready else []
        self.now = max(self.now, min(times))
        while self.flying and self.flying[0][0] <= self.now:
            self.land(heapq.heappop(self.flying)[1])

    def land(self, call_id: str) -> None:
        self.numbers[call_id] = number = self.numbers.get(call_id, 0) + 1
        is_out = self.out[0] <= self.now < self.out[1]
        if not is_out and call_id not in self.bad:
            self.breaker.replied()
            self.ended[call_id] = None
            return
        self.failed_in_outage += is_out
        failure = Failure(call_id, self.kind, "HTTP 500: it broke", attempts=number)
        self.breaker.failed(failure, now=self.now)
        treatment = treat(failure, tally=self.tallies.get(call_id, NO_TALLY), is_outage=self.breaker.is_open)
        self.tallies[call_id] = treatment.tally
        if treatment.ends_as is not None:
            self.ended[call_id] = treatment.ends_as
        else:
            heapq.heappush(self.delayed, (self.now + treatment.delay_s, call_id))


@pytest.mark.parametrize("kind", ["transient", "overloaded", "unreachable", "malformed"])
@pytest.mark.parametrize("seconds", [3.0, 60.0, 280.0])
def test_an_outage_ends_no_call_and_costs_few_attempts(kind: FailureKind, seconds: float) -> None:
    lane = Lane(400, kind=kind, out=(2.0, 2.0 + seconds), bad=frozenset())
    lane.run()
    assert set(lane.ended.values()) == {None}
    assert len(lane.ended) == 400
    assert lane.failed_in_outage <= 10 + CONCURRENCY + 12  # what shows it, what was out, and the probes
    assert lane.now <= 2.0 + seconds + 60.0 + 400 * LATENCY_S / CONCURRENCY + 30.0


def test_a_bad_call_ends_as_poison_whether_or_not_there_was_an_outage() -> None:
    lane = Lane(400, kind="transient", out=(2.0, 30.0), bad=frozenset({"c5", "c399"}))
    lane.run()
    ends = {call_id: end.kind for call_id, end in lane.ended.items() if end is not None}
    assert ends == {"c5": "poison", "c399": "poison"}


@pytest.mark.parametrize(("kind", "minutes"), [("unreachable", 5), ("overloaded", 30)])
def test_a_server_that_does_not_come_back_stops_the_lane_with_its_calls_still_owed(
    kind: FailureKind, minutes: float
) -> None:
    lane = Lane(50, kind=kind, out=(1.0, 1e9), bad=frozenset())
    lane.run()
    assert lane.breaker.gave_up is not None
    assert lane.breaker.gave_up.startswith(f"no reply for {minutes} min")
    assert 60 * minutes <= lane.now <= 60 * (minutes + 2)
    assert set(lane.ended.values()) == {None}

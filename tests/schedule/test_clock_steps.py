"""A clock that is set an hour back or forward in mid-run: nothing waits for the hour, and no limit is exceeded."""

import random
from dataclasses import replace
from itertools import count

import pytest

from core.engines.stand_in.rate_limit import RateLimits, RequestCost
from core.plan.records import CallRef, Failure
from core.schedule.call_queue import CallQueue
from core.schedule.lane_work import LaneWork
from core.schedule.limit_charges import NOTHING, LaneLimits
from core.schedule.limit_views import Ask, Report, Throttle
from core.schedule.limiter import LaneLimiter, Limiter
from core.schedule.steady_clock import SteadyClock

HOUR_S = 3600.0
STEPS = pytest.mark.parametrize("step", [-HOUR_S, HOUR_S])
LANE = ("server", "key", "model")


class Clock:
    """What is read from a clock that is set once, at a true time."""

    def __init__(self, step: float, *, at: float) -> None:
        self._step, self._at = step, at

    def __call__(self, true_s: float) -> float:
        return 1000.0 + true_s + (self._step if true_s >= self._at else 0.0)


@STEPS
@pytest.mark.parametrize("concurrency", [None, 12])
def test_a_limit_is_used_and_kept_over_a_step(step, concurrency):
    """Two clients that always have calls waiting, against a sliding window; the limiter's clock is set at 60 s."""
    server, clock, rng = RateLimits(kind="sliding", rpm=600), Clock(step, at=60.0), random.Random(3)
    lane = LaneLimiter("m", now=clock(0.0))
    limits, latency_s, end_s = LaneLimits(rpm=600, concurrency=concurrency), 0.5, 150.0
    in_flight, answered, landing = {"a": 0, "b": 0}, {"a": 0, "b": 0}, []
    admitted, refused, most_out = [], 0, 0
    due = {"a": 0.0, "b": 0.05}
    while (now := min(due.values())) < end_s:
        name = min(due, key=due.__getitem__)
        for each in [each for each in landing if each[0] <= now]:
            landing.remove(each)
            in_flight[each[1]] -= 1
            answered[each[1]] += 1
        report, answered[name] = Report(answered=answered[name]), 0
        ask = Ask(name, LANE, "m", limits, None, (NOTHING,) * 60, in_flight[name], 60, report)
        grant = lane.answer(ask, now=clock(now), jitter=rng.random())
        for start in grant.starts_s:
            in_flight[name] += 1
            landing.append((now + start + latency_s, name))
            if server.admit(RequestCost(0, 0, 0), now + start + 0.002).is_admitted:
                admitted.append(now + start)
            else:
                refused += 1
        most_out = max(most_out, sum(in_flight.values()))
        due[name] = now + max(0.003, grant.ask_again_s)
    assert refused == 0
    assert len(admitted) >= 0.95 * 600 * end_s / 60
    assert sum(60.0 <= at < 61.0 for at in admitted) <= 15
    assert concurrency is None or most_out <= concurrency


@STEPS
def test_a_cooldown_lasts_as_long_as_the_server_asked(step):
    limiter, clock = Limiter(), Clock(step, at=10.0)
    ask = Ask("a", LANE, "m", LaneLimits(rpm=600), None, (NOTHING,) * 5, 0, 5, Report())
    refusal = replace(ask, report=Report(throttles=(Throttle(30.0),)))
    assert limiter.answer(refusal, now=clock(0.0), jitter=0.0).hold_s == 30.0
    for second in (5.0, 9.0, 10.0, 15.0, 25.0):
        assert limiter.answer(ask, now=clock(second), jitter=0.0).starts_s == ()
        assert limiter.report(clock(second))["m"]["cooldown_s"] <= 30.0
    ends = next(second for second in count(26) if limiter.answer(ask, now=clock(float(second)), jitter=0.0).starts_s)
    assert 30 <= ends <= 32


@STEPS
def test_a_retry_comes_when_it_is_due(step):
    clock = Clock(step, at=2.0)
    work = LaneWork(CallQueue({}, lambda index: CallRef(str(index), "generate", "m", index)), concurrency=4)
    work.queue.add(CallRef("c", "generate", "m", 0))
    (attempt,) = work.take(1, owner="o", now=clock(0.0), is_tail=False, may_begin=None)
    work.sent([attempt])
    assert work.failed(Failure("c", "rate_limit", "429", retry_after_s=10.0), now=clock(0.5)) is None
    taken = []
    for second in range(1, 30):
        taken += work.take(1, owner="o", now=clock(second), is_tail=False, may_begin=None)
        if taken:
            break
        due = work.next_due(clock(second))
        assert due is not None
        assert due - clock(second) <= 11.5
    assert [each.number for each in taken] == [2]
    assert second <= 13
    # one that waits for another driver
    work.wait(taken[0], until=clock(second) + 2.0)
    assert work.take(1, owner="o", now=clock(second + 1), is_tail=False, may_begin=None) == []
    assert work.take(1, owner="o", now=clock(second + 2), is_tail=False, may_begin=None)


def test_the_steady_clock_goes_forward_only():
    clock = SteadyClock()
    assert [clock.read(given) for given in (10.0, 11.0, 5.0, 6.0, 106.0)] == [10.0, 11.0, 11.0, 12.0, 112.0]
    assert clock.read(1106.0, longest_s=60.0) == clock.now == 112.0
    assert clock.steady(1107.0) == 113.0
    assert clock.given(113.0) == 1107.0

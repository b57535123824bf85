"""A lane that is out is tried by one call at a time, takes no call's retries, and is given up with a clear message."""

from collections.abc import Iterable

import pytest

from core.plan.records import Failure, FailureKind
from core.schedule.breaker import LONGEST_PROBE_S, UNBOUNDED, Breaker
from core.schedule.retry import POLICIES


def fail(
    breaker: Breaker, kind: FailureKind, calls: Iterable[str], *, now: float = 0.0, wait: float | None = None
) -> None:
    for call_id in calls:
        breaker.failed(Failure(call_id, kind, "HTTP 503: no", retry_after_s=wait), now=now)


def an_outage(kind: FailureKind = "overloaded") -> Breaker:
    breaker = Breaker()
    fail(breaker, kind, map(str, range(POLICIES[kind].outage_after or 0)))
    assert breaker.is_open
    return breaker


def test_a_working_lane_is_not_held_back() -> None:
    breaker = Breaker()
    assert breaker.allowance(0.0) == UNBOUNDED
    for at in range(200):
        fail(breaker, "transient", (f"{at}.{each}" for each in range(9)))
        breaker.replied()
    assert not breaker.is_open
    assert breaker.next_probe(0.0) is None


@pytest.mark.parametrize(("kind", "failures"), [("unreachable", 5), ("overloaded", 10), ("transient", 10)])
def test_failures_in_a_row_are_an_outage(kind: FailureKind, failures: int) -> None:
    breaker = Breaker()
    fail(breaker, kind, map(str, range(failures - 1)))
    assert not breaker.is_open
    fail(breaker, kind, ["last"])
    assert breaker.is_open
    assert breaker.allowance(0.5) == 0
    assert breaker.next_probe(0.5) == 1.0


def test_two_bad_calls_are_no_outage_but_an_unreachable_server_is_for_one() -> None:
    breaker = Breaker()
    fail(breaker, "transient", ["a", "b"] * 20)
    assert not breaker.is_open
    fail(breaker, "transient", ["c"])
    assert breaker.is_open
    other = Breaker()
    fail(other, "unreachable", ["a"] * 5)
    assert other.is_open


def test_one_call_tries_at_growing_intervals() -> None:
    breaker, now, waits = an_outage(), 0.0, []
    for at in range(9):
        due = breaker.next_probe(now)
        assert due is not None
        waits.append(due - now)
        now = due
        assert breaker.allowance(now) == 1
        breaker.sent(f"probe{at}")
        assert breaker.allowance(now) == 0
        assert breaker.next_probe(now) is None
        fail(breaker, "overloaded", [f"probe{at}"], now=now)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert max(waits) == LONGEST_PROBE_S
    breaker.sent("last")
    breaker.replied()
    assert breaker.allowance(now) == UNBOUNDED


def test_a_probe_waits_as_long_as_the_server_says() -> None:
    breaker = Breaker()
    fail(breaker, "overloaded", map(str, range(10)), wait=30.0)
    assert breaker.next_probe(0.0) == 30.0


def test_what_was_sent_before_the_outage_does_not_lengthen_it_and_its_reply_ends_it() -> None:
    breaker = an_outage()
    fail(breaker, "overloaded", map(str, range(100, 200)), now=0.5)
    assert breaker.next_probe(0.5) == 1.0
    breaker.replied()
    assert not breaker.is_open


def test_a_probe_that_is_lost_with_its_engine_or_limited_makes_way_for_another() -> None:
    breaker = an_outage()
    breaker.sent("probe")
    breaker.failed(Failure("probe", "engine_dead", "killed"), now=2.0)
    assert breaker.is_open
    assert breaker.allowance(2.0) == 1
    breaker.sent("probe")
    breaker.failed(Failure("probe", "rate_limit", "HTTP 429: slow down"), now=3.0)
    assert not breaker.is_open


def test_too_many_requests_are_the_limiters_to_wait_out() -> None:
    breaker = Breaker()
    fail(breaker, "rate_limit", map(str, range(500)))
    assert not breaker.is_open


def test_a_refusal_of_the_request_itself_shows_that_the_lane_works() -> None:
    breaker = an_outage()
    fail(breaker, "invalid", ["a"])
    assert not breaker.is_open


@pytest.mark.parametrize("kind", ["unreachable", "overloaded", "transient", "malformed", "rate_limit"])
def test_a_lane_without_a_reply_for_too_long_is_given_up_with_reason_and_remedy(kind: FailureKind) -> None:
    breaker, limit = Breaker(), POLICIES[kind].gives_up_after_s
    assert limit is not None
    now = 0.0
    while now < limit:
        fail(breaker, kind, [f"{now}"], now=now)
        assert breaker.gave_up is None
        now += 60.0
    fail(breaker, kind, ["last"], now=now)
    assert (
        breaker.gave_up == f"no reply for {limit / 60:.0f} min, at last {kind}: HTTP 503: no: {POLICIES[kind].remedy}"
    )


def test_a_reply_starts_the_time_anew() -> None:
    breaker = Breaker()
    for now in range(0, 20_000, 100):
        fail(breaker, "unreachable", [f"{now}"], now=now)
        breaker.replied()
    assert breaker.gave_up is None


def test_a_clock_that_jumps_an_hour_neither_ends_nor_freezes_a_lane() -> None:
    breaker = an_outage()
    breaker.sent("probe")
    fail(breaker, "overloaded", ["probe"], now=3600.0)  # forward: one step, not an hour of failing
    assert breaker.gave_up is None
    assert breaker.next_probe(3600.0) == 3602.0
    assert breaker.next_probe(0.0) == 0.0  # back: not an hour's wait
    assert breaker.allowance(0.0) == 1

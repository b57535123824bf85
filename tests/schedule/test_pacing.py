import pytest

from core.schedule.limit_charges import DAY_S
from core.schedule.pacing import BURST_S, Pacer, RollingDay


def starts(pacer: Pacer, *, until: float, cost: float = 1.0, now: float = 0.0) -> list[float]:
    taken = []
    while (at := pacer.next_start(now)) < until:
        pacer.book(cost, at=at)
        taken.append(at)
    return taken


@pytest.mark.parametrize(("limit", "cost"), [(60, 1), (1200, 1), (60_000, 700), (600_000, 20_000)])
def test_no_minute_holds_more_than_the_limit_and_nearly_all_of_it_is_used(limit, cost):
    taken = starts(Pacer(limit, now=0.0), until=600.0, cost=cost)
    fullest = max(sum(cost for at in taken if begin <= at < begin + 60) for begin in taken)
    assert fullest <= limit
    assert len(taken) * cost >= 0.93 * 10 * limit


def test_a_stream_that_was_late_catches_up_a_little_and_no_more():
    pacer = Pacer(1200, now=0.0)
    starts(pacer, until=1.0)
    burst = [at for at in starts(pacer, until=31.0, now=30.0) if at == 30.0]
    assert len(burst) == pytest.approx(BURST_S * 20, abs=1)


def test_nothing_is_caught_up_at_the_start():
    assert len([at for at in starts(Pacer(1200, now=5.0), until=6.0, now=5.0) if at == 5.0]) == 1


def test_a_lower_limit_spreads_what_was_booked():
    pacer = Pacer(1200, now=0.0)
    starts(pacer, until=0.5)
    pacer.set_limit(600, now=0.0)
    assert pacer.next_start(0.0) == pytest.approx(1.0, abs=0.3)


def test_what_a_call_counted_beyond_its_reserve_is_paid_for_and_what_it_did_not_is_given_back():
    paid, given = Pacer(60_000, now=0.0), Pacer(60_000, now=0.0)
    for pacer in (paid, given):
        pacer.book(1000.0, at=0.0)
    usual = paid.next_start(0.0)
    paid.correct(2000.0, now=0.0)
    given.correct(-500.0, now=0.0)
    assert paid.next_start(0.0) > usual + 1.9
    assert given.next_start(0.0) < usual - 0.4


def test_a_server_that_has_less_left_is_waited_for():
    pacer = Pacer(60, now=0.0)
    pacer.hold_for(10, now=0.0)
    assert pacer.next_start(0.0) == pytest.approx(10.0, rel=0.05)


def test_a_days_requests_may_be_used_at_once_and_come_back_after_a_day():
    day = RollingDay(3)
    for at in (100.0, 200.0, 50_000.0):
        assert day.next_start(at) == at
        day.book(1, at=at)
    assert DAY_S < day.next_start(60_000.0) <= DAY_S + 301
    assert day.next_start(DAY_S + 301) == DAY_S + 301


def test_the_servers_count_of_the_day_is_believed_where_it_is_higher():
    day = RollingDay(200)
    day.book(1, at=0.0)
    day.correct_to(200, now=10.0)
    day.correct_to(50, now=10.0)
    assert day.used(10.0) == 200
    assert day.next_start(10.0) > 86_000

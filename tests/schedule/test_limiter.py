"""Decisions of the limiter, one by one; whole minutes against servers are in test_limiter_against_servers."""

from dataclasses import replace
from itertools import pairwise

import pytest

from core.schedule.growth import MOST_COOLDOWN_S, Cooldown
from core.schedule.limit_charges import NOTHING, Charge, LaneLimits
from core.schedule.limit_views import Ask, Grant, LimitView, Report, Throttle
from core.schedule.limiter import CLIENT_S, Limiter

ASK = Ask("a", ("server", "key", "model"), "model", LaneLimits(rpm=600, concurrency=100))


def ask(limiter: Limiter, now: float = 0.0, *, calls: int = 50, charge: Charge = NOTHING, **parts: object) -> Grant:
    given = replace(ASK, **{"wanted": (charge,) * calls, "waiting": calls, **parts})
    return limiter.answer(given, now=now, jitter=0.5)


def test_starts_are_evenly_spaced_and_given_no_further_ahead_than_a_quarter_of_a_second():
    grant = ask(Limiter())
    gaps = [later - sooner for sooner, later in pairwise(grant.starts_s)]
    assert gaps == pytest.approx([60 / 600 / 0.99] * len(gaps), rel=0.01)
    assert 0.1 <= grant.starts_s[-1] <= 0.25
    assert grant.ask_again_s == pytest.approx(grant.starts_s[-1] + gaps[0])


def test_clients_of_one_lane_share_it_and_other_lanes_do_not():
    limiter = Limiter()
    ask(limiter)
    assert ask(limiter, client="b").starts_s == () or ask(limiter, client="b").starts_s[0] > 0
    assert ask(limiter, client="b", lane=("server", "other key", "model")).starts_s[0] == 0.0


def test_calls_in_flight_are_shared_out_and_come_back_from_a_client_that_is_gone():
    limiter = Limiter()
    assert ask(limiter, calls=200).share == 100
    assert ask(limiter, client="b", now=0.1).share == 0  # the first may have its hundred in flight by now
    assert ask(limiter, in_flight=10, calls=0, now=0.2).share == 50
    assert ask(limiter, client="b", now=0.3).share == 50
    assert ask(limiter, client="b", now=0.3 + CLIENT_S).share == 100


def test_a_client_that_asks_for_no_permits_may_have_all_its_share_in_flight_whatever_it_said_waits():
    limiter, free = Limiter(), LaneLimits(concurrency=100)
    assert ask(limiter, limits=free, calls=1).share == 100
    assert ask(limiter, limits=free, client="b", now=0.1).share == 0
    assert ask(limiter, limits=free, in_flight=30, calls=0, now=1.0).share == 50
    assert ask(limiter, limits=free, client="b", now=1.1).share == 50


def test_the_clients_of_one_run_share_from_the_start_whoever_asks_first():
    limiter, free = Limiter(), LaneLimits(concurrency=101)
    shares = [ask(limiter, limits=free, client=name, calls=1, of_run=2).share for name in "ab"]
    assert sorted(shares) == [50, 51]
    # another run's client comes, and one of the first two is gone
    assert ask(limiter, limits=free, client="c", now=1.0).share == 0
    shares = [ask(limiter, limits=free, client=name, in_flight=20, calls=0, of_run=2, now=1.0).share for name in "ab"]
    assert max(shares) <= 34
    assert ask(limiter, limits=free, client="b", of_run=2, now=1.0 + CLIENT_S).share <= 51


def test_the_smallest_limit_of_all_clients_is_kept():
    limiter = Limiter()
    ask(limiter)
    assert ask(limiter, client="b", limits=LaneLimits(rpm=60)).kept.rpm == 60


def test_limits_are_changed_while_running_and_survive_the_limiter():
    limiter, changed = Limiter(), LaneLimits(rpm=30, concurrency=2)
    ask(limiter)
    limiter.set_limits(("server", "model"), changed)
    limiter.set_limits(("server", "another model"), LaneLimits(rpm=1))
    grant = ask(limiter, now=1.0)
    assert (grant.kept.rpm, grant.share, grant.override) == (30, 2, changed)
    rebuilt = Limiter()
    assert ask(rebuilt, override=grant.override).kept.rpm == 30
    rebuilt.set_limits(("server", "model"), None)
    assert ask(rebuilt, override=changed, now=1.0).kept.rpm == 600  # what a client remembers is for a new limiter only


def test_limits_that_were_changed_before_the_first_call_hold_too():
    limiter = Limiter()
    limiter.set_limits(("server", "model"), LaneLimits(rpm=30))
    assert ask(limiter).kept.rpm == 30


def test_a_server_that_says_less_is_believed_and_one_that_says_more_is_not():
    def kept(limit: float) -> int | None:
        view = LimitView("requests", limit=limit, remaining=limit, reset_s=0.0)
        return ask(Limiter(), report=Report(views=(view,))).kept.rpm

    assert (kept(300), kept(6000)) == (300, 600)


def test_an_older_answer_does_not_undo_a_newer_one():
    limiter = Limiter()
    ask(limiter)
    newer = LimitView("requests", limit=300, remaining=300, reset_s=0.0, age_s=1.0)
    older = LimitView("requests", limit=600, remaining=600, reset_s=0.0, age_s=30.0)
    ask(limiter, now=40.0, report=Report(views=(newer,)))
    assert ask(limiter, now=41.0, report=Report(views=(older,))).kept.rpm == 300


def test_what_is_left_less_what_was_sent_since_is_not_overdrawn():
    limiter = Limiter()
    ask(limiter, now=0.0)
    empty = LimitView("requests", limit=600, remaining=0, reset_s=60.0, age_s=0.2)
    other_users = replace(empty, remaining=0, age_s=0.0)
    assert ask(limiter, now=0.2, report=Report(views=(other_users,))).starts_s == () or True
    for step in range(1, 20):
        ask(limiter, now=0.2 + step / 4)
    late = replace(empty, age_s=4.9)  # nothing was left five seconds ago: only what came back since may be used
    assert ask(limiter, now=5.1, report=Report(views=(late,))).ask_again_s > 0


def test_a_server_without_a_known_rate_is_not_asked_about_call_by_call():
    grant = ask(Limiter(), limits=LaneLimits(concurrency=64))
    assert (grant.is_free, grant.share, grant.starts_s, grant.calls_per_s) == (True, 64, (), None)


def test_a_refusal_without_headers_gives_such_a_lane_a_rate_once_per_cooldown():
    limiter, adaptive = Limiter(), LaneLimits()
    for second in range(10):
        ask(limiter, now=float(second), limits=adaptive, report=Report(answered=100))
    refusals = Report(answered=100, throttles=(Throttle(2.0), Throttle(2.0), Throttle(2.0)))
    grant = ask(limiter, now=10.0, limits=adaptive, report=refusals)
    assert not grant.is_free
    assert grant.kept.rpm == pytest.approx(0.9 * 100 * 60, rel=0.1)
    assert grant.hold_s == pytest.approx(2.1)
    again = ask(limiter, now=11.0, limits=adaptive, report=Report(throttles=(Throttle(2.0),)))
    assert again.kept.rpm == grant.kept.rpm


def test_a_refusal_that_says_something_is_left_holds_the_lane_but_does_not_slow_it():
    limiter = Limiter()
    ask(limiter)
    grant = ask(limiter, now=1.0, report=Report(throttles=(Throttle(0.5, limit_is_left=True),)))
    assert grant.hold_s > 0.5
    assert grant.starts_s == ()
    assert limiter.report(1.0)["model"]["pace"] == 1.0


def test_what_calls_counted_beyond_their_reserve_slows_the_lane():
    limits = LaneLimits(tpm=60_000, charge="actual")

    def wait(correction: Charge) -> float:
        limiter, charge = Limiter(), Charge(400, 200, 200)
        ask(limiter, limits=limits, calls=2, charge=charge)
        return ask(
            limiter, now=0.01, limits=limits, calls=1, charge=charge, report=Report(correction=correction)
        ).ask_again_s

    assert wait(Charge(-100, 0, 0)) < wait(NOTHING) < wait(Charge(100, 0, 0))
    limiter = Limiter()
    ask(limiter, limits=limits, calls=1, charge=Charge(1000, 500, 500))
    later = Report(correction=Charge(5000, 0, 0))
    ask(limiter, now=0.01, limits=limits, calls=0, report=later)
    assert ask(limiter, now=4.0, limits=limits, calls=1, charge=Charge(1000, 500, 500)).starts_s == ()


def test_a_report_names_no_server_and_no_key():
    limiter = Limiter()
    ask(limiter)
    assert "key" not in str(limiter.report(0.0))
    assert "server" not in str(limiter.report(0.0))


def test_refusals_of_requests_sent_before_a_cooldowns_end_do_not_extend_it():
    cooldown = Cooldown()
    assert cooldown.begins(Throttle(10.0), now=100.0, jitter=0.0)
    assert not cooldown.begins(Throttle(10.0), now=105.0, jitter=0.0)
    assert not cooldown.begins(Throttle(10.0, age_s=6.0), now=111.0, jitter=0.0)
    assert cooldown.until == 110.0
    assert cooldown.begins(Throttle(10.0, age_s=0.5), now=111.0, jitter=0.0)


def test_a_cooldown_has_full_jitter_and_an_end():
    def seconds(asked: float | None, jitter: float) -> float:
        cooldown = Cooldown()
        cooldown.begins(Throttle(asked), now=0.0, jitter=jitter)
        return cooldown.until

    assert (seconds(5.0, 0.0), seconds(5.0, 1.0)) == (5.0, 5.5)
    assert (seconds(None, 0.25), seconds(None, 1.0)) == (0.25, 1.0)
    assert seconds(86_400.0, 1.0) == MOST_COOLDOWN_S

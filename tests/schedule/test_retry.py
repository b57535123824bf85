"""One table says what follows a failure: what is asked again, when, how often, what stops a lane, what is data."""

from typing import get_args

import pytest

from core.plan.question import DATA_FAILURES
from core.plan.records import Failure, FailureKind
from core.schedule.retry import (
    LONGEST_RETRY_AFTER_S,
    POISON_AFTER,
    POLICIES,
    Tally,
    delay_s,
    is_retried,
    retry_delay_s,
    signature_of,
    spread,
    treat,
)

KINDS: tuple[FailureKind, ...] = get_args(FailureKind)


def failed(
    kind: FailureKind, message: str = "HTTP 500: it broke", *, attempts: int = 1, billed: bool = False
) -> Failure:
    return Failure("c", kind, message, attempts=attempts, possibly_billed=billed)


def end_of(kind: FailureKind, messages: list[str], *, outages: int = 0) -> tuple[int, Failure | None]:
    """Attempts made until a call ends that fails so, and how it ends."""
    tally = Tally()
    for at, message in enumerate(messages, 1):
        treatment = treat(failed(kind, message, attempts=at), tally=tally, is_outage=at <= outages)
        tally = treatment.tally
        if treatment.ends_as is not None:
            return at, treatment.ends_as
    return len(messages), None


def test_every_kind_has_a_policy_and_only_length_is_no_failure() -> None:
    assert set(POLICIES) == {*KINDS, "length"}
    assert {kind for kind, policy in POLICIES.items() if policy.is_data} == {*DATA_FAILURES, "length"}
    assert {kind for kind, policy in POLICIES.items() if policy.stops_lane} == {"auth", "quota"}


def test_whatever_a_user_can_mend_has_a_remedy() -> None:
    silent = {kind for kind, policy in POLICIES.items() if not policy.remedy}
    assert silent == {"content_filter", "length"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_that_says_something_else_each_time_ends_after_its_attempts_as_it_is(kind: FailureKind) -> None:
    words = [f"{'abcdefgh'[at % 8] * (at + 1)}" for at in range(60)]
    attempts, end = end_of(kind, words)
    assert end is not None
    assert (attempts, end.kind) == (POLICIES[kind].attempts, kind)
    assert [at for at in range(1, 60) if is_retried(failed(kind, attempts=at))] == list(range(1, attempts))


@pytest.mark.parametrize("kind", ["transient", "malformed"])
def test_the_same_failure_five_times_is_poison_and_says_what_and_how_often(kind: FailureKind) -> None:
    words = [f"HTTP 500: it broke at 12:00:0{at} (request req_{at}a7f)" for at in range(9)]
    attempts, end = end_of(kind, words)
    assert attempts == POISON_AFTER == 5
    assert end is not None
    assert end.kind == "poison"
    assert end.message.startswith(f"5 times the same: {kind}: HTTP 500: it broke")


@pytest.mark.parametrize("kind", ["rate_limit", "overloaded", "unreachable", "engine_dead"])
def test_what_is_the_servers_fault_is_never_held_against_the_call(kind: FailureKind) -> None:
    _, end = end_of(kind, ["the same"] * 60)
    assert end is not None
    assert end.kind == kind


def test_attempts_during_an_outage_do_not_count() -> None:
    assert end_of("transient", ["the same"] * 30, outages=20)[0] == 20 + POISON_AFTER


def test_two_kinds_in_turn_are_counted_apart() -> None:
    tally = Tally()
    for at in range(1, 40):
        kind: FailureKind = "rate_limit" if at % 2 else "overloaded"
        treatment = treat(failed(kind, attempts=at), tally=tally)
        assert treatment.ends_as is None
        tally = treatment.tally
    assert (tally.of_kind("rate_limit"), tally.of_kind("overloaded"), tally.of_kind("transient")) == (20, 19, 0)


def test_attempts_that_may_be_billed_are_counted_whatever_becomes_of_the_call() -> None:
    tally = Tally()
    for at, billed in enumerate([True, False, True, True], 1):
        tally = treat(
            failed("transient", f"{'x' * at}", attempts=at, billed=billed), tally=tally, is_outage=at > 2
        ).tally
    assert tally.lost == 3


@pytest.mark.parametrize("kind", ["auth", "quota"])
def test_a_refused_key_or_an_empty_account_stops_the_lane_with_its_remedy(kind: FailureKind) -> None:
    treatment = treat(failed(kind, "HTTP 401: no"))
    assert treatment.ends_as is not None
    assert treatment.stops_lane == f"HTTP 401: no: {POLICIES[kind].remedy}"


def test_two_failures_are_the_same_by_kind_status_and_words() -> None:
    same = [failed("transient", f"HTTP 500: Sorry,  id {each}") for each in ("req_1", "req_0f2", "77")]
    assert len({signature_of(each) for each in same}) == 1
    others = [failed("malformed", same[0].message), failed("transient", "HTTP 502: Sorry, id 1"), failed("transient")]
    assert len({signature_of(each) for each in [same[0], *others]}) == 4


def test_jitter_takes_the_whole_range_and_the_range_doubles_up_to_its_cap() -> None:
    policy = POLICIES["overloaded"]
    assert [delay_s(policy, attempt=at, retry_after_s=None, spread=1.0) for at in range(1, 8)] == [
        2,
        4,
        8,
        16,
        32,
        60,
        60,
    ]
    assert delay_s(policy, attempt=5000, retry_after_s=None, spread=0.5) == 30.0
    assert delay_s(policy, attempt=3, retry_after_s=None, spread=0.0) == 0.0


def test_a_delay_depends_on_call_and_attempt_only_and_spreads_evenly() -> None:
    first = retry_delay_s(failed("overloaded"))
    assert first == retry_delay_s(failed("overloaded", "other words"))
    assert first != retry_delay_s(failed("overloaded", attempts=2))
    drawn = sorted(spread(f"call-{at}", 1) for at in range(2000))
    assert 0 <= drawn[0] < 0.01 < 0.99 < drawn[-1] < 1
    assert 0.45 < drawn[1000] < 0.55


@pytest.mark.parametrize("kind", ["rate_limit", "overloaded", "transient"])
def test_a_wait_that_the_server_names_is_kept_never_shortened_and_capped(kind: FailureKind) -> None:
    def asked(seconds: float) -> list[float]:
        return [retry_delay_s(Failure(f"c{at}", kind, "", retry_after_s=seconds)) for at in range(50)]

    base = POLICIES[kind].base_s
    assert all(30.0 <= delay <= 30.0 + base for delay in asked(30.0))
    assert len(set(asked(30.0))) == 50
    assert all(LONGEST_RETRY_AFTER_S <= delay <= LONGEST_RETRY_AFTER_S + base for delay in asked(86_400.0))

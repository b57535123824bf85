from collections.abc import Iterable

import pytest

from core.engines.stand_in.anthropic_shape import AnthropicShape
from core.engines.stand_in.openai_shape import OpenAIShape, written_duration
from core.engines.stand_in.rate_limit import Admission, LimitKind, RateLimits, RequestCost

FREE = RequestCost(0, 0, 0)
KINDS: tuple[LimitKind, ...] = ("bucket", "fixed", "sliding")


def admitted(limits: RateLimits, times: Iterable[float], cost: RequestCost = FREE) -> int:
    return sum(limits.admit(cost, at).is_admitted for at in times)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_lets_a_minutes_worth_through_at_once_and_no_more(kind):
    assert admitted(RateLimits(kind=kind, rpm=60), [0.0] * 100) == 60


@pytest.mark.parametrize(
    ("kind", "after_a_second", "after_a_minute"), [("bucket", 1, 59), ("fixed", 0, 60), ("sliding", 0, 60)]
)
def test_the_kinds_differ_in_when_they_let_the_next_ones_through(kind, after_a_second, after_a_minute):
    limits = RateLimits(kind=kind, rpm=60)
    admitted(limits, [0.0] * 60)
    assert (admitted(limits, [1.01] * 9), admitted(limits, [60.02] * 99)) == (after_a_second, after_a_minute)


@pytest.mark.parametrize(("kind", "wait_s"), [("bucket", 0.75), ("fixed", 59.75), ("sliding", 59.75)])
def test_a_refusal_takes_nothing_and_says_when_to_come_again(kind, wait_s):
    limits = RateLimits(kind=kind, rpm=60)
    admitted(limits, [0.0] * 60)
    refused = limits.admit(FREE, 0.25)
    assert (refused.is_admitted, refused.by_name["requests"].remaining) == (False, 0)
    assert refused.retry_after_s == pytest.approx(wait_s)
    assert limits.admit(FREE, 0.25 + wait_s + 1e-6).is_admitted


@pytest.mark.parametrize("kind", KINDS)
def test_a_halved_limit_counts_what_was_used_as_the_same_share_of_the_new_one(kind):
    limits = RateLimits(kind=kind, rpm=120, halve_after_s=30.0)
    assert admitted(limits, [at / 2 for at in range(60)]) == 60
    told = limits.admit(FREE, 30.0).by_name["requests"]
    assert (told.limit, told.is_admitted, limits.in_force()) == (60, True, {"requests": 60})
    assert told.remaining == (59 if kind == "bucket" else 29)


@pytest.mark.parametrize("kind", KINDS)
def test_all_limits_must_let_a_request_in_and_none_counts_one_that_is_refused(kind):
    limits = RateLimits(kind=kind, rpm=100, tpm=1000)
    assert admitted(limits, [0.0] * 10, RequestCost(tokens=300, input=0, output=0)) == 3
    assert limits.admit(RequestCost(tokens=100, input=0, output=0), 0.0).by_name["requests"].remaining == 96


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_counted_later_may_go_beyond_the_limit_and_then_keeps_others_out(kind):
    limits = RateLimits(kind=kind, output_tpm=100)
    assert limits.admit(FREE, 0.0).is_admitted
    limits.count_later("output", 150, 1.0)
    assert not limits.admit(RequestCost(0, 0, 1), 2.0).is_admitted


ADMISSION = Admission(is_admitted=False, limit=60, remaining=0, reset_s=59.5, retry_after_s=0.4)


def test_each_provider_puts_a_limit_in_its_own_headers():
    assert OpenAIShape().limit_headers({"requests": ADMISSION}, unix_time_s=0.0) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "59.5s",
    }
    assert AnthropicShape().limit_headers({"requests": ADMISSION}, unix_time_s=0.0) == {
        "anthropic-ratelimit-requests-limit": "60",
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "1970-01-01T00:01:00Z",
    }


def test_only_openai_tells_milliseconds():
    assert OpenAIShape().retry_headers(0.4) == {"retry-after": "1", "retry-after-ms": "400"}
    assert AnthropicShape().retry_headers(0.4) == {"retry-after": "1"}


def test_durations_are_written_as_openai_writes_them():
    assert [written_duration(seconds) for seconds in (0, 0.02, 1, 1.5, 60, 90.25)] == [
        "0ms", "20ms", "1s", "1.5s", "1m0s", "1m30.25s",
    ]  # fmt: skip

from core.engines.stand_in.anthropic_shape import AnthropicShape
from core.engines.stand_in.openai_shape import OpenAIShape, written_duration
from core.engines.stand_in.rate_limit import Admission, TokenBucket


def test_a_bucket_lets_a_minutes_worth_through_at_once_and_then_its_rate():
    bucket = TokenBucket(60)
    assert sum(bucket.admit(0.0).is_admitted for _ in range(100)) == 60
    assert not bucket.admit(0.9).is_admitted
    assert bucket.admit(1.0).is_admitted
    assert sum(bucket.admit(11.0).is_admitted for _ in range(100)) == 10


def test_a_refusal_takes_nothing_and_says_when_to_come_again():
    bucket = TokenBucket(60, burst=1)
    assert bucket.admit(0.0).is_admitted
    refused = bucket.admit(0.25)
    assert (refused.is_admitted, refused.retry_after_s, refused.remaining) == (False, 0.75, 0)
    assert bucket.admit(1.0).is_admitted


def test_over_an_hour_no_more_than_the_limit_and_the_first_minute_pass():
    bucket = TokenBucket(120)
    admitted = sum(bucket.admit(tick / 10).is_admitted for tick in range(36_000))
    assert 120 * 60 <= admitted <= 120 * 61


ADMISSION = Admission(is_admitted=False, limit=60, remaining=0, reset_s=59.5, retry_after_s=0.4)


def test_each_provider_puts_a_limit_in_its_own_headers():
    assert OpenAIShape().limit_headers(ADMISSION, unix_time_s=0.0) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "59.5s",
    }
    assert AnthropicShape().limit_headers(ADMISSION, unix_time_s=0.0) == {
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

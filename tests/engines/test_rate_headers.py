"""Headers as both providers send them: shapes recorded from their documentation and answers, numbers made up."""

from datetime import UTC, datetime, timedelta

import pytest

from core.engines.api_failures import retry_after_s
from core.engines.rate_headers import limit_views, read_duration_s, read_reset_s
from core.schedule.limit_views import LimitView

NOW = datetime(2026, 11, 24, 2, 30, tzinfo=UTC)

OPENAI = {
    "content-type": "application/json",
    "openai-processing-ms": "812",
    "x-ratelimit-limit-requests": "10000",
    "x-ratelimit-limit-tokens": "2000000",
    "x-ratelimit-remaining-requests": "9998",
    "x-ratelimit-remaining-tokens": "1998720",
    "x-ratelimit-reset-requests": "12ms",
    "x-ratelimit-reset-tokens": "38ms",
    "x-request-id": "req_0123",
}

OPENAI_LOW_TIER = {
    "x-ratelimit-limit-requests": "200",
    "x-ratelimit-limit-tokens": "40000",
    "x-ratelimit-remaining-requests": "198",
    "x-ratelimit-remaining-tokens": "39012",
    "x-ratelimit-reset-requests": "14m24s",
    "x-ratelimit-reset-tokens": "1.482s",
}

ANTHROPIC = {
    "anthropic-ratelimit-requests-limit": "4000",
    "anthropic-ratelimit-requests-remaining": "3999",
    "anthropic-ratelimit-requests-reset": "2026-11-24T02:30:01Z",
    "anthropic-ratelimit-input-tokens-limit": "400000",
    "anthropic-ratelimit-input-tokens-remaining": "398000",
    "anthropic-ratelimit-input-tokens-reset": "2026-11-24T02:30:01Z",
    "anthropic-ratelimit-output-tokens-limit": "80000",
    "anthropic-ratelimit-output-tokens-remaining": "77000",
    "anthropic-ratelimit-output-tokens-reset": "2026-11-24T02:30:03Z",
    "anthropic-ratelimit-tokens-limit": "480000",
    "anthropic-ratelimit-tokens-remaining": "475000",
    "anthropic-ratelimit-tokens-reset": "2026-11-24T02:30:01Z",
    "retry-after": "2",
}


def views(headers: dict[str, str]) -> set[LimitView]:
    return set(limit_views(headers.items(), now=NOW))


def test_openais_headers_tell_requests_and_tokens_a_minute():
    assert views(OPENAI) == {
        LimitView("requests", limit=10_000, remaining=9998, reset_s=0.012),
        LimitView("tokens", limit=2_000_000, remaining=1_998_720, reset_s=0.038),
    }


def test_a_limit_of_requests_that_takes_minutes_to_be_whole_is_one_of_a_day():
    assert {view.dimension: view.limit for view in views(OPENAI_LOW_TIER)} == {"day": 200, "tokens": 40_000}


def test_anthropics_headers_tell_input_and_output_apart():
    # its `tokens` repeats the tightest of both, so it is left out beside them
    assert views(ANTHROPIC) == {
        LimitView("requests", limit=4000, remaining=3999, reset_s=1.0),
        LimitView("input", limit=400_000, remaining=398_000, reset_s=1.0),
        LimitView("output", limit=80_000, remaining=77_000, reset_s=3.0),
    }


def test_anthropics_combined_limit_counts_where_it_stands_alone():
    alone = {name: value for name, value in ANTHROPIC.items() if "put-" not in name}
    assert {view.dimension for view in views(alone)} == {"requests", "tokens"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-ratelimit-limit-requests": "10"},
        {"x-ratelimit-limit-requests": "ten", "x-ratelimit-remaining-requests": "9"},
        {"x-ratelimit-limit-requests": "-1", "x-ratelimit-remaining-requests": "9"},
        {"x-ratelimit-limit-requests": "0", "x-ratelimit-remaining-requests": "0"},
        {"x-ratelimit-limit-images": "10", "x-ratelimit-remaining-images": "9"},
        {"anthropic-ratelimit-limit": "10"},
    ],
)
def test_what_is_missing_or_no_number_is_left_out(headers):
    assert views(headers) == set()


def test_a_reset_that_cannot_be_read_costs_only_the_reset():
    odd = {**OPENAI, "x-ratelimit-reset-requests": "soon", "x-ratelimit-reset-tokens": ""}
    assert {view.reset_s for view in views(odd)} == {None}


def test_names_are_read_in_any_case():
    assert views({name.title(): value for name, value in ANTHROPIC.items()}) == views(ANTHROPIC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360), ("120ms", 0.12), ("1s", 1), ("1.482s", 1.482), ("1h2m3.5s", 3723.5), ("1d", 86_400),
        ("12", 12), ("0s", 0), ("500µs", 0.0005), ("6m0x", None), ("", None), ("m", None), ("-3", None),
    ],
)  # fmt: skip
def test_durations(text, seconds):
    assert read_duration_s(text) == pytest.approx(seconds) if seconds is not None else read_duration_s(text) is None


def test_a_reset_may_be_a_time_of_day_with_or_without_a_zone():
    assert [read_reset_s(text, now=NOW) for text in ("2026-11-24T02:31:00Z", "2026-11-24T02:30:30+00:00")] == [60, 30]
    assert read_reset_s("2026-11-24T02:29:00", now=NOW) == 0


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_of_ours_that_is_an_hour_wrong_changes_nothing_that_a_provider_says(monkeypatch, hours):
    class OurClock(datetime):
        @classmethod
        def now(cls, tz=None):
            return NOW + timedelta(hours=hours)

    monkeypatch.setattr("core.engines.api_failures.datetime", OurClock)
    dated = {**ANTHROPIC, "date": "Tue, 24 Nov 2026 02:30:00 GMT"}
    assert set(limit_views(dated.items())) == views(ANTHROPIC)
    # without a date the moment of the reset is wrong, but a limit of a minute is not taken for one of a day
    assert {view.dimension for view in limit_views(ANTHROPIC.items())} == {"requests", "input", "output"}
    assert retry_after_s({"retry-after": "Tue, 24 Nov 2026 02:30:30 GMT", "date": dated["date"]}) == 30.0

"""What both providers say of their limits in the headers of an answer. Pure, and of no provider's SDK.

OpenAI: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, the reset a duration such as `6m0s` or `120ms`.
Anthropic: `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}`, the reset an
RFC 3339 time, read by the answer's own `Date`. `retry-after` and `retry-after-ms` are read by
`core.engines.api_failures.retry_after_s`.
"""

import re
from collections.abc import Iterable
from datetime import datetime

from core.engines.api_failures import number_of, read_date, seconds_until
from core.schedule.limit_charges import Dimension
from core.schedule.limit_views import LimitView

DIMENSIONS: dict[str, Dimension] = {
    "requests": "requests", "tokens": "tokens", "input-tokens": "input", "output-tokens": "output",
}  # fmt: skip

LONGEST_MINUTE_RESET_S = 120.0
"""A limit of requests that takes longer to be whole again is one per day (OpenAI's lower tiers)."""

OPENAI_PREFIX, ANTHROPIC_PREFIX = "x-ratelimit-", "anthropic-ratelimit-"

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|s|m|h|d)")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def limit_views(headers: Iterable[tuple[str, str]], *, now: datetime | None = None) -> tuple[LimitView, ...]:
    """One view per dimension whose limit and remainder are there and are numbers; anything else is left out."""
    written: dict[str, dict[str, str]] = {}
    for name, value in headers:
        lower = name.lower()
        if lower == "date":
            now = now or read_date(value)
        if lower.startswith(OPENAI_PREFIX):
            field, _, what = lower.removeprefix(OPENAI_PREFIX).partition("-")
        elif lower.startswith(ANTHROPIC_PREFIX):
            what, _, field = lower.removeprefix(ANTHROPIC_PREFIX).rpartition("-")
        else:
            continue
        if what in DIMENSIONS:
            written.setdefault(what, {})[field] = value
    views = [_view(DIMENSIONS[what], fields, now=now) for what, fields in written.items()]
    is_apart = "input-tokens" in written or "output-tokens" in written
    # beside limits of input and output apart, Anthropic's `tokens` repeats whichever is the tightest
    return tuple(view for view in views if view is not None and not (is_apart and view.dimension == "tokens"))


def read_duration_s(text: str) -> float | None:
    """Seconds of `6m0s`, `120ms`, `1h2m3.5s`, or of a bare number; None for anything else."""
    text = text.strip()
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return float(sum(float(number) * _UNIT_S[unit] for number, unit in parts))
    return number_of(text)


def read_reset_s(text: str, *, now: datetime | None = None) -> float | None:
    """Seconds until a limit is whole again: a duration, or a time of day less `now`; None where it is neither."""
    seconds = read_duration_s(text)
    if seconds is not None:
        return seconds
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return seconds_until(moment, now=now)


def _view(dimension: Dimension, fields: dict[str, str], *, now: datetime | None) -> LimitView | None:
    limit, remaining = number_of(fields.get("limit")), number_of(fields.get("remaining"))
    if limit is None or remaining is None or limit <= 0:
        return None
    reset_s = read_reset_s(fields["reset"], now=now) if "reset" in fields else None
    # told by a duration only: a time of day is as far away as a clock is wrong
    lasts_s = read_duration_s(fields["reset"]) if "reset" in fields else None
    if dimension == "requests" and lasts_s is not None and lasts_s > LONGEST_MINUTE_RESET_S:
        dimension = "day"
    return LimitView(dimension, limit=limit, remaining=remaining, reset_s=reset_s)

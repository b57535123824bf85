"""What an API's error means: from status, error object and headers to our kinds. Pure, and of no provider's SDK."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from core.plan.records import FailureKind

# Codes by which OpenAI, Azure and compatible servers say that their filter refused the request.
FILTER_CODES = frozenset({"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"})
FILTER_PHRASES = ("content filtering policy", "flagged as potentially violating", "your input was flagged")
QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "billing_error"})
# Anthropic says it in words only, with 400; its newer errors carry a code that holds spend_limit.
QUOTA_PHRASES = ("credit balance is too low",)
QUOTA_CODE_PART = "spend_limit"
TOO_LARGE = "request too large"

LONGEST_MESSAGE = 500
SHORTEST_SECRET = 8

_KEY_LIKE = re.compile(r"\bsk-[A-Za-z0-9_*.-]{6,}")


@dataclass(frozen=True, slots=True)
class ApiError:
    """An error answer, or an error object inside an answer."""

    status: int
    message: str
    codes: tuple[str, ...]
    """Every code and type that the error object carries."""


def read_error(status: int, content: bytes | str) -> ApiError:
    """The error object of an answer: `{"error": {...}}`, or the bare object; any other body is the message."""
    text = content.decode(errors="replace") if isinstance(content, bytes) else content
    try:
        body = json.loads(text)
    except ValueError:
        return ApiError(status, text.strip() or f"HTTP {status} without a body", ())
    return error_in_body(status, body)


def error_in_body(status: int, body: object) -> ApiError:
    """The error object of a JSON body."""
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return ApiError(status, str(error), ())
    details = error.get("details")
    inner = error.get("innererror")
    codes = [error.get("code"), error.get("type")]
    codes += [details.get("error_code")] if isinstance(details, dict) else []
    codes += [inner.get("code")] if isinstance(inner, dict) else []
    message = error.get("message")
    written = message if isinstance(message, str) and message else json.dumps(error)
    return ApiError(status, written, tuple(str(code) for code in codes if code is not None))


def failure_kind(error: ApiError) -> FailureKind:
    """Our kind of an API's error: what it says goes before its status."""
    message = error.message.lower()
    if FILTER_CODES.intersection(error.codes) or any(phrase in message for phrase in FILTER_PHRASES):
        return "content_filter"
    if (
        error.status == 402
        or QUOTA_CODES.intersection(error.codes)
        or any(QUOTA_CODE_PART in code for code in error.codes)
        or any(phrase in message for phrase in QUOTA_PHRASES)
    ):
        return "quota"
    if error.status in (401, 403, 404):  # 404: the model, or the address, is not there for this key: no call has it
        return "auth"
    if error.status == 429:
        # a request that is larger than the limit of a minute can wait for ever
        return "invalid" if message.startswith(TOO_LARGE) else "rate_limit"
    if error.status in (503, 529):
        return "overloaded"
    if error.status in (408, 409, 425) or error.status >= 500:
        return "transient"
    return "invalid"


def may_be_billed(status: int) -> bool:
    """Whether an error status can hide an answer that was made: a gateway gave up waiting for it."""
    return status in (408, 504, 524)


def retry_after_s(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Seconds until the provider wants to be asked again: retry-after-ms, else retry-after (seconds or a date)."""
    milliseconds = number_of(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    written = headers.get("retry-after")
    seconds = number_of(written)
    if seconds is not None or written is None:
        return seconds
    moment = read_date(written)
    return None if moment is None else seconds_until(moment, now=now or read_date(headers.get("date")))


def read_date(text: str | None) -> datetime | None:
    """An HTTP date, such as an answer's own `Date`; None where it is not there or is none.

    A provider's moments are moments of its clock: they are compared with its `Date`, because ours may be wrong.
    """
    try:
        return parsedate_to_datetime(text) if text else None
    except ValueError:
        return None


def number_of(text: str | None) -> float | None:
    """A header's number; None where it is not there, is negative or is no number."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def seconds_until(moment: datetime, *, now: datetime | None = None) -> float:
    """From `now` to a moment in a header, which is UTC where it names no zone; 0 where it has passed."""
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def is_unreachable(error: BaseException) -> bool:
    """Whether a connection error means that no request was sent: refused, no such host, no TLS, connect timed out.

    The SDKs' aiohttp transport reports a refused connection as a timeout; only the cause it keeps tells them apart.
    """
    return any(
        isinstance(cause, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)) for cause in _causes(error)
    )


def told_by(error: BaseException) -> str:
    """The innermost cause of a connection error, by name and in its words; the SDK's own name misleads."""
    *_, cause = _causes(error)
    return f"{type(cause).__name__}: {cause}".removesuffix(": ")


def without_key(message: str, api_key: str | None) -> str:
    """The message, shortened, with the key and anything that looks like one taken out."""
    if api_key:
        # A placeholder such as `x` is a whole word or nothing: it would be found inside other words.
        is_secret = len(api_key) >= SHORTEST_SECRET
        pattern = re.escape(api_key) if is_secret else rf"(?<!\w){re.escape(api_key)}(?!\w)"
        message = re.sub(pattern, "[key]", message)
    return _KEY_LIKE.sub("[key]", message)[:LONGEST_MESSAGE]


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__

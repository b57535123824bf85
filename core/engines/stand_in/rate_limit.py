"""Rate limits of the stand-in server. A limit is a state machine over a clock that it is given.

Another kind of limit is another class with `admit`; both API shapes turn its `Admission` into their own headers.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer of a limit to one request, and what its headers say."""

    is_admitted: bool
    limit: int
    """Requests per minute."""
    remaining: int
    """Requests that would be admitted now."""
    reset_s: float
    """Until the limit is whole again."""
    retry_after_s: float
    """Until the next request would be admitted; 0 where one would be now."""


class RequestLimit(Protocol):
    """Decides over each request as it arrives."""

    def admit(self, now_s: float) -> Admission:
        """Take one request at a monotonic time, or refuse it."""
        ...


class TokenBucket:
    """Refills steadily up to a full minute's requests (or `burst`); a refused request takes nothing."""

    def __init__(self, per_minute: int, *, burst: int | None = None) -> None:
        self._per_minute = per_minute
        self._capacity = float(burst if burst is not None else per_minute)
        self._level = self._capacity
        self._updated_s: float | None = None

    def admit(self, now_s: float) -> Admission:
        """Take one token at that time, or refuse."""
        per_second = self._per_minute / 60
        if self._updated_s is not None:
            self._level = min(self._capacity, self._level + (now_s - self._updated_s) * per_second)
        self._updated_s = now_s
        is_admitted = self._level >= 1
        if is_admitted:
            self._level -= 1
        return Admission(
            is_admitted=is_admitted,
            limit=self._per_minute,
            remaining=int(self._level),
            reset_s=(self._capacity - self._level) / per_second,
            retry_after_s=max(0.0, (1 - self._level) / per_second),
        )

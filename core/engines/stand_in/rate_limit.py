"""Rate limits of the stand-in server: three kinds of meter, each a state machine over a clock that it is given.

A meter counts in shares of its limit, so what was used before the limit changes is the same share of the new one and
the limit in force can be summed over time. Both API shapes turn a `RateAdmission` into their own headers.
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal, Protocol

MINUTE_S = 60.0

LimitKind = Literal["bucket", "fixed", "sliding"]


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer of one limit to one request, and what its headers say."""

    is_admitted: bool
    limit: int
    """Per minute."""
    remaining: int
    """What would be admitted now."""
    reset_s: float
    """Until the limit is whole again."""
    retry_after_s: float
    """Until a request like this one would be admitted; 0 where it was."""


class Meter(Protocol):
    """Use of one limit, in shares of it: 1 is all that a minute allows."""

    def used(self, now_s: float) -> float:
        """The share in use at a monotonic time."""
        ...

    def add(self, share: float, now_s: float) -> None:
        """Use more; the caller has asked before."""
        ...

    def reset_s(self, now_s: float) -> float:
        """Until nothing is in use."""
        ...

    def wait_s(self, share: float, now_s: float) -> float:
        """Until so much may be added."""
        ...


class BucketMeter:
    """Refills steadily; holds a full minute, or `burst` as a share of one."""

    def __init__(self, burst: float = 1.0) -> None:
        self._burst = burst
        self._missing = 0.0
        self._updated_s: float | None = None

    def used(self, now_s: float) -> float:
        """What has been taken and not refilled, beyond what the bucket never holds."""
        if self._updated_s is not None:
            self._missing = max(0.0, self._missing - (now_s - self._updated_s) / MINUTE_S)
        self._updated_s = now_s
        return self._missing + 1.0 - self._burst

    def add(self, share: float, now_s: float) -> None:
        """Take from the bucket."""
        self.used(now_s)
        self._missing += share

    def reset_s(self, now_s: float) -> float:
        """Until the bucket is full."""
        self.used(now_s)
        return self._missing * MINUTE_S

    def wait_s(self, share: float, now_s: float) -> float:
        """Until the bucket holds so much."""
        return max(0.0, self.used(now_s) + share - 1.0) * MINUTE_S


class FixedWindowMeter:
    """Counts anew every minute from the first request on."""

    def __init__(self) -> None:
        self._began_s: float | None = None
        self._used = 0.0

    def used(self, now_s: float) -> float:
        """What this window has taken."""
        if self._began_s is None:
            self._began_s = now_s
        windows = (now_s - self._began_s) // MINUTE_S
        if windows:
            self._began_s += windows * MINUTE_S
            self._used = 0.0
        return self._used

    def add(self, share: float, now_s: float) -> None:
        """Take from this window."""
        self.used(now_s)
        self._used += share

    def reset_s(self, now_s: float) -> float:
        """Until the next window."""
        self.used(now_s)
        return MINUTE_S - (now_s - (now_s if self._began_s is None else self._began_s))

    def wait_s(self, share: float, now_s: float) -> float:
        """Until the next window, unless there is room in this one."""
        return 0.0 if self.used(now_s) + share <= 1.0 else self.reset_s(now_s)


class SlidingWindowMeter:
    """Counts the last sixty seconds, request by request."""

    def __init__(self) -> None:
        self._taken: deque[tuple[float, float]] = deque()
        self._used = 0.0

    def used(self, now_s: float) -> float:
        """What the last minute has taken."""
        while self._taken and self._taken[0][0] <= now_s - MINUTE_S:
            self._used -= self._taken.popleft()[1]
        return max(0.0, self._used)

    def add(self, share: float, now_s: float) -> None:
        """Take now."""
        self._taken.append((now_s, share))
        self._used += share

    def reset_s(self, now_s: float) -> float:
        """Until the newest has left."""
        self.used(now_s)
        return self._taken[-1][0] + MINUTE_S - now_s if self._taken else 0.0

    def wait_s(self, share: float, now_s: float) -> float:
        """Until enough of the oldest have left."""
        excess = self.used(now_s) + share - 1.0
        for taken_s, part in self._taken:
            if excess <= 1e-9:
                break
            excess -= part
            if excess <= 1e-9:
                return max(0.0, taken_s + MINUTE_S - now_s)
        return 0.0


METERS: dict[LimitKind, type[BucketMeter] | type[FixedWindowMeter] | type[SlidingWindowMeter]] = {
    "bucket": BucketMeter, "fixed": FixedWindowMeter, "sliding": SlidingWindowMeter,
}  # fmt: skip


class Limit:
    """So much per minute, kept by a meter."""

    def __init__(self, per_minute: int, meter: Meter) -> None:
        self.per_minute = per_minute
        self._meter = meter

    def admits(self, cost: float, now_s: float) -> bool:
        """Whether there is room. Rounding must not refuse the last one."""
        return self._meter.used(now_s) + cost / self.per_minute <= 1.0 + 1e-9

    def add(self, cost: float, now_s: float) -> None:
        """Use it."""
        self._meter.add(cost / self.per_minute, now_s)

    def tell(self, cost: float, now_s: float, *, is_admitted: bool) -> Admission:
        """What the headers say after the decision."""
        return Admission(
            is_admitted=is_admitted,
            limit=self.per_minute,
            remaining=int(max(0.0, 1.0 - self._meter.used(now_s)) * self.per_minute + 1e-6),
            reset_s=self._meter.reset_s(now_s),
            retry_after_s=0.0 if is_admitted else self._meter.wait_s(cost / self.per_minute, now_s),
        )


@dataclass(frozen=True, slots=True)
class RequestCost:
    """What one request counts on arrival."""

    tokens: float
    """Against a limit of prompt and reply together: the prompt and max_tokens."""
    input: float
    """Against a limit of prompts alone: what is not read from the cache."""
    output: float
    """Against a limit of replies alone: max_tokens, or 0 where what is written counts."""


@dataclass(frozen=True, slots=True)
class RateAdmission:
    """The answer of all limits to one request."""

    is_admitted: bool
    by_name: dict[str, Admission]
    """requests, tokens, input, output: those that there are."""

    @property
    def retry_after_s(self) -> float:
        """Until all limits would admit a request like this one."""
        return max((each.retry_after_s for each in self.by_name.values()), default=0.0)


class RateLimits:
    """All limits of a server: a request is admitted by all and counts in all, or is refused and counts in none."""

    def __init__(
        self,
        *,
        kind: LimitKind = "bucket",
        rpm: int | None = None,
        tpm: int | None = None,
        input_tpm: int | None = None,
        output_tpm: int | None = None,
        halve_after_s: float | None = None,
    ) -> None:
        """`halve_after_s`: every limit is halved so long after the first request."""
        named = {"requests": rpm, "tokens": tpm, "input": input_tpm, "output": output_tpm}
        self.limits = {name: Limit(each, METERS[kind]()) for name, each in named.items() if each is not None}
        self._halve_after_s = halve_after_s
        self._began_s: float | None = None

    def admit(self, cost: RequestCost, now_s: float) -> RateAdmission:
        """Take one request at a monotonic time, or refuse it."""
        self._change(now_s)
        costs = {"requests": 1.0, "tokens": cost.tokens, "input": cost.input, "output": cost.output}
        is_admitted = all(limit.admits(costs[name], now_s) for name, limit in self.limits.items())
        if is_admitted:
            for name, limit in self.limits.items():
                limit.add(costs[name], now_s)
        told = {name: limit.tell(costs[name], now_s, is_admitted=is_admitted) for name, limit in self.limits.items()}
        return RateAdmission(is_admitted, told)

    def count_later(self, name: str, cost: float, now_s: float) -> None:
        """What turns out only with the reply; it may go beyond the limit."""
        if name in self.limits:
            self.limits[name].add(cost, now_s)

    def in_force(self) -> dict[str, int]:
        """Each limit per minute, as it is now."""
        return {name: limit.per_minute for name, limit in self.limits.items()}

    def _change(self, now_s: float) -> None:
        if self._began_s is None:
            self._began_s = now_s
        if self._halve_after_s is not None and now_s - self._began_s >= self._halve_after_s:
            self._halve_after_s = None
            for limit in self.limits.values():
                limit.per_minute = max(1, limit.per_minute // 2)

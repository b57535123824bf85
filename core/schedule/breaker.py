"""A lane that answers nobody: one call at a time tries it, at growing intervals, until it answers or is given up. Pure.

Without it an outage of a minute would use up the retries of every call in the lane. The clock is an argument and may
jump: an interval is waited for again where it stepped back, and a step forward counts as ten minutes at most of
those after which the lane is given up.
"""

from core.plan.records import Failure
from core.schedule.retry import LONGEST_RETRY_AFTER_S, POLICIES

UNBOUNDED = 1 << 30

FIRST_PROBE_S = 1.0
"""From the outage to the first call that tries; the interval doubles with each one that fails."""

LONGEST_PROBE_S = 60.0

FEWEST_CALLS = 3
"""Calls whose failures must stand in the row where the kind may be the call's own fault: one bad call is no outage."""


class Breaker:
    """The state of one lane: open while it is out."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._failing: set[str] = set()
        self._last_failure_s: float | None = None
        self._failing_s = 0.0
        self._is_open = False
        self._interval_s = FIRST_PROBE_S
        self._wait_s = FIRST_PROBE_S
        self._due_s = 0.0
        self._probe: str | None = None
        self._gave_up: str | None = None

    @property
    def is_open(self) -> bool:
        """The lane is out: only a probe may go."""
        return self._is_open

    @property
    def gave_up(self) -> str | None:
        """Why the lane is to be stopped: it failed for too long; None while there is hope."""
        return self._gave_up

    def allowance(self, now: float) -> int:
        """How many calls may go out now: all, one that tries, or none."""
        if not self._is_open:
            return UNBOUNDED
        return 1 if self._probe is None and not self._waits(now) else 0

    def next_probe(self, now: float) -> float | None:
        """When a call may try again; None where the lane works or one is trying."""
        if not self._is_open or self._probe is not None:
            return None
        return self._due_s if self._waits(now) else now

    def sent(self, call_id: str) -> None:
        """A call went out."""
        if self._is_open:
            self._probe = call_id

    def replied(self) -> None:
        """The lane answered somebody: it works."""
        self._close()
        self._last_failure_s = None
        self._failing_s = 0.0

    def failed(self, failure: Failure, *, now: float) -> None:
        """An attempt failed. Ask `is_open` afterwards: this failure may be the one that shows the outage."""
        policy = POLICIES[failure.kind]
        if policy.is_data:
            self.replied()  # a refusal of the request itself is an answer: the lane works
            return
        is_probe = failure.call_id == self._probe
        if is_probe:
            self._probe = None
        if policy.gives_up_after_s is None:
            return  # neither for nor against: a key refused, an engine dead
        self._count_time(now)
        if self._failing_s >= policy.gives_up_after_s:
            self._gave_up = (
                f"no reply for {self._failing_s / 60:.0f} min, at last {failure.kind}: {failure.message}: "
                f"{policy.remedy}"
            )
        if policy.outage_after is None:
            if is_probe:  # too many requests is an answer too; how many may go is the limiter's to say
                self._close()
            return
        self._count(failure)
        is_others_too = not policy.is_poisonous or len(self._failing) >= FEWEST_CALLS
        if is_probe:
            self._interval_s = min(LONGEST_PROBE_S, 2 * self._interval_s)
            self._wait(self._interval_s, failure, now=now)
        elif not self._is_open and self._in_a_row >= policy.outage_after and is_others_too:
            self._is_open = True
            self._wait(FIRST_PROBE_S, failure, now=now)

    def _count(self, failure: Failure) -> None:
        self._in_a_row += 1
        if len(self._failing) < FEWEST_CALLS:
            self._failing.add(failure.call_id)

    def _count_time(self, now: float) -> None:
        if self._last_failure_s is not None:
            self._failing_s += min(max(0.0, now - self._last_failure_s), LONGEST_RETRY_AFTER_S)
        self._last_failure_s = now

    def _close(self) -> None:
        self._in_a_row = 0
        self._failing.clear()
        self._is_open = False
        self._interval_s = FIRST_PROBE_S
        self._probe = None

    def _wait(self, interval_s: float, failure: Failure, *, now: float) -> None:
        self._wait_s = max(interval_s, min(failure.retry_after_s or 0.0, LONGEST_RETRY_AFTER_S))
        self._due_s = now + self._wait_s

    def _waits(self, now: float) -> bool:
        """Whether the next probe is not due; it is where the clock has stepped back beyond the wait's begin."""
        return self._due_s - self._wait_s <= now < self._due_s

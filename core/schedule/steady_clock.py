"""A clock that only goes forward, made of one that may be set: no wait becomes an hour longer. Pure."""

import math


class SteadyClock:
    """Seconds that have passed by a clock whose times are given."""

    def __init__(self) -> None:
        self._given: float | None = None
        self._ahead = 0.0
        """By how much the given clock is ahead of this one."""

    @property
    def now(self) -> float:
        """The time last read, on this clock."""
        return -math.inf if self._given is None else self._given - self._ahead

    def read(self, given: float, *, longest_s: float = math.inf) -> float:
        """The time on this clock. A step back counts as no time, and so does one forward by more than `longest_s`."""
        if self._given is not None:
            passed = given - self._given
            if not 0.0 <= passed <= longest_s:
                self._ahead += passed
        self._given = given
        return given - self._ahead

    def steady(self, given: float) -> float:
        """A moment of the given clock, on this one."""
        return given - self._ahead

    def given(self, steady: float) -> float:
        """A moment of this clock, on the given one."""
        return steady + self._ahead

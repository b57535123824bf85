"""Two clocks of a lane that refusals move, kept apart: the cooldown that all share, and how fast it may go on. Pure.

A refusal (429) begins a cooldown; further ones of requests that were sent before its end change nothing. Once per
cooldown the pace is cut; it grows again slowly, and only when nothing has been refused for a while.
"""

import math
from dataclasses import dataclass

from core.schedule.limit_views import Throttle

MOST_COOLDOWN_S = 120.0
"""Longest cooldown, whatever the server asks for; then one request tries."""

FIRST_COOLDOWN_S = 1.0
"""Where the server names no time: doubles with each cooldown that follows within a minute; full jitter."""

LEAST_COOLDOWN_S = 0.05

CUT = 0.9
CUT_CONFIRMED = 0.98
"""Where the server itself has named the limit that is kept: the refusal came from a start a little too early."""

QUIET_S = 15.0
"""After a cut, nothing grows for so long."""

GROWTH_PER_S = 0.005
"""Of the present pace, a second; faster the longer nothing has been refused (× quiet time ÷ 15 s)."""

LEAST_OF_BEST = 0.5
"""A cut never goes below this share of the best rate answered in the last minute: some refusals are not ours."""

FIRST_WINDOW = 32
"""Calls in flight where no concurrency is configured, to begin with."""

MOST_WINDOW = 512
"""Calls in flight that an adaptive lane grows to at most."""

WINDOW_STEP_S = 0.5
"""How often calls in flight may double (before the first refusal) or grow by an eighth (after it)."""


class Cooldown:
    """When the lane may be used again."""

    def __init__(self) -> None:
        self.until = -math.inf
        self._in_a_row = 0

    def begins(self, throttle: Throttle, *, now: float, jitter: float) -> bool:
        """Take note of a 429; True where it begins a cooldown. `jitter`: a random number from 0 to 1."""
        if now - throttle.age_s < self.until:
            return False
        self._in_a_row = self._in_a_row + 1 if now - self.until < 60.0 else 0
        if throttle.retry_after_s is not None:
            seconds = throttle.retry_after_s + jitter * min(1.0, 0.1 * throttle.retry_after_s)
        else:
            seconds = jitter * FIRST_COOLDOWN_S * 2.0 ** min(self._in_a_row, 7)
        self.until = now + min(MOST_COOLDOWN_S, max(LEAST_COOLDOWN_S, seconds))
        return True


@dataclass(slots=True)
class Answered:
    """Requests answered of late, for a rate."""

    began: float
    last: float = 0.0
    count: int = 0
    rate: float = 0.0
    """Per second, over the last few seconds."""
    best: float = 0.0
    """The best of them within about a minute."""

    def add(self, count: int, *, now: float) -> None:
        """So many since the last time."""
        self.count += count
        passed = now - self.began
        if passed >= 2.0:
            self.rate = self.count / passed
            self.best = max(self.rate, self.best * 0.98 ** (passed / 2.0))
            self.began, self.count = now, 0


class Growth:
    """How much of what is allowed is used, and a guess of it where nothing is known."""

    def __init__(self, now: float) -> None:
        self.pace = 1.0
        """Share of the known limits that is used."""
        self.guess: float | None = None
        """Requests per minute where no limit is known and the server has refused; None: as many as it takes."""
        self.window = FIRST_WINDOW
        self._answered = Answered(began=now)
        self._cut_at = -math.inf
        self._grown_at = now
        self._widened_at = now

    def answered(self, count: int, *, now: float) -> None:
        """The server took so many requests since the last time."""
        self._answered.add(count, now=now)

    def cut(self, *, now: float, known_per_minute: float | None, is_confirmed: bool) -> None:
        """A cooldown has begun because a limit was reached."""
        least = LEAST_OF_BEST * self._answered.best * 60
        self._cut_at = now
        if known_per_minute is not None:
            self.pace = max(self.pace * (CUT_CONFIRMED if is_confirmed else CUT), min(1.0, least / known_per_minute))
            self.pace = max(self.pace, 0.05)
        else:
            rate = self._answered.rate or float(self.window)
            now_used = rate * 60 if self.guess is None else min(self.guess, max(rate * 60, self.guess / 2))
            self.guess = max(1.0, least, CUT * now_used)
        self.window = max(1, self.window * 7 // 8)

    def grow(self, *, now: float, is_pressed: bool) -> None:
        """Time has passed; `is_pressed`: calls wait because of the pace."""
        passed, self._grown_at = now - self._grown_at, now
        quiet = now - self._cut_at
        if not is_pressed or quiet < QUIET_S:
            return
        # no history of refusals makes for fast growth, but never more than a tenth a second
        more = 1 + min(0.1, GROWTH_PER_S * min(quiet / QUIET_S, 20.0)) * min(passed, 2.0)
        self.pace = min(1.0, self.pace * more)
        if self.guess is not None:
            self.guess *= more

    def widen(self, *, now: float) -> None:
        """Calls waited because all that may be in flight was; nothing was refused."""
        if now - self._widened_at < WINDOW_STEP_S or now - self._cut_at < QUIET_S:
            return
        self._widened_at = now
        was_refused = self._cut_at > -math.inf
        self.window = min(MOST_WINDOW, max(self.window + 1, self.window * 9 // 8 if was_refused else self.window * 2))

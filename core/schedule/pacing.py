"""Evenly paced starts under a limit per minute, and a rolling count under a limit per day. Pure; times are arguments.

Even pacing (GCRA) is what holds on every kind of server alike: a fixed window, a sliding window and a token bucket
all admit a stream that never has more than the limit in any minute.
"""

from collections import deque

from core.schedule.limit_charges import DAY_S, MINUTE_S

MARGIN = 0.01
"""Share of a limit left unused: what the way to the server may shift starts by, in a minute."""

BURST_S = 0.25
"""How far a late stream may catch up: 0.4 % of a minute, so within the margin."""

MOST_LUMP = 0.04
"""Share of a limit that is kept free at most for the size of one call (a minute may hold one call more)."""

DAY_SLOTS = 288
"""A rolling day is counted in steps of five minutes."""


class Pacer:
    """One limit per minute. Starts are spaced by what they cost."""

    def __init__(self, limit: float, *, now: float) -> None:
        self._limit = limit
        self._lump = 0.0
        self._pace = 1.0
        # nothing to catch up with at the start: who kept to this limit before us may have used all of it
        self._paid_until = now + BURST_S

    @property
    def limit(self) -> float:
        """Per minute, as the server counts."""
        return self._limit

    @property
    def per_second(self) -> float:
        """What is spent at most."""
        lump = min(self._lump, MOST_LUMP * self._limit)
        return max(self._limit * (1 - MARGIN) - lump, self._limit * 0.5) * self._pace / MINUTE_S

    @property
    def typical_cost(self) -> float:
        """Running mean of what one call costs; 0 before the first."""
        return self._lump

    def set_limit(self, limit: float, *, now: float) -> None:
        """The limit is another from now on; what was booked ahead keeps its cost, not its time."""
        if limit == self._limit:
            return
        debt = (self.next_start(now) - now) * self.per_second
        self._limit = limit
        self._repay(debt, now)

    def set_pace(self, share: float, *, now: float) -> None:
        """Spend this share of the limit only."""
        if share == self._pace:
            return
        debt = (self.next_start(now) - now) * self.per_second
        self._pace = share
        self._repay(debt, now)

    def next_start(self, now: float) -> float:
        """The earliest time at which a call may start."""
        return max(now, self._paid_until - BURST_S)

    def book(self, cost: float, *, at: float) -> None:
        """A call starts then."""
        self._lump = cost if self._lump == 0 else self._lump + 0.05 * (cost - self._lump)
        self._paid_until = max(self._paid_until, at) + cost / self.per_second

    def correct(self, more: float, *, now: float) -> None:
        """The call cost that much more (or less) than booked."""
        if more > 0:
            self._paid_until = max(self._paid_until, now) + more / self.per_second
        else:
            self._paid_until += more / self.per_second

    def hold_for(self, missing: float, *, now: float) -> None:
        """The server has that much less left than we thought: wait until it has come back."""
        self._paid_until = max(self._paid_until, now + missing / self.per_second + BURST_S)

    def _repay(self, debt: float, now: float) -> None:
        if debt > 0:
            self._paid_until = now + debt / self.per_second + BURST_S


class RollingDay:
    """Requests of the last 24 hours. Not spread over the day: what is left may be used at once."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._slots: deque[tuple[int, float]] = deque()
        self._used = 0.0

    def used(self, now: float) -> float:
        """Requests that still count."""
        oldest = self._slot(now) - DAY_SLOTS - 1  # a step counts until its last moment is a day old
        while self._slots and self._slots[0][0] <= oldest:
            self._used -= self._slots.popleft()[1]
        return self._used

    def next_start(self, now: float) -> float:
        """Now, or when enough of the oldest requests no longer count."""
        excess = self.used(now) + 1 - self.limit
        for slot, count in self._slots:
            if excess <= 0:
                break
            excess -= count
            if excess <= 0:
                return (slot + DAY_SLOTS + 1) * DAY_S / DAY_SLOTS
        return now

    def book(self, cost: float, *, at: float) -> None:
        """A request starts then."""
        slot = self._slot(at)
        if self._slots and self._slots[-1][0] == slot:
            self._slots[-1] = (slot, self._slots[-1][1] + cost)
        else:
            self._slots.append((slot, cost))
        self._used += cost

    def correct_to(self, used: float, *, now: float) -> None:
        """The server has counted more than we have: others use the key, or this limiter is new."""
        missing = used - self.used(now)
        if missing > 0:
            self.book(missing, at=now)

    def _slot(self, now: float) -> int:
        return int(now // (DAY_S / DAY_SLOTS))

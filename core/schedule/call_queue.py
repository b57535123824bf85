"""The queue of one lane: what can go out now, what waits for its time, what is out. Pure; the clock is an argument."""

import heapq
import itertools
from collections import deque
from dataclasses import dataclass

from core.plan.records import Call


@dataclass(frozen=True, slots=True)
class Attempt:
    """A call on its way to an engine; `number` counts from 1."""

    call: Call
    number: int


class CallQueue:
    """Retries whose time has come go first, then judge draws, then generations: trials are finished before begun."""

    def __init__(self) -> None:
        self._judging: deque[Attempt] = deque()
        self._generating: deque[Attempt] = deque()
        self._delayed: list[tuple[float, int, Attempt]] = []
        self._serial = itertools.count()
        self._out: dict[str, tuple[Attempt, str]] = {}

    def __len__(self) -> int:
        return len(self._judging) + len(self._generating) + len(self._delayed)

    @property
    def in_flight(self) -> int:
        """Attempts that are out."""
        return len(self._out)

    @property
    def delayed(self) -> int:
        """Attempts that wait for their time; none holds a slot."""
        return len(self._delayed)

    @property
    def ready(self) -> int:
        """Attempts that could go out at once."""
        return len(self._judging) + len(self._generating)

    def add(self, call: Call, *, number: int = 1) -> None:
        """A call is ready."""
        (self._judging if call.stage == "judge" else self._generating).append(Attempt(call, number))

    def add_later(self, call: Call, *, number: int, due: float) -> None:
        """A call is ready at the time `due`."""
        heapq.heappush(self._delayed, (due, next(self._serial), Attempt(call, number)))

    def next_due(self) -> float | None:
        """When the first delayed call is ready."""
        return self._delayed[0][0] if self._delayed else None

    def take(self, *, owner: str, now: float) -> Attempt | None:
        """The next attempt, now out with `owner`; None where nothing is ready."""
        if self._delayed and self._delayed[0][0] <= now:
            attempt = heapq.heappop(self._delayed)[2]
        elif self._judging:
            attempt = self._judging.popleft()
        elif self._generating:
            attempt = self._generating.popleft()
        else:
            return None
        self._out[attempt.call.call_id] = (attempt, owner)
        return attempt

    def put_back(self, attempt: Attempt) -> None:
        """An attempt that was taken but not sent."""
        self._out.pop(attempt.call.call_id, None)
        queue = self._judging if attempt.call.stage == "judge" else self._generating
        queue.appendleft(attempt)

    def end(self, call_id: str) -> Attempt | None:
        """An attempt came back; None where it was not out (a late answer of a lost owner)."""
        found = self._out.pop(call_id, None)
        return found[0] if found else None

    def held_by(self, owner: str) -> list[Attempt]:
        """All attempts that are out with an owner."""
        return [attempt for attempt, holder in self._out.values() if holder == owner]

"""The queue of one lane: what can go out now, what waits for its time, what is out. Pure; the clock is an argument.

Calls that share a prompt prefix stand in one line, so that a replica that has the prefix in its cache can be given
its calls, and so that an API's prompt cache is warmed by one call before the others follow (design, rule 7).
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from core.plan.records import CallRef, Stage
from core.schedule.prefixes import PrefixOwners

WARMING_S = 5.0
"""Longest wait for a prefix's first call: a provider caches a prompt when its answer begins, not when it ends."""

Prefix = tuple[str, ...]
"""What the prompts of some calls begin with: (stage, model label, cell id) or (stage, judge's name)."""


def prefix_of(call: CallRef) -> Prefix:
    """The line in which a call stands."""
    return ("generate", call.model, call.cell_id or "") if call.judge is None else ("judge", call.judge)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A call on its way to an engine; `number` counts from 1."""

    call: CallRef
    number: int
    lost: int = 0
    """Earlier attempts of this run that may have been billed and whose answer was lost."""


class _Line:
    """The calls of one prefix: those put in, and trials of the plan that have not begun, as their indices."""

    __slots__ = ("_at", "_begin", "_fresh", "_queued")

    def __init__(self, fresh: Sequence[int], begin: Callable[[int], CallRef]) -> None:
        self._queued: deque[tuple[float, Attempt]] = deque()
        self._fresh = fresh
        self._at = 0
        self._begin = begin

    def __len__(self) -> int:
        return len(self._queued) + len(self._fresh) - self._at

    @property
    def stage(self) -> Stage:
        return self._queued[0][1].call.stage if self._queued else "generate"

    @property
    def serial(self) -> float:
        """Place of the first call among all lines."""
        return self._queued[0][0] if self._queued else self._fresh[self._at]

    @property
    def begins(self) -> int | None:
        """The trial that the first call would begin; None where it is no first generation."""
        return None if self._queued else self._fresh[self._at]

    def put(self, serial: float, attempt: Attempt) -> None:
        self._queued.append((serial, attempt))

    def put_first(self, attempt: Attempt) -> None:
        self._queued.appendleft((-1.0, attempt))

    def pop(self) -> Attempt:
        """The next attempt."""
        if self._queued:
            return self._queued.popleft()[1]
        self._at += 1
        return Attempt(self._begin(self._fresh[self._at - 1]), 1)


class CallQueue:
    """Retries whose time has come go first, then judge draws, then generations: trials are finished before begun.

    At the tail, when nothing more will be added by the plan and all that is left could soon be out, the longest
    expected work goes first instead, so that no long call is left to run alone.
    """

    def __init__(
        self,
        fresh: Mapping[Prefix, Sequence[int]],
        begin: Callable[[int], CallRef],
        *,
        expected_tokens: Callable[[Prefix], float] = lambda _: 0.0,
        owners: PrefixOwners | None = None,
        warms: Callable[[Prefix], bool] = lambda _: False,
    ) -> None:
        """`fresh`: prefix → indices of the trials that have not begun, in plan order; `begin` makes the generation
        call of one. `owners`: who has which prefix in cache, on a lane of several replicas. `warms`: whether a prefix
        is long enough for the provider's cache, so that its first call goes alone."""
        self._expected = expected_tokens
        self._owners = owners
        self._warms = warms
        self._begin = begin
        self._lines = {prefix: _Line(indices, begin) for prefix, indices in fresh.items()}
        self._delayed: list[tuple[float, int, Attempt]] = []
        self._serial = itertools.count()
        self._out: dict[str, tuple[Attempt, str]] = {}
        self._warm: set[Prefix] = set()
        self._warming: dict[Prefix, tuple[str, float]] = {}
        """Prefix → the call that warms it, and until when the others wait for it."""

    def __len__(self) -> int:
        return self.ready + len(self._delayed)

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
        """Attempts that could go out at once, or as soon as their prefix is warm."""
        return sum(map(len, self._lines.values()))

    def add(self, call: CallRef, *, number: int = 1) -> None:
        """A call is ready."""
        self._line(call).put(next(self._serial), Attempt(call, number))

    def add_later(self, call: CallRef, *, number: int, due: float) -> None:
        """A call is ready at the time `due`."""
        heapq.heappush(self._delayed, (due, next(self._serial), Attempt(call, number)))

    def next_due(self) -> float | None:
        """When the first delayed call is ready."""
        return self._delayed[0][0] if self._delayed else None

    def take(
        self,
        room: int,
        *,
        owner: str,
        now: float,
        is_tail: bool = False,
        may_begin: Callable[[int], bool] | None = None,
    ) -> list[Attempt]:
        """Up to `room` attempts in the order in which they should be sent, now out with `owner`. `may_begin`: of the
        trial that a first generation would begin, where not every one may; a line whose next one may not waits."""
        taken: list[Attempt] = []
        while self._delayed and self._delayed[0][0] <= now and len(taken) < room:
            taken.append(heapq.heappop(self._delayed)[2])
        for attempt in taken:
            self._out[attempt.call.call_id] = (attempt, owner)

        def may_go(prefix: Prefix) -> bool:
            trial = self._lines[prefix].begins if len(self._lines[prefix]) else None
            return self._is_warm_enough(prefix, now) and (trial is None or may_begin is None or may_begin(trial))

        for group in self._groups(owner, room=room):
            self._take_from(group, taken, room=room, owner=owner, now=now, is_tail=is_tail, may_go=may_go)
        return taken

    def send(self, attempt: Attempt, *, owner: str) -> None:
        """An attempt that waited elsewhere is out with `owner`."""
        self._out[attempt.call.call_id] = (attempt, owner)

    def out(self, call_id: str) -> Attempt | None:
        """The attempt of a call that is out."""
        found = self._out.get(call_id)
        return found[0] if found else None

    def put_back(self, attempt: Attempt) -> None:
        """An attempt that was taken but not sent."""
        self._out.pop(attempt.call.call_id, None)
        self._cool(attempt.call)
        self._line(attempt.call).put_first(attempt)

    def end(self, call_id: str, *, was_answered: bool = True) -> Attempt | None:
        """An attempt came back; None where it was not out (a late answer of a lost owner)."""
        found = self._out.pop(call_id, None)
        if found is None:
            return None
        attempt, _ = found
        prefix = prefix_of(attempt.call)
        if was_answered and (prefix in self._warming or self._warms(prefix)):
            self._warm.add(prefix)
        self._cool(attempt.call)
        return attempt

    def held_by(self, owner: str) -> list[Attempt]:
        """All attempts that are out with an owner."""
        return [attempt for attempt, holder in self._out.values() if holder == owner]

    def forget_owner(self, owner: str) -> None:
        """A replica is gone, and what it had in its cache."""
        if self._owners is not None:
            self._owners.forget(owner)

    def _line(self, call: CallRef) -> _Line:
        prefix = prefix_of(call)
        if prefix not in self._lines:
            self._lines[prefix] = _Line((), self._begin)
        return self._lines[prefix]

    def _groups(self, owner: str, *, room: int) -> list[list[Prefix]]:
        """Prefixes in the order in which this owner should be given them, those of a group mixed."""
        waiting = {prefix: len(line) for prefix, line in self._lines.items() if len(line)}
        if self._owners is None:
            return [list(waiting)]
        return self._owners.choose(owner, waiting, room=room)

    def _take_from(
        self,
        group: list[Prefix],
        taken: list[Attempt],
        *,
        room: int,
        owner: str,
        now: float,
        is_tail: bool,
        may_go: Callable[[Prefix], bool],
    ) -> None:
        heads = [(self._urgency(prefix, is_tail=is_tail), prefix) for prefix in group if may_go(prefix)]
        heapq.heapify(heads)
        while heads and len(taken) < room:
            _, prefix = heapq.heappop(heads)
            line = self._lines[prefix]
            attempt = line.pop()
            self._out[attempt.call.call_id] = (attempt, owner)
            taken.append(attempt)
            if prefix not in self._warm and self._warms(prefix):
                self._warming.setdefault(prefix, (attempt.call.call_id, now + WARMING_S))
            if len(line) and may_go(prefix):
                heapq.heappush(heads, (self._urgency(prefix, is_tail=is_tail), prefix))

    def _urgency(self, prefix: Prefix, *, is_tail: bool) -> tuple[float, ...]:
        line = self._lines[prefix]
        if is_tail:
            return (-self._expected(prefix), line.stage != "judge", line.serial)
        return (line.stage != "judge", line.serial)

    def _is_warm_enough(self, prefix: Prefix, now: float) -> bool:
        return prefix not in self._warming or now >= self._warming[prefix][1]

    def _cool(self, call: CallRef) -> None:
        """The call that was to warm its prefix has ended, whatever its end: the next one may go."""
        prefix = prefix_of(call)
        if prefix in self._warming and self._warming[prefix][0] == call.call_id:
            del self._warming[prefix]

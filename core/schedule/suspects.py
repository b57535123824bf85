"""Finds the call that kills its engine without punishing those that were in flight with it. Pure.

Calls that were in flight when an engine died go out again a few at a time beside others; those that were in flight at
two deaths go out alone, one per engine; a call with which an engine dies twice while nothing else is in flight is
poison. Two, because an engine can also be killed from outside. A call that comes back, whatever it says, is cleared.
"""

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass

ALONE_AFTER = 2
"""Deaths of an engine with the call in flight after which it goes out alone."""

POISON_AFTER_ALONE = 2
"""Deaths of an engine with nothing else in flight that convict the call."""

FEWEST_TOGETHER = 8
"""Calls with one death that may be on one engine at once, or an eighth of its calls in flight where that is more."""


@dataclass(slots=True)
class _Suspect:
    deaths: int = 0
    deaths_alone: int = 0


@dataclass(frozen=True, slots=True)
class SuspectLease:
    """What an engine gets of the suspects."""

    call_ids: tuple[str, ...] = ()
    is_closed: bool = False
    """Nothing else may be sent to this engine now: it holds a call that must be alone, or is being emptied for one."""


NOTHING = SuspectLease()


class Suspects:
    """The calls of one lane that were in flight at a death and have not come back since. Holds those that wait."""

    def __init__(self, *, concurrency: int) -> None:
        """`concurrency`: calls in flight of one engine of the lane."""
        self._together = max(FEWEST_TOGETHER, concurrency // 8)
        self._suspects: dict[str, _Suspect] = {}
        self._waiting: deque[str] = deque()
        self._waiting_alone: deque[str] = deque()
        self._emptied: str | None = None

    def __len__(self) -> int:
        """Calls that wait here to go out."""
        return len(self._waiting) + len(self._waiting_alone)

    @property
    def is_empty(self) -> bool:
        """No call is under suspicion, waiting or out."""
        return not self._suspects

    def engine_died(self, owner: str, held: Collection[str]) -> tuple[str, ...]:
        """An engine died with these calls in flight: those that are poison. All others wait here: `lease` them."""
        if owner == self._emptied:
            self._emptied = None
        poison = []
        for call_id in held:
            suspect = self._suspects.setdefault(call_id, _Suspect())
            suspect.deaths += 1
            suspect.deaths_alone += len(held) == 1
            if suspect.deaths > ALONE_AFTER and suspect.deaths_alone >= POISON_AFTER_ALONE:
                poison.append(call_id)
                del self._suspects[call_id]
            else:
                (self._waiting if suspect.deaths < ALONE_AFTER else self._waiting_alone).append(call_id)
        return tuple(poison)

    def lease(self, owner: str, held: Collection[str], *, room: int) -> SuspectLease:
        """What goes to an engine that has those calls in flight. Ask before anything else is sent to it."""
        if not self._suspects:
            return NOTHING
        if any(self._is_alone(call_id) for call_id in held):
            return SuspectLease(is_closed=True)
        if self._waiting_alone and self._emptied in (None, owner):
            if held:
                self._emptied = owner
                return SuspectLease(is_closed=True)
            self._emptied = None
            return SuspectLease((self._waiting_alone.popleft(),), is_closed=True) if room else NOTHING
        beside = sum(call_id in self._suspects for call_id in held)
        count = max(0, min(room, self._together - beside, len(self._waiting)))
        return SuspectLease(tuple(self._waiting.popleft() for _ in range(count)))

    def came_back(self, call_id: str) -> None:
        """A call came back from a living engine, whatever it says: it is no suspect."""
        if self._suspects:
            self._suspects.pop(call_id, None)

    def put_back(self, call_ids: Iterable[str]) -> None:
        """Calls that were leased and not sent."""
        for call_id in call_ids:
            (self._waiting_alone if self._is_alone(call_id) else self._waiting).appendleft(call_id)

    def deaths(self, call_id: str) -> int:
        """Engines that died with the call in flight, since it last came back; of a call just convicted 0."""
        suspect = self._suspects.get(call_id)
        return suspect.deaths if suspect else 0

    def _is_alone(self, call_id: str) -> bool:
        suspect = self._suspects.get(call_id)
        return suspect is not None and suspect.deaths >= ALONE_AFTER

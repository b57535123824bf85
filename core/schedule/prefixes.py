"""Which replica is given which prompt prefix: a prefix owns replicas in proportion to its waiting work. Pure.

A replica keeps the prefixes it has in its cache while they have work. One more replica is warmed for a prefix only
when the calls that wait for each of its owners would take longer than one further prefill of it (design, rule 7).
"""

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import TypeVar

PrefixT = TypeVar("PrefixT", bound=Hashable)

PREFIXES_KEPT = 16
"""Prefixes that a replica is taken to have in its cache, the latest used."""


class PrefixOwners:
    """The owners of each prefix on one lane."""

    def __init__(self, *, calls_per_prefill: float = 1.0) -> None:
        """`calls_per_prefill`: calls per owner whose waiting costs as much as one prefill of a prefix."""
        self._calls_per_prefill = calls_per_prefill
        self._warm: dict[str, OrderedDict[Hashable, None]] = {}

    def choose(self, owner: str, waiting: Mapping[PrefixT, int], *, room: int) -> list[list[PrefixT]]:
        """Groups of prefixes for this owner, the first to be emptied first. `waiting`: prefix → calls that wait."""
        warm = self._warm.setdefault(owner, OrderedDict())
        own = [prefix for prefix in waiting if prefix in warm]
        groups = [own] if own else []
        served = sum(waiting[prefix] for prefix in own)
        others = sorted(
            (prefix for prefix in waiting if prefix not in warm),
            key=lambda prefix: -waiting[prefix] / (1 + self.owners(prefix)),
        )
        for prefix in others:
            if served >= room:
                break
            is_unowned = self.owners(prefix) == 0
            if is_unowned or waiting[prefix] / self.owners(prefix) > self._calls_per_prefill:
                groups.append([prefix])
                served += waiting[prefix]
                warm[prefix] = None
        for prefix in own:
            warm.move_to_end(prefix)
        while len(warm) > PREFIXES_KEPT:
            warm.popitem(last=False)
        return groups

    def owners(self, prefix: Hashable) -> int:
        """Replicas that have the prefix in their cache."""
        return sum(prefix in warm for warm in self._warm.values())

    def forget(self, owner: str) -> None:
        """A replica is gone."""
        self._warm.pop(owner, None)

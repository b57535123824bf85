"""What arrived at the stand-in server, counted by call id, so that repeated calls can be told from draws."""

from collections import Counter
from typing import Any


class Arrivals:
    """Counts of requests and of how they were answered."""

    def __init__(self) -> None:
        self._by_id: Counter[str] = Counter()
        self._answered_by_id: Counter[str] = Counter()
        self._by_kind: Counter[str] = Counter()
        self._by_api: Counter[str] = Counter()

    def arrive(self, call_id: str, *, api: str) -> int:
        """Count a request; how often this id has arrived, this time included."""
        self._by_id[call_id] += 1
        self._by_api[api] += 1
        return self._by_id[call_id]

    def answered(self, call_id: str, *, kind: str) -> None:
        """Count the answer: `ok`, or the fault that was answered instead."""
        self._by_kind[kind] += 1
        if kind == "ok":
            self._answered_by_id[call_id] += 1

    def counts(self) -> dict[str, Any]:
        """total and ids; repeats and answered_again: id → times, where above 1; by_kind of answer; by_api."""
        return {
            "total": self._by_id.total(),
            "ids": len(self._by_id),
            "repeats": {call_id: times for call_id, times in self._by_id.items() if times > 1},
            "answered_again": {call_id: times for call_id, times in self._answered_by_id.items() if times > 1},
            "by_kind": dict(self._by_kind),
            "by_api": dict(self._by_api),
        }

"""What a limited server admitted and refused, second by second, beside the limits in force: for benchmarks."""

from collections.abc import Mapping
from typing import Any


class Traffic:
    """Counts per second since the first request, each with the limits as they were at its end."""

    def __init__(self) -> None:
        self._began_s: float | None = None
        self._seconds: list[dict[str, Any]] = []

    def decided(self, now_s: float, *, is_admitted: bool, tokens: float, limits: Mapping[str, int]) -> None:
        """A request was let in, or answered 429."""
        second = self._at(now_s, limits)
        second["admitted" if is_admitted else "refused"] += 1
        second["tokens"] += tokens if is_admitted else 0.0

    def by_second(self) -> list[dict[str, Any]]:
        """A list of admitted, refused, tokens (as the limit counts them), limits; seconds without a request too."""
        return self._seconds

    def _at(self, now_s: float, limits: Mapping[str, int]) -> dict[str, Any]:
        if self._began_s is None:
            self._began_s = now_s
        index = int(now_s - self._began_s)
        while len(self._seconds) <= index:
            self._seconds.append({"admitted": 0, "refused": 0, "tokens": 0.0, "limits": dict(limits)})
        self._seconds[index]["limits"] = dict(limits)
        return self._seconds[index]

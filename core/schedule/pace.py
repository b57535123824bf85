"""How fast each lane goes and how long it will take: over a moving window, the clock an argument. Pure."""

from collections import deque
from collections.abc import Mapping

from core.schedule.progress import RunProgress

WINDOW_S = 30.0


class Pace:
    """Calls per second of each lane over the last 30 s."""

    def __init__(self) -> None:
        self._history: deque[tuple[float, Mapping[str, int]]] = deque()
        self._left: Mapping[str, int] = {}

    def add(self, progress: RunProgress, *, now: float) -> None:
        """A look at the run."""
        self._left = progress.calls_left
        self._history.append((now, {name: lane.generated + lane.judged for name, lane in progress.lanes.items()}))
        while self._history[0][0] < now - WINDOW_S:
            self._history.popleft()

    def rate(self, lane: str | None = None) -> float:
        """Calls per second of a lane, or of all."""
        if not self._history:
            return 0.0
        (began, before), (now, after) = self._history[0], self._history[-1]
        if now <= began:
            return 0.0
        names = after if lane is None else [lane]
        return sum(after[name] - before.get(name, 0) for name in names) / (now - began)

    def seconds_left(self, lane: str) -> float | None:
        """Until the lane has no more to do at this rate; None where it stands still with work left."""
        left = self._left.get(lane, 0)
        rate = self.rate(lane)
        if not left:
            return 0.0
        return left / rate if rate > 0 else None

    def bottleneck(self) -> str | None:
        """The lane with most time left; one that stands still with work left before any other."""
        waiting = [lane for lane, left in self._left.items() if left]
        if not waiting:
            return None
        return max(waiting, key=lambda lane: (self.seconds_left(lane) is None, self.seconds_left(lane) or 0.0))

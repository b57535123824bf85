"""A run's progress: one live line per lane in a terminal, a plain line now and then elsewhere, nothing if quiet."""

import time
from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from core.schedule.progress import RunProgress
from tracking.terminal import duration, usd

PLAIN_EVERY_S = 10.0
RATE_WINDOW_S = 30.0


class ProgressDisplay:
    """Shows `RunProgress`. `draws_per_trial`: judge draws that a reply usually makes owed, for the time left."""

    def __init__(self, out: Console, *, draws_per_trial: int, is_quiet: bool = False) -> None:
        self._out = out
        self._draws = draws_per_trial
        self._is_quiet = is_quiet
        self._live = (
            Live(console=out, refresh_per_second=2, transient=True) if out.is_terminal and not is_quiet else None
        )
        self._history: deque[tuple[float, int]] = deque()
        self._last_plain = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        if not self._is_quiet:
            self._out.print(text, soft_wrap=True, markup=False)

    def show(self, progress: RunProgress) -> None:
        """Where the run stands now."""
        now = time.monotonic()
        self._history.append((now, progress.calls_ended))
        while self._history[0][0] < now - RATE_WINDOW_S:
            self._history.popleft()
        if self._live is not None:
            self._live.update(self._table(progress))
        elif not self._is_quiet and now - self._last_plain >= PLAIN_EVERY_S:
            self._last_plain = now
            self._out.print(self._line(progress), soft_wrap=True, markup=False)

    def _rate(self) -> float:
        (began, before), (now, after) = self._history[0], self._history[-1]
        return (after - before) / (now - began) if now > began else 0.0

    def _time_left(self, progress: RunProgress) -> str:
        rate = self._rate()
        if progress.is_draining:
            return "letting calls in flight land (Ctrl-C again to stop at once)"
        return f"about {duration(self._calls_left(progress) / rate)} left" if rate > 0 else "…"

    def _calls_left(self, progress: RunProgress) -> int:
        known = sum(progress.queued.values()) + sum(progress.in_flight.values())
        return known + progress.generations_left * self._draws

    def _line(self, progress: RunProgress) -> str:
        spent = f", {usd(progress.spent_usd)} spent" if progress.spent_usd else ""
        return (
            f"{progress.calls_ended} of about {progress.calls_ended + self._calls_left(progress)} calls, "
            f"{progress.trials_ended} of {progress.trials_total} trials, "
            f"{self._rate():.1f} calls/s{spent}, {self._time_left(progress)}"
        )

    def _table(self, progress: RunProgress) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("lane", "generated", "judged", "queued", "in flight", "retried", "failed"):
            table.add_column(name, justify="left" if name == "lane" else "right")
        for name, lane in progress.lanes.items():
            counts = (
                lane.generated, lane.judged, progress.queued[name], progress.in_flight[name],
                lane.retried, sum(lane.failed.values()),
            )  # fmt: skip
            table.add_row(name + (" (stopped)" if lane.stopped else ""), *map(str, counts))
        table.caption = self._line(progress)
        table.caption_justify = "left"
        return table

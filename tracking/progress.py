"""A run's progress: one live line per lane in a terminal, a plain line now and then elsewhere, nothing if quiet."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from core.schedule.pace import Pace
from core.schedule.progress import RunProgress
from tracking.terminal import duration, usd

PLAIN_EVERY_S = 10.0


class ProgressDisplay:
    """Shows `RunProgress`."""

    def __init__(self, out: Console, *, is_quiet: bool = False) -> None:
        self._out = out
        self._is_quiet = is_quiet
        self._live = (
            Live(console=out, refresh_per_second=2, transient=True) if out.is_terminal and not is_quiet else None
        )
        self._pace = Pace()
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
        self._pace.add(progress, now=now)
        if self._live is not None:
            self._live.update(self._table(progress))
        elif not self._is_quiet and now - self._last_plain >= PLAIN_EVERY_S:
            self._last_plain = now
            self._out.print(self._line(progress), soft_wrap=True, markup=False)

    def _time_left(self, progress: RunProgress) -> str:
        rate = self._pace.rate()
        if progress.is_draining:
            return "letting calls in flight land (Ctrl-C again to stop at once)"
        if progress.is_paused:
            return "paused"
        slowest = self._pace.bottleneck()
        seconds = self._pace.seconds_left(slowest) if slowest is not None else None
        return f"about {duration(seconds)} left" if seconds is not None and rate > 0 else "…"

    def _line(self, progress: RunProgress) -> str:
        spent = f", {usd(progress.spent_usd)} spent" if progress.spent_usd else ""
        return (
            f"{progress.calls_ended} of about {progress.calls_ended + sum(progress.calls_left.values())} calls, "
            f"{progress.trials_ended} of {progress.trials_total} trials, "
            f"{self._pace.rate():.1f} calls/s{spent}, {self._time_left(progress)}"
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

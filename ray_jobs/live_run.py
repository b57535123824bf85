"""The driver's side of a run that can be watched and steered from another shell (core/store/live.py)."""

import socket
import time
from collections.abc import Mapping
from typing import Any

from core.schedule.lanes import Lane
from core.schedule.pace import Pace
from core.schedule.progress import RunProgress
from core.schedule.retry import POLICIES
from core.store.live import LiveFiles, LiveRun, Orders, State
from core.store.lock import this_process

TELL_EVERY_S = 1.0


class LiveDesk:
    """Tells where the run stands, and reads what is asked of it."""

    def __init__(self, files: LiveFiles, *, study: str, run_id: str, lanes: tuple[Lane, ...]) -> None:
        self._files = files
        self._lanes = lanes
        self._study = study
        self._run_id = run_id
        self._pace = Pace()
        self._obeyed = Orders()
        self._told_at = 0.0

    def new_orders(self) -> Orders | None:
        """Orders that were not carried out yet."""
        orders = self._files.orders()
        return orders if orders.serial != self._obeyed.serial else None

    def obeyed(self, orders: Orders) -> None:
        """Orders are carried out: whoever gave them is told with the next word."""
        self._obeyed = orders
        self._told_at = 0.0

    def tell(self, progress: RunProgress) -> None:
        """Write where the run stands, once a second."""
        now = time.monotonic()
        self._pace.add(progress, now=now)
        if now - self._told_at < TELL_EVERY_S:
            return
        self._told_at = now
        pid, started = this_process()
        state: State = "cancelled" if progress.is_draining else "paused" if progress.is_paused else "running"
        self._files.tell(
            LiveRun(
                study=self._study,
                run_id=self._run_id,
                host=socket.gethostname(),
                pid=pid,
                started=started,
                written_at=time.time(),
                obeyed=self._obeyed.serial,
                state=state,
                facts=live_facts(progress, self._pace) | {"limits": self._limits()},
            )
        )

    def _limits(self) -> dict[str, dict[str, Any]]:
        """Pool or lane → the limits in force, and the lanes that share them."""
        facts: dict[str, dict[str, Any]] = {}
        for lane in self._lanes:
            limits = lane.with_changes(self._obeyed.limits.get(lane.limits_name, {}))
            if limits is not None:
                place = facts.setdefault(lane.limits_name, {"told": limits.told(), "lanes": []})
                place["lanes"].append(lane.name)
        return facts


def live_facts(progress: RunProgress, pace: Pace) -> dict[str, Any]:
    """What `status` shows of a run that is going on, as plain data."""
    return {
        "trials": progress.trials_total,
        "trials_ended": progress.trials_ended,
        "calls_per_s": pace.rate(),
        "spent_usd": progress.spent_usd,
        "is_out_of_budget": progress.is_out_of_budget,
        "bottleneck": pace.bottleneck(),
        "lanes": {name: _lane_facts(name, progress, pace) for name in progress.lanes},
    }


def _lane_facts(name: str, progress: RunProgress, pace: Pace) -> Mapping[str, Any]:
    lane = progress.lanes[name]
    kind = (lane.last_error or "").partition(":")[0]
    return {
        "done": lane.generated + lane.judged,
        "in_flight": progress.in_flight[name],
        "delayed": progress.delayed[name],
        "left": progress.calls_left[name],
        "failed": dict(lane.failed),
        "calls_per_s": pace.rate(name),
        "cost_usd": lane.cost_usd,
        "seconds_left": pace.seconds_left(name),
        "last_error": lane.last_error,
        "remedy": next((policy.remedy for each, policy in POLICIES.items() if each == kind), None),
        "stopped": lane.stopped,
    }

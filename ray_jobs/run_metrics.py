"""The numbers of `status` as Ray metrics, so that a cluster's own dashboards and alarms can show a sweep."""

from ray.util.metrics import Gauge

from core.schedule.pace import Pace
from core.schedule.progress import RunProgress

LANE_METRICS = {
    "afgap_calls_done": "Replies of this run",
    "afgap_calls_in_flight": "Calls that are out",
    "afgap_calls_delayed": "Calls that wait for their next attempt",
    "afgap_calls_left": "Calls still to be made, judge draws of replies still to come included",
    "afgap_calls_per_second": "Replies per second over the last 30 s",
    "afgap_seconds_left": "Until the lane has no more to do at this rate; -1 where it stands still",
    "afgap_cost_usd": "Spent by this run",
    "afgap_output_tokens": "Output tokens of this run",
}


class RunMetrics:
    """One gauge per number, tagged by study and lane; failures by their kind too."""

    def __init__(self, study: str) -> None:
        self._study = study
        self._lanes = {name: Gauge(name, words, tag_keys=("study", "lane")) for name, words in LANE_METRICS.items()}
        self._failed = Gauge(
            "afgap_calls_failed", "Calls that ended as a failure in this run", tag_keys=("study", "lane", "kind")
        )
        self._trials = Gauge("afgap_trials_ended", "Trials that need nothing more", tag_keys=("study",))

    def update(self, progress: RunProgress, pace: Pace) -> None:
        """Set all to where the run stands."""
        self._trials.set(progress.trials_ended, {"study": self._study})
        for name, lane in progress.lanes.items():
            left = pace.seconds_left(name)
            values = {
                "afgap_calls_done": lane.generated + lane.judged,
                "afgap_calls_in_flight": progress.in_flight[name],
                "afgap_calls_delayed": progress.delayed[name],
                "afgap_calls_left": progress.calls_left[name],
                "afgap_calls_per_second": pace.rate(name),
                "afgap_seconds_left": -1.0 if left is None else left,
                "afgap_cost_usd": lane.cost_usd,
                "afgap_output_tokens": lane.output_tokens,
            }
            for metric, value in values.items():
                self._lanes[metric].set(value, {"study": self._study, "lane": name})
            for kind, count in lane.failed.items():
                self._failed.set(count, {"study": self._study, "lane": name, "kind": kind})

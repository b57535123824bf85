"""What a run shows of itself while it goes on."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class LaneProgress:
    """What is shown of a lane; counts are of this run."""

    generated: int = 0
    judged: int = 0
    retried: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """Failure kind → calls that ended so."""
    output_tokens: int = 0
    cost_usd: float = 0.0
    last_error: str | None = None
    stopped: str | None = None
    """Why the lane takes no further call."""


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Where a run stands. Mappings are by lane name."""

    trials_total: int
    trials_ended: int
    generations_left: int
    """Trials whose reply is still to come, so that their judge draws are not known yet."""
    lanes: Mapping[str, LaneProgress]
    queued: Mapping[str, int]
    """Calls known to be owed and not out; judge draws of replies still to come are not known."""
    in_flight: Mapping[str, int]
    delayed: Mapping[str, int]
    """Calls that wait for their next attempt."""
    calls_left: Mapping[str, int]
    """Calls that the lane still has to make, judge draws of replies still to come included: the first wave of each."""
    spent_usd: float
    """By this study over all its runs."""
    is_out_of_budget: bool
    is_draining: bool
    is_paused: bool = False

    @property
    def calls_ended(self) -> int:
        """Replies of this run."""
        return sum(lane.generated + lane.judged for lane in self.lanes.values())

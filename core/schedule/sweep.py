"""The state machine of a run: which calls go to which lane next, and what each outcome makes owed. Pure.

The dispatcher actor carries it out; nothing here waits, calls or reads a clock. Every time is an argument.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from core.plan.next_calls import trial_state
from core.plan.records import Call, Failure, Outcome, Reply, Trial
from core.plan.snapshot import Snapshot
from core.schedule.budget import FREE, Budget, Price, cost_of, reserve_of
from core.schedule.call_queue import Attempt, CallQueue
from core.schedule.lanes import Lane
from core.schedule.progress import LaneProgress, RunProgress
from core.schedule.retry import POLICIES, is_retried, retry_delay_s

READ_AHEAD = 64
"""Trials expanded beyond what a lane asked for, so that a pull finds work ready."""


@dataclass(slots=True)
class _Waiting:
    """A call that is queued or out, and the trials that need it: identical replies are judged once."""

    call: Call
    lane: str
    trials: list[Trial]


class Sweep:
    """All queues of one run."""

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        trials: Iterable[Trial],
        folded: Mapping[str, Outcome],
        lanes: tuple[Lane, ...],
        prices: Mapping[str, Price],
        budget: Budget,
    ) -> None:
        """`folded`: the outcomes that stand; a system failure that is to be tried again must not be among them."""
        self._snapshot = snapshot
        self._folded: dict[str, Outcome] = dict(folded)
        self._prices = prices
        self._lane_of = {label: lane.name for lane in lanes for label in lane.labels}
        self._queues = {lane.name: CallQueue() for lane in lanes}
        self._waiting: dict[str, _Waiting] = {}
        self._blocked: set[str] = set()
        self.budget = budget
        self.progress = {lane.name: LaneProgress() for lane in lanes}
        self.trials_total = 0
        self.trials_ended = 0
        fresh: dict[str, list[Trial]] = {lane.name: [] for lane in lanes}
        for trial in trials:
            self.trials_total += 1
            if trial.call_id in self._folded:
                self._advance(trial)
            else:
                fresh[self._lane_of[trial.model]].append(trial)
        self._fresh = {name: iter(each) for name, each in fresh.items()}
        self._unexpanded = {name: len(each) for name, each in fresh.items()}
        self._generations_left = sum(self._unexpanded.values())

    def lease(self, lane: str, *, room: int, owner: str, now: float) -> list[Attempt]:
        """Up to `room` attempts for an actor of that lane; reserves their cost."""
        if self.progress[lane].stopped or self.is_over:  # over is over: other lanes may have been told so already
            return []
        queue = self._queues[lane]
        self._expand(lane, wanted=room + READ_AHEAD)
        leased: list[Attempt] = []
        while len(leased) < room:
            attempt = queue.take(owner=owner, now=now)
            if attempt is None:
                break
            reserve = reserve_of(attempt.call, self._price(attempt.call))
            if not self.budget.admits(reserve):
                queue.put_back(attempt)
                self._blocked.add(lane)
                return leased
            self.budget.reserve(attempt.call.call_id, reserve)
            leased.append(attempt)
        self._blocked.discard(lane)
        return leased

    def settle(self, outcome: Outcome, *, now: float) -> None:
        """An outcome that is stored, or a failure that will be retried: what it makes possible is queued."""
        waiting = self._waiting.get(outcome.call_id)
        attempt = self._queues[waiting.lane].end(outcome.call_id) if waiting else None
        if waiting is None or attempt is None:
            return  # a second answer to a call that has ended: the first one counts
        if isinstance(outcome, Reply):
            self._count_reply(outcome, waiting=waiting)
        elif self._retry(outcome, waiting=waiting, now=now):
            return
        self._folded[outcome.call_id] = outcome
        self._generations_left -= waiting.call.stage == "generate"
        del self._waiting[outcome.call_id]
        for trial in waiting.trials:
            self._advance(trial)

    def held_by(self, owner: str) -> list[Attempt]:
        """The attempts that are out with an actor."""
        return [attempt for queue in self._queues.values() for attempt in queue.held_by(owner)]

    def give_back(self, owner: str, *, message: str, now: float) -> int:
        """An actor is gone: its calls count as one failed attempt each and go out again. Returns their number."""
        lost = self.held_by(owner)
        for attempt in lost:
            self.settle(
                Failure(attempt.call.call_id, "engine_dead", message, attempts=attempt.number, possibly_billed=True),
                now=now,
            )
        return len(lost)

    def stop_lane(self, lane: str, *, reason: str) -> None:
        """The lane takes no further call in this run."""
        self.progress[lane].stopped = reason

    def next_due(self, lane: str) -> float | None:
        """When the lane's first delayed call may go out."""
        return self._queues[lane].next_due()

    def report(self, *, is_draining: bool = False) -> RunProgress:
        """Where the run stands."""
        return RunProgress(
            trials_total=self.trials_total,
            trials_ended=self.trials_ended,
            generations_left=self._generations_left,
            lanes=self.progress,
            queued={lane: len(queue) + self._unexpanded[lane] for lane, queue in self._queues.items()},
            in_flight={lane: queue.in_flight for lane, queue in self._queues.items()},
            delayed={lane: queue.delayed for lane, queue in self._queues.items()},
            spent_usd=self.budget.settled_usd,
            is_out_of_budget=self.is_out_of_budget,
            is_draining=is_draining,
        )

    @property
    def in_flight(self) -> int:
        """Attempts that are out."""
        return sum(queue.in_flight for queue in self._queues.values())

    @property
    def is_out_of_budget(self) -> bool:
        """Work is left that does not fit under the ceiling, and nothing is in flight that could make room."""
        return bool(self._blocked) and self.budget.reserved_usd == 0.0

    @property
    def is_over(self) -> bool:
        """Nothing is in flight and no lane can make a further call."""
        return self.in_flight == 0 and all(self._is_idle(lane) for lane in self._queues)

    def _is_idle(self, lane: str) -> bool:
        if self.progress[lane].stopped or (lane in self._blocked and self.budget.reserved_usd == 0.0):
            return True
        return not len(self._queues[lane]) and not self._unexpanded[lane]

    def _expand(self, lane: str, *, wanted: int) -> None:
        while self._queues[lane].ready < wanted and self._unexpanded[lane]:
            self._unexpanded[lane] -= 1
            self._advance(next(self._fresh[lane]))

    def _advance(self, trial: Trial) -> None:
        """Queue what a trial needs next; count it when it needs nothing more."""
        state = trial_state(self._snapshot, trial, self._folded)
        for call in state.owed:
            waiting = self._waiting.get(call.call_id)
            if waiting is None:
                lane = self._lane_of[call.model]
                self._waiting[call.call_id] = _Waiting(call, lane, [trial])
                self._queues[lane].add(call)
            elif trial not in waiting.trials:
                waiting.trials.append(trial)
        if not state.owed:
            self.trials_ended += 1

    def _price(self, call: Call) -> Price:
        return self._prices.get(call.model, FREE)

    def _settle_cost(self, call_id: str, usd: float | None) -> None:
        self.budget.settle(call_id, usd)
        self._blocked.clear()  # there may be room again: a lane is blocked only if what is settled now stops it

    def _count_reply(self, reply: Reply, *, waiting: _Waiting) -> None:
        progress = self.progress[waiting.lane]
        before = self.budget.settled_usd
        self._settle_cost(reply.call_id, cost_of(reply.usage, self._price(waiting.call)))
        progress.cost_usd += self.budget.settled_usd - before
        progress.output_tokens += reply.usage.output or 0
        if waiting.call.stage == "generate":
            progress.generated += 1
        else:
            progress.judged += 1

    def _retry(self, failure: Failure, *, waiting: _Waiting, now: float) -> bool:
        """Count a failed attempt; True where the call will go out again."""
        progress = self.progress[waiting.lane]
        self._settle_cost(failure.call_id, None if failure.possibly_billed else 0.0)
        progress.last_error = f"{failure.kind}: {failure.message}"
        if is_retried(failure):
            progress.retried += 1
            due = now + retry_delay_s(failure)
            self._queues[waiting.lane].add_later(waiting.call, number=failure.attempts + 1, due=due)
            return True
        progress.failed[failure.kind] += 1
        policy = POLICIES[failure.kind]
        if policy.stops_lane:
            progress.stopped = f"{failure.message}: {policy.remedy}"
        return False

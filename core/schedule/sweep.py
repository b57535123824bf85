"""The state machine of a run: which calls go to which lane next, and what becomes of each. Pure.

The dispatcher actor carries it out; nothing here waits, calls or reads a clock. Every time is an argument. What
judges owe is decided in judged_trials.py, what can be paid for in payments.py. What is held grows with the trials that
are open, not with those that have ended.
"""

from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from core.plan.next_calls import TrialState
from core.plan.records import CallRef, Failure, Outcome, Reply
from core.plan.snapshot import Snapshot
from core.schedule.budget import Budget, Price
from core.schedule.call_queue import Attempt, CallQueue, Prefix, prefix_of
from core.schedule.draw_requests import DrawRequests, one_by_one
from core.schedule.judged_trials import JudgedTrials, OwedDraws
from core.schedule.lane_work import LaneWork
from core.schedule.lanes import Lane
from core.schedule.mean_tokens import MeanTokens
from core.schedule.open_questions import AskedQuestion
from core.schedule.payments import Intent, Payments
from core.schedule.prefixes import PrefixOwners
from core.schedule.progress import RunProgress
from core.schedule.prompt_sizes import PromptSizes, bytes_of

TAIL_ROOMS = 2
"""The tail of a lane begins when no more work is left than this many times what it can have out at once."""


@dataclass(slots=True)
class _Pending:
    """A call that is queued or out."""

    call: CallRef
    lane: str
    prompt_bytes: int
    generates: list[int] = field(default_factory=list)
    """Trials whose generation it is: equal calls of two labels are made once."""
    question: AskedQuestion | None = None


class Sweep:
    """All queues of one run."""

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        open_trials: Iterable[int],
        trials_total: int,
        outcomes: Mapping[str, Outcome],
        lanes: tuple[Lane, ...],
        prices: Mapping[str, Price],
        budget: Budget,
        stored_questions: Collection[str] = frozenset(),
    ) -> None:
        """`open_trials`: indices of the trials that are not complete, and `outcomes` all that is stored of them; a
        system failure that is to be tried again must not be among these. `stored_questions`: content ids of
        questions with stored draws that are not in `outcomes`; see `lookups`.
        """
        self._snapshot = snapshot
        self._lane_of = {label: lane.name for lane in lanes for label in lane.labels}
        self._lanes = {lane.name: lane for lane in lanes}
        self._judges = tuple(judge for judge in snapshot.judges if judge.calls_model)
        self._sizes = PromptSizes(snapshot)
        self._means = MeanTokens()
        self._pending: dict[str, _Pending] = {}
        self._draws = DrawRequests(lanes)
        self._trials = JudgedTrials(
            snapshot, stored_questions=stored_questions, first_alone=self._draws.goes_first_alone
        )
        self._payments = Payments(snapshot, labels=self._lane_of, prices=prices, budget=budget)
        self.budget = budget
        self._generations_left = 0
        self.trials_total = trials_total
        self._ended_before = trials_total
        self._twins: dict[int, list[int]] = {}
        """First trial → the others with the same generation call: equal calls of two labels are made once."""
        stored: list[tuple[int, Outcome]] = []
        fresh: dict[str, dict[Prefix, array[int]]] = {lane.name: {} for lane in lanes}
        first_of: dict[str, int] = {}
        for index in open_trials:
            self._ended_before -= 1
            trial = snapshot.trials[index]
            outcome = outcomes.get(trial.call_id)
            if outcome is not None:
                stored.append((index, outcome))
                continue
            self._generations_left += 1
            first = first_of.setdefault(trial.call_id, index)
            if first == index:
                line = ("generate", trial.model, trial.cell_id)
                fresh[self._lane_of[trial.model]].setdefault(line, array("I")).append(index)
            else:
                self._twins.setdefault(first, []).append(index)
        self._work = {
            lane.name: LaneWork(self._make_queue(lane, fresh[lane.name]), concurrency=lane.concurrency)
            for lane in lanes
        }
        self.progress = {name: work.progress for name, work in self._work.items()}
        self._payments.begin_all_but(index for lines in fresh.values() for line in lines.values() for index in line)
        for index, outcome in stored:
            self._queue(self._trials.generated(index, outcome, known=outcomes))

    def lease(self, lane: str, *, room: int, owner: str, now: float) -> list[Attempt]:
        """Up to `room` attempts for an actor of that lane; reserves their cost."""
        work = self._work[lane]
        if work.is_stopped or self.is_over:  # over is over: other lanes may have been told so already
            return []
        may_begin = self._payments.may_begin
        taken = work.take(
            room,
            owner=owner,
            now=now,
            is_tail=work.queue.ready <= TAIL_ROOMS * self._lanes[lane].most_at_first,
            may_begin=may_begin,
        )
        leased: list[Attempt] = []
        rejected: list[Attempt] = []
        for attempt in taken:
            size = self._pending[attempt.call.call_id].prompt_bytes
            (leased if self._payments.reserve(attempt.call, prompt_bytes=size) else rejected).append(attempt)
        if rejected and not self.budget.reserved_usd:  # nothing in flight will make room, but fewer draws may fit
            for attempt in [each for each in rejected if each.call.rest]:
                self._take_apart(attempt.call.call_id)
                rejected.remove(attempt)
        work.put_back(rejected)
        work.sent(leased)
        is_held_back = may_begin is not None and room > 0 and not leased and work.queue.ready > 0
        self._payments.set_blocked(lane, is_blocked=bool(rejected) or is_held_back)
        return leased

    def intents(self, attempts: Iterable[Attempt]) -> list[Intent]:
        """Those of these attempts that cost money, with what their reserve rests on: on disk before they go out."""
        intents = (
            self._payments.intent(each, prompt_bytes=self._pending[each.call.call_id].prompt_bytes) for each in attempts
        )
        return [intent for intent in intents if intent is not None]

    def evidence(self, attempts: Iterable[Attempt]) -> dict[str, Reply]:
        """Generation call id → reply, of what the judge draws among these attempts read."""
        questions = (self._pending[attempt.call.call_id].question for attempt in attempts)
        return {each.question.trial.call_id: each.reply for each in questions if each is not None}

    def settle(self, outcome: Outcome, *, is_ours: bool = True) -> None:
        """A reply, or the failure by which a call ends, is stored: what it makes possible is queued. `is_ours`: this
        run made the call, and pays for it."""
        pending = self._pending.get(outcome.call_id)
        if pending is None:
            return  # a second answer to a call that has ended: the first one counts
        work = self._work[pending.lane]
        if isinstance(outcome, Failure):
            if not work.ended(outcome, calls=len(pending.call.call_ids)):
                return
        elif not work.replied(outcome.call_id):
            return
        elif is_ours:
            self._count_reply(outcome, pending=pending)
        else:
            self._payments.release(outcome.call_id)
        del self._pending[outcome.call_id]
        if pending.question is not None:
            self._drawn(pending.call, pending.question, outcome)
            return
        self._generations_left -= len(pending.generates)
        for index in pending.generates:
            self._queue(self._trials.generated(index, outcome))

    def fail(self, failure: Failure, *, now: float) -> Failure | None:
        """An attempt failed. The failure by which its call ends: store it, then `settle` it; None where the call
        goes out again."""
        pending = self._pending.get(failure.call_id)
        if pending is None or not self._work[pending.lane].is_out(failure):
            return None
        self._payments.settle(failure.call_id, None if failure.possibly_billed else 0.0)
        ends_as = self._work[pending.lane].failed(failure, now=now)
        if ends_as is None or not pending.call.rest or ends_as.kind not in ("invalid", "poison"):
            return ends_as
        # it may be the number of draws that the server refuses: nothing is held against a draw before it went alone
        self._draws.gives_only(1, model=pending.call.model)
        self._take_apart(failure.call_id)
        return None

    def attempt_of(self, call_id: str) -> Attempt | None:
        """The attempt of a call that is out."""
        pending = self._pending.get(call_id)
        return self._work[pending.lane].attempt_of(call_id) if pending else None

    def wait_for_other(self, attempt: Attempt, *, until: float) -> None:
        """Another driver makes this call: it was not sent, and is looked at again then."""
        self._payments.release(attempt.call.call_id)
        self._work[self._pending[attempt.call.call_id].lane].wait(attempt, until=until)

    def take_apart(self, attempt: Attempt, stored: Mapping[str, Outcome], *, until: float) -> None:
        """Another driver makes or has stored some of a request's draws: it was not sent; each draw goes by itself,
        those that are not stored from then on."""
        self._payments.release(attempt.call.call_id)
        self._take_apart(attempt.call.call_id, stored, until=until)

    def lookups(self) -> dict[str, tuple[str, ...]]:
        """Content id → call ids of the draws to look up in the store before the question is asked."""
        return self._trials.lookups()

    def found(self, content: str, outcomes: Mapping[str, Outcome]) -> None:
        """What the store has of a question that was looked up: its other draws are queued."""
        self._queue(self._trials.found(content, outcomes))

    def take_complete(self) -> list[tuple[int, TrialState]]:
        """Index and state of judged trials that have become complete since the last time."""
        return self._trials.take_complete()

    def held_by(self, owner: str) -> list[Attempt]:
        """The attempts that are out with an actor."""
        return [attempt for work in self._work.values() for attempt in work.queue.held_by(owner)]

    def give_back(self, owner: str, *, message: str) -> list[Failure]:
        """An actor is gone: its calls go out again, the way suspects do. The failures of those that are found to kill
        engines: store them, then `settle` them."""
        for attempt in self.held_by(owner):
            self._payments.settle(attempt.call.call_id, None)
        return [failure for work in self._work.values() for failure in work.died(owner, message=message)]

    def stop_lane(self, lane: str, *, reason: str) -> None:
        """The lane takes no further call in this run."""
        self._work[lane].progress.stopped = reason

    def next_due(self, lane: str, *, now: float) -> float | None:
        """When a call of the lane may go out that may not now."""
        return self._work[lane].next_due(now)

    def report(self, *, is_draining: bool = False, is_paused: bool = False) -> RunProgress:
        """Where the run stands."""
        return RunProgress(
            trials_total=self.trials_total,
            trials_ended=self.trials_ended,
            generations_left=self._generations_left,
            lanes=self.progress,
            queued={lane: len(work) for lane, work in self._work.items()},
            in_flight={lane: work.in_flight for lane, work in self._work.items()},
            delayed={lane: work.delayed for lane, work in self._work.items()},
            calls_left=self._calls_left(),
            spent_usd=self.budget.settled_usd,
            is_out_of_budget=self.is_out_of_budget,
            is_draining=is_draining,
            is_paused=is_paused,
        )

    def _calls_left(self) -> dict[str, int]:
        left = {lane: len(work) + work.in_flight for lane, work in self._work.items()}
        for judge in self._judges if self._generations_left else ():
            left[self._lane_of[judge.model]] += self._generations_left * judge.waves[0]
        return left

    @property
    def trials_ended(self) -> int:
        """Trials that need nothing more in this run, those included that were complete before it."""
        return self._ended_before + self._trials.ended

    @property
    def open_trials(self) -> int:
        """Trials that have begun and whose judges have not all answered."""
        return len(self._trials)

    @property
    def in_flight(self) -> int:
        """Attempts that are out."""
        return sum(work.in_flight for work in self._work.values())

    @property
    def is_out_of_budget(self) -> bool:
        """Work is left that does not fit under the ceiling, and nothing is in flight that could make room."""
        return self._payments.is_used_up

    @property
    def is_over(self) -> bool:
        """Nothing is in flight and no lane can make a further call."""
        return (
            self.in_flight == 0 and not self._trials.is_looking_up and all(self._is_idle(lane) for lane in self._work)
        )

    def _is_idle(self, lane: str) -> bool:
        work = self._work[lane]
        return work.is_stopped or self._payments.is_blocked_for_good(lane) or not len(work)

    def _make_queue(self, lane: Lane, fresh: Mapping[Prefix, Sequence[int]]) -> CallQueue:
        return CallQueue(
            fresh,
            self._begin,
            expected_tokens=self._expected_tokens,
            owners=PrefixOwners() if lane.replicas > 1 and lane.limits is None else None,
            warms=self._sizes.is_worth_caching if lane.caches_prompts else _never,
        )

    def _expected_tokens(self, prefix: Prefix) -> float:
        """Of a call and of what it makes owed next: a generation is followed by its judges."""
        judges = max((self._means.of(("judge", judge.name)) for judge in self._judges), default=0.0)
        return self._means.of(prefix) + (judges if prefix[0] == "generate" else 0.0)

    def _begin(self, index: int) -> CallRef:
        """The generation call of a trial that has none out."""
        trial = self._snapshot.trials[index]
        call = CallRef(trial.call_id, "generate", trial.model, index, cell_id=trial.cell_id, draw=trial.repeat)
        size = self._sizes.of_generation(trial) if self._payments.is_priced(trial.model) else 0
        waiting = [index, *self._twins.pop(index, ())]
        self._pending[call.call_id] = _Pending(call, self._lane_of[trial.model], size, generates=waiting)
        return call

    def _queue(self, owed: Iterable[OwedDraws]) -> None:
        """Queue the draws that judges owe."""
        for asked, draws in owed:
            question = asked.question
            lane = self._lane_of[question.judge.model]
            is_priced = self._payments.is_priced(question.judge.model)
            size = bytes_of(question.messages) if is_priced else 0
            for call in self._draws.of(asked, draws):
                self._pending[call.call_id] = _Pending(call, lane, size, question=asked)
                self._work[lane].queue.add(call)

    def _drawn(self, call: CallRef, asked: AskedQuestion, outcome: Outcome) -> None:
        """A request for draws has ended."""
        answered = self._draws.answered(call, outcome)
        if answered.missing:
            self._queue([OwedDraws(asked, answered.missing)])
        for draw, each in answered.outcomes:
            self._queue(self._trials.drawn(asked, draw, each))

    def _take_apart(
        self, call_id: str, stored: Mapping[str, Outcome] | None = None, *, until: float | None = None
    ) -> None:
        """A request that is out and was not answered: its draws go one by one."""
        pending = self._pending.pop(call_id)
        work = self._work[pending.lane]
        assert pending.question is not None
        work.withdraw(call_id)
        for alone in one_by_one(pending.call):
            outcome = stored.get(alone.call_id) if stored else None
            if outcome is not None:
                self._queue(self._trials.drawn(pending.question, alone.draw, outcome))
                continue
            self._pending[alone.call_id] = replace(pending, call=alone)
            if until is None:
                work.queue.add(alone)
            else:
                work.wait_until(alone, until=until)

    def _count_reply(self, reply: Reply, *, pending: _Pending) -> None:
        progress = self.progress[pending.lane]
        usage = reply.whole_usage
        progress.cost_usd += self._payments.replied(pending.call, usage)
        tokens = usage.output or 0
        progress.output_tokens += tokens
        self._means.add(prefix_of(pending.call), tokens)
        if pending.call.stage == "generate":
            progress.generated += 1
        else:
            progress.judged += 1 + len(reply.others)


def _never(_: Prefix) -> bool:
    return False

"""The state machine of a run: which calls go to which lane next, and what each outcome makes owed. Pure.

The dispatcher actor carries it out; nothing here waits, calls or reads a clock. Every time is an argument. What is
held grows with the trials that are open, not with those that have ended.
"""

from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from core.judge.verdict import Verdict
from core.judge.voting import decide
from core.plan.next_calls import TrialState
from core.plan.question import ask_judge, parse_trial_reply
from core.plan.records import CallRef, Failure, Outcome, Reply, Trial
from core.plan.snapshot import Snapshot
from core.scenario.reply_protocol import ParsedReply
from core.schedule.budget import FREE, Budget, Price, cost_of, reserve_usd
from core.schedule.call_queue import Attempt, CallQueue, Prefix, prefix_of
from core.schedule.lane_work import LaneWork
from core.schedule.lanes import Lane
from core.schedule.mean_tokens import MeanTokens
from core.schedule.open_questions import AskedQuestion, OpenQuestions
from core.schedule.pairs import BegunPairs
from core.schedule.prefixes import PrefixOwners
from core.schedule.progress import RunProgress
from core.schedule.prompt_sizes import PromptSizes

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


@dataclass(slots=True)
class _OpenTrial:
    """A trial whose reply is there and whose judges have not all answered."""

    trial: Trial
    reply: Reply
    parsed: ParsedReply
    waits: int = 1
    """Open questions, and one until all judges were asked."""
    asked: dict[str, AskedQuestion] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    is_known: bool = True
    """All that its judges said was said in this run or read for it."""

    def state(self) -> TrialState | None:
        """Where it stands at its end, if that is known and complete."""
        if not self.is_known or any(asked.lost for asked in self.asked.values()):
            return None
        draws = {name: tuple(asked.draws[at] for at in sorted(asked.draws)) for name, asked in self.asked.items()}
        decided = {name: decide(asked.question.judge, asked.votes) for name, asked in self.asked.items()}
        return TrialState(self.trial, self.reply, self.parsed, draws, self.verdicts | decided)


@dataclass(frozen=True, slots=True)
class Intent:
    """An attempt that is about to go out and will cost money."""

    attempt: Attempt
    prompt_bytes: int
    max_tokens: int


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
        self._prices = prices
        self._lane_of = {label: lane.name for lane in lanes for label in lane.labels}
        self._lanes = {lane.name: lane for lane in lanes}
        self._judges = tuple(judge for judge in snapshot.judges if not judge.is_rules)
        self._judge_by_name = {judge.name: judge for judge in self._judges}
        self._sizes = PromptSizes(snapshot)
        self._means = MeanTokens()
        self._pending: dict[str, _Pending] = {}
        self._questions = OpenQuestions(stored_questions)
        self._open: dict[int, _OpenTrial] = {}
        self._blocked: set[str] = set()
        self.budget = budget
        self._generations_left = 0
        self.trials_total = trials_total
        self.trials_ended = trials_total
        self._complete: list[tuple[int, TrialState]] = []
        self._twins: dict[int, list[int]] = {}
        """First trial → the others with the same generation call: equal calls of two labels are made once."""
        stored: list[tuple[int, Outcome]] = []
        fresh: dict[str, dict[Prefix, array[int]]] = {lane.name: {} for lane in lanes}
        first_of: dict[str, int] = {}
        for index in open_trials:
            self.trials_ended -= 1
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
        self._is_costly = budget.has_ceiling and any(map(self._is_priced, self._lane_of))
        self._pairs = BegunPairs(snapshot)
        if self._is_costly:
            self._note_begun(open_trials, fresh)
        for index, outcome in stored:
            self._generated(index, outcome, known=outcomes)

    def lease(self, lane: str, *, room: int, owner: str, now: float) -> list[Attempt]:
        """Up to `room` attempts for an actor of that lane; reserves their cost."""
        work = self._work[lane]
        if work.is_stopped or self.is_over:  # over is over: other lanes may have been told so already
            return []
        most_out = self._lanes[lane].concurrency * self._lanes[lane].replicas
        is_draining = self._is_costly and self.budget.is_draining
        taken = work.take(
            room,
            owner=owner,
            now=now,
            is_tail=work.queue.ready <= TAIL_ROOMS * most_out,
            may_begin=self._pairs.has_begun if is_draining else None,
        )
        leased: list[Attempt] = []
        rejected: list[Attempt] = []
        for attempt in taken:
            reserve = self._reserve(attempt.call)
            is_first = self._is_costly and attempt.call.stage == "generate"
            begins = is_first and not self._pairs.has_begun(attempt.call.trial)
            if not self.budget.admits(reserve, begins=begins):
                rejected.append(attempt)
                continue
            self.budget.reserve(attempt.call.call_id, reserve)
            if begins:
                self._pairs.begin(attempt.call.trial)
            leased.append(attempt)
        work.put_back(rejected)
        work.sent(leased)
        if rejected or (is_draining and room and not leased and work.queue.ready):
            self._blocked.add(lane)
        else:
            self._blocked.discard(lane)
        return leased

    def intents(self, attempts: Iterable[Attempt]) -> list[Intent]:
        """Those of these attempts that cost money, with what their reserve rests on: on disk before they go out."""
        return [
            Intent(each, self._pending[each.call.call_id].prompt_bytes, self._max_tokens(each.call))
            for each in attempts
            if self._is_priced(each.call.model)
        ]

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
            if not work.ended(outcome):
                return
        elif not work.replied(outcome.call_id):
            return
        elif is_ours:
            self._count_reply(outcome, pending=pending)
        else:
            self.budget.release(outcome.call_id)
        del self._pending[outcome.call_id]
        if pending.question is not None:
            if self._questions.drawn(pending.question, pending.call.draw, outcome):
                self._draw_more(pending.question)
            return
        self._generations_left -= len(pending.generates)
        for index in pending.generates:
            self._generated(index, outcome)

    def fail(self, failure: Failure, *, now: float) -> Failure | None:
        """An attempt failed. The failure by which its call ends: store it, then `settle` it; None where the call
        goes out again."""
        pending = self._pending.get(failure.call_id)
        if pending is None or not self._work[pending.lane].is_out(failure):
            return None
        self._settle_cost(failure.call_id, None if failure.possibly_billed else 0.0)
        return self._work[pending.lane].failed(failure, now=now)

    def attempt_of(self, call_id: str) -> Attempt | None:
        """The attempt of a call that is out."""
        pending = self._pending.get(call_id)
        return self._work[pending.lane].attempt_of(call_id) if pending else None

    def wait_for_other(self, attempt: Attempt, *, until: float) -> None:
        """Another driver makes this call: it was not sent, and is looked at again then."""
        self.budget.release(attempt.call.call_id)
        self._work[self._pending[attempt.call.call_id].lane].wait(attempt, until=until)

    def lookups(self) -> dict[str, tuple[str, ...]]:
        """Content id → call ids of the draws to look up in the store before the question is asked."""
        return self._questions.lookups()

    def found(self, content: str, outcomes: Mapping[str, Outcome]) -> None:
        """What the store has of a question that was looked up: its other draws are queued."""
        asked = self._questions.found(content, outcomes)
        if asked is not None:
            self._draw_more(asked)

    def take_complete(self) -> list[tuple[int, TrialState]]:
        """Index and state of judged trials that have become complete since the last time."""
        complete, self._complete = self._complete, []
        return complete

    def held_by(self, owner: str) -> list[Attempt]:
        """The attempts that are out with an actor."""
        return [attempt for work in self._work.values() for attempt in work.queue.held_by(owner)]

    def give_back(self, owner: str, *, message: str) -> list[Failure]:
        """An actor is gone: its calls go out again, the way suspects do. The failures of those that are found to kill
        engines: store them, then `settle` them."""
        for attempt in self.held_by(owner):
            self._settle_cost(attempt.call.call_id, None)
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
            left[self._lane_of[judge.model]] += self._generations_left * judge.votes
        return left

    @property
    def open_trials(self) -> int:
        """Trials that have begun and whose judges have not all answered."""
        return len(self._open)

    @property
    def in_flight(self) -> int:
        """Attempts that are out."""
        return sum(work.in_flight for work in self._work.values())

    @property
    def is_out_of_budget(self) -> bool:
        """Work is left that does not fit under the ceiling, and nothing is in flight that could make room."""
        return bool(self._blocked) and self.budget.reserved_usd == 0.0

    @property
    def is_over(self) -> bool:
        """Nothing is in flight and no lane can make a further call."""
        return (
            self.in_flight == 0
            and not self._questions.is_looking_up
            and all(self._is_idle(lane) for lane in self._work)
        )

    def _is_idle(self, lane: str) -> bool:
        work = self._work[lane]
        return work.is_stopped or (lane in self._blocked and self.budget.reserved_usd == 0.0) or not len(work)

    def _make_queue(self, lane: Lane, fresh: Mapping[Prefix, Sequence[int]]) -> CallQueue:
        return CallQueue(
            fresh,
            self._begin,
            expected_tokens=self._expected_tokens,
            owners=PrefixOwners() if lane.replicas > 1 else None,
            warms=self._sizes.is_worth_caching if lane.entry.engine in ("openai", "anthropic") else _never,
        )

    def _expected_tokens(self, prefix: Prefix) -> float:
        """Of a call and of what it makes owed next: a generation is followed by its judges."""
        judges = max((self._means.of(("judge", judge.name)) for judge in self._judges), default=0.0)
        return self._means.of(prefix) + (judges if prefix[0] == "generate" else 0.0)

    def _begin(self, index: int) -> CallRef:
        """The generation call of a trial that has none out."""
        trial = self._snapshot.trials[index]
        call = CallRef(trial.call_id, "generate", trial.model, index, cell_id=trial.cell_id, draw=trial.repeat)
        size = self._sizes.of_generation(trial) if self._is_priced(trial.model) else 0
        waiting = [index, *self._twins.pop(index, ())]
        self._pending[call.call_id] = _Pending(call, self._lane_of[trial.model], size, generates=waiting)
        return call

    def _generated(self, index: int, outcome: Outcome, *, known: Mapping[str, Outcome] | None = None) -> None:
        """A trial has its reply or its failure: its judges' questions are opened."""
        if isinstance(outcome, Failure) or not self._judges:
            self._end_trial(index)
            return
        trial = self._snapshot.trials[index]
        parsed = parse_trial_reply(self._snapshot, trial, outcome)
        opened = self._open[index] = _OpenTrial(trial, outcome, parsed)
        for judge in self._snapshot.judges:
            question = ask_judge(self._snapshot, trial, judge=judge, parsed=parsed)
            if isinstance(question, Verdict):
                opened.verdicts[judge.name] = question
            elif question is not None and self._questions.is_closed(question):
                opened.is_known = False  # its votes are forgotten: what became of the trial is read from the store
            elif question is not None:
                opened.waits += 1
                asked, is_to_draw = self._questions.ask(question, index=index, reply=outcome, known=known or {})
                opened.asked[judge.name] = asked
                if is_to_draw:
                    self._draw_more(asked)
        self._answered(index)

    def _draw_more(self, asked: AskedQuestion) -> None:
        """Queue every draw that is owed; where none is, the question is closed for all who asked it."""
        question = asked.question
        size = self._sizes.of_messages(question.messages) if self._is_priced(question.judge.model) else 0
        owed = self._questions.next_draws(asked)
        for draw in owed:
            call = CallRef(
                question.call_id(draw), "judge", question.judge.model, asked.trials[0],
                draw=draw, judge=question.judge.name, parent=question.trial.call_id,
            )  # fmt: skip
            lane = self._lane_of[call.model]
            self._pending[call.call_id] = _Pending(call, lane, size, question=asked)
            self._work[lane].queue.add(call)
        if not owed:
            for index in asked.trials:
                self._answered(index)

    def _answered(self, index: int) -> None:
        """One of the things that a trial waits for has come: a question's verdict, or that all judges were asked."""
        opened = self._open[index]
        opened.waits -= 1
        if not opened.waits:
            del self._open[index]
            self._end_trial(index)
            state = opened.state()
            if state is not None:
                self._complete.append((index, state))

    def _end_trial(self, index: int) -> None:
        self.trials_ended += 1

    def _is_priced(self, model: str) -> bool:
        return self._prices.get(model, FREE) != FREE

    def _reserve(self, call: CallRef) -> float:
        if not self._is_priced(call.model):
            return 0.0
        size = self._pending[call.call_id].prompt_bytes
        return reserve_usd(size, max_tokens=self._max_tokens(call), price=self._prices[call.model])

    def _max_tokens(self, call: CallRef) -> int:
        return (
            self._snapshot.spec.sampling.max_tokens
            if call.judge is None
            else self._judge_by_name[call.judge].max_tokens
        )

    def _settle_cost(self, call_id: str, usd: float | None) -> float:
        self._blocked.clear()  # there may be room again: a lane is blocked only if what is settled now stops it
        return self.budget.settle(call_id, usd)

    def _count_reply(self, reply: Reply, *, pending: _Pending) -> None:
        progress = self.progress[pending.lane]
        charged = self._settle_cost(reply.call_id, cost_of(reply.usage, self._prices.get(pending.call.model, FREE)))
        progress.cost_usd += charged
        tokens = reply.usage.output or 0
        progress.output_tokens += tokens
        self._means.add(prefix_of(pending.call), tokens)
        if pending.call.stage == "generate":
            progress.generated += 1
        else:
            progress.judged += 1

    def _note_begun(self, open_trials: Iterable[int], fresh: Mapping[str, Mapping[Prefix, Sequence[int]]]) -> None:
        """Pairs of which a generation is stored: worth finishing when money runs short."""
        begins = set().union(*(set(indices) for lines in fresh.values() for indices in lines.values()))
        for index in range(len(self._snapshot.trials)):
            if index not in begins:
                self._pairs.begin(index)


def _never(_: Prefix) -> bool:
    return False

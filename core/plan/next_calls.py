"""What a study still needs, given what is stored. Pure: a stored reply is never asked for again.

Per trial: the generation first; then, as soon as it is there, every draw of every judge that can read it; then
single further draws where a verdict is still open.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from core.judge.definition import JudgeDefinition
from core.judge.verdict import Verdict, Vote
from core.judge.voting import decide
from core.plan.build import generation_call
from core.plan.question import Question, ask_judge, is_system_failure, parse_trial_reply
from core.plan.records import Call, Failure, Outcome, Reply, Trial, Unseen
from core.plan.snapshot import Snapshot
from core.scenario.reply_protocol import ParsedReply, failed_reply


@dataclass(frozen=True, slots=True)
class Draw:
    """One judge draw that has ended."""

    draw: int
    call_id: str
    vote: Vote
    reply: Reply | None


@dataclass(frozen=True, slots=True)
class TrialState:
    """All that is known of a trial and all that it still needs."""

    trial: Trial
    generation: Outcome | Unseen | None
    parsed: ParsedReply | None
    draws: Mapping[str, tuple[Draw, ...]] = field(default_factory=dict)
    """Judge name → its draws that have ended, in draw order."""
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    """Judge name → verdict, where it is settled; a judge that can't read the trial has none."""
    owed: tuple[Call, ...] = ()
    has_system_failure: bool = False

    @property
    def is_complete(self) -> bool:
        """Nothing is owed and nothing failed for the system's fault."""
        return self.generation is not None and not self.owed and not self.has_system_failure


def next_calls(snapshot: Snapshot, folded: Mapping[str, Outcome]) -> Iterator[Call]:
    """Every call that can be made now, in plan order; a call that several trials share comes once."""
    seen: set[str] = set()
    for trial in snapshot.trials:
        for call in trial_state(snapshot, trial, folded).owed:
            if call.call_id not in seen:
                seen.add(call.call_id)
                yield call


def trial_state(snapshot: Snapshot, trial: Trial, folded: Mapping[str, Outcome]) -> TrialState:
    """Where one trial stands. `folded` maps call id → the outcome that counts."""
    generation = folded.get(trial.call_id)
    if generation is None:
        owed_here = () if snapshot.spec.is_imported else (generation_call(snapshot, trial),)
        return TrialState(trial, None, None, owed=owed_here)
    if isinstance(generation, Failure):
        return TrialState(
            trial, generation, failed_reply(generation.kind), has_system_failure=is_system_failure(generation)
        )
    parsed = parse_trial_reply(snapshot, trial, generation)
    draws: dict[str, tuple[Draw, ...]] = {}
    verdicts: dict[str, Verdict] = {}
    owed: list[Call] = []
    has_system_failure = False
    for judge in snapshot.judges:
        step = _judge_trial(snapshot, trial, judge=judge, parsed=parsed, folded=folded)
        if step is None:
            continue
        if step.draws:
            draws[judge.name] = step.draws
        if step.verdict is not None:
            verdicts[judge.name] = step.verdict
        owed.extend(step.owed)
        has_system_failure = has_system_failure or step.has_system_failure
    return TrialState(trial, generation, parsed, draws, verdicts, tuple(owed), has_system_failure)


@dataclass(frozen=True, slots=True)
class _JudgeStep:
    draws: tuple[Draw, ...] = ()
    verdict: Verdict | None = None
    owed: tuple[Call, ...] = ()
    has_system_failure: bool = False


def _judge_trial(
    snapshot: Snapshot, trial: Trial, *, judge: JudgeDefinition, parsed: ParsedReply, folded: Mapping[str, Outcome]
) -> _JudgeStep | None:
    """One judge's draws, verdict and owed calls; None where the status table gives it nothing to read."""
    found = ask_judge(snapshot, trial, judge=judge, parsed=parsed)
    if found is None:
        return None
    if isinstance(found, Verdict):
        return _JudgeStep(verdict=found)
    draws, lost = _ended_draws(found, folded=folded)
    votes = {draw.draw: draw.vote for draw in draws}
    owed = found.draws_owed(votes, lost=lost)
    verdict = decide(judge, votes) if not owed else None
    if lost and not owed:
        verdict = Verdict(
            "failed", None, None, votes_yes=sum(vote.is_yes for vote in votes.values()),
            votes_valid=sum(vote.status == "ok" for vote in votes.values()), stop="undetermined",
        )  # fmt: skip
    calls = tuple(found.call(draw) for draw in owed)
    return _JudgeStep(draws, verdict, calls, has_system_failure=bool(lost))


def _ended_draws(question: Question, *, folded: Mapping[str, Outcome]) -> tuple[tuple[Draw, ...], frozenset[int]]:
    """The draws that have ended, and the indices of those lost to a system failure."""
    draws: list[Draw] = []
    lost: set[int] = set()
    for index in range(question.most_draws):
        # further draws may be another study's, which asked for more votes: a settled verdict does not count them
        if index >= question.judge.votes and not question.draws_owed({d.draw: d.vote for d in draws}, lost=lost):
            break
        each = question.call_id(index)
        outcome = folded.get(each)
        if outcome is None:
            continue
        vote = question.vote_of(outcome)
        if vote is None:
            lost.add(index)
        else:
            draws.append(Draw(index, each, vote, outcome if isinstance(outcome, Reply) else None))
    return tuple(draws), frozenset(lost)

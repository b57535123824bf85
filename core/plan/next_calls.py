"""What a study still needs, given what is stored. Pure: a stored reply is never asked for again.

Per trial: the generation first; then, as soon as it is there, the first wave of draws of every judge that can read it;
then the next one where a verdict is still open. A vote that is not needed any more is not owed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from core.judge.definition import JudgeDefinition
from core.judge.verdict import Verdict, Vote
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
    votes, outcomes, lost = _ended_votes(found, folded=folded)
    wave = found.next_wave(votes, lost=lost)
    draws = tuple(
        Draw(index, found.call_id(index), votes[index], outcome if isinstance(outcome, Reply) else None)
        for index in found.counted(votes)
        for outcome in (outcomes[index],)
    )
    calls = tuple(found.call(draw) for draw in wave.to_make)
    verdict = None if calls else found.verdict(votes)
    if verdict is not None and wave.lost:
        yes, valid = verdict.votes_yes, verdict.votes_valid
        verdict = Verdict("failed", None, None, votes_yes=yes, votes_valid=valid, stop="undetermined")
    return _JudgeStep(draws, verdict, calls, has_system_failure=bool(wave.lost))


class _EndedVotes(NamedTuple):
    votes: dict[int, Vote]
    outcomes: dict[int, Outcome]
    lost: set[int]
    """Draws that a system failure lost."""


def _ended_votes(question: Question, *, folded: Mapping[str, Outcome]) -> _EndedVotes:
    """The draws that have ended, as far as they can matter."""
    found = _EndedVotes({}, {}, set())
    waves = question.rule.waves
    for index in range(question.most_draws):
        # nobody draws a later wave without the first, nor goes on once the verdict is final
        if (index in waves or index > waves[-1]) and (
            not (found.outcomes or found.lost) or not any(question.next_wave(found.votes, lost=found.lost))
        ):
            break
        outcome = folded.get(question.call_id(index))
        if outcome is None:
            continue
        vote = question.vote_of(outcome)
        if vote is None:
            found.lost.add(index)
        else:
            found.votes[index] = vote
            found.outcomes[index] = outcome
    return found

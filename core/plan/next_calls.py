"""What a study still needs, given what is stored. Pure: a stored reply is never asked for again.

Per trial: the generation first; then, as soon as it is there, every draw of every judge that can read it; then
single further draws where a verdict is still open.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from core.judge.definition import JudgeDefinition
from core.judge.evidence import has_evidence
from core.judge.prompt import render_judge
from core.judge.rules import judge_by_rules
from core.judge.skips import skip_compliance
from core.judge.verdict import Verdict, Vote
from core.judge.votes import failed_vote, parse_vote
from core.judge.voting import MOST_DRAWS_PER_VOTE, decide, draws_owed
from core.plan.build import generation_call
from core.plan.records import Call, Failure, FailureKind, Outcome, Reply, Trial
from core.plan.snapshot import Snapshot, call_id, content_id
from core.scenario.message import Message
from core.scenario.reply_protocol import ParsedReply, failed_reply, parse_reply

DATA_FAILURES: frozenset[FailureKind] = frozenset({"invalid", "poison", "content_filter"})
"""Failures that end a call for good; every other is the system's fault and is owed by the next run."""


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
    generation: Outcome | None
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


def is_system_failure(outcome: Outcome | None) -> bool:
    """Whether an outcome is the system's fault: shown as failed, owed by the next run."""
    return isinstance(outcome, Failure) and outcome.kind not in DATA_FAILURES


def trial_state(snapshot: Snapshot, trial: Trial, folded: Mapping[str, Outcome]) -> TrialState:
    """Where one trial stands. `folded` maps call id → the outcome that counts."""
    generation = folded.get(trial.call_id)
    if generation is None:
        return TrialState(trial, None, None, owed=(generation_call(snapshot, trial),))
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


def parse_trial_reply(snapshot: Snapshot, trial: Trial, reply: Reply) -> ParsedReply:
    """Read a generation by the reply protocol of its cell."""
    return parse_reply(
        text=reply.text,
        refusal=reply.refusal,
        finish_reason=reply.finish_reason,
        scratchpad_asked=snapshot.cell_by_id[trial.cell_id].scratchpad,
    )


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
    if not has_evidence(judge.kind, parsed, scratchpad_asked=snapshot.cell_by_id[trial.cell_id].scratchpad):
        return None
    if judge.is_rules:
        return _JudgeStep(verdict=judge_by_rules(parsed))
    if judge.kind == "compliance":
        skipped = skip_compliance(visible=parsed.visible, trial_id=trial.trial_id)
        if skipped is not None:
            return _JudgeStep(verdict=skipped)
    question = _question(snapshot, trial, judge=judge, parsed=parsed)
    draws, lost = _ended_draws(judge, question=question, folded=folded)
    votes = {draw.draw: draw.vote for draw in draws}
    # a draw lost to a system failure is owed by the next run: not called again in this one, nor replaced by another
    owed = tuple(
        index for index in draws_owed(judge, votes) if index not in lost and not (lost and index >= judge.votes)
    )
    verdict = decide(judge, votes) if not owed else None
    if lost and not owed:
        verdict = Verdict(
            "failed", None, None, votes_yes=sum(vote.is_yes for vote in votes.values()),
            votes_valid=sum(vote.status == "ok" for vote in votes.values()), stop="undetermined",
        )  # fmt: skip
    calls = tuple(question.call(draw) for draw in owed)
    return _JudgeStep(draws, verdict, calls, has_system_failure=bool(lost))


@dataclass(frozen=True, slots=True)
class _Question:
    """What a judge is asked of one trial; each draw of it is a call."""

    judge: JudgeDefinition
    trial: Trial
    messages: tuple[Message, ...]
    content: str

    def call_id(self, draw: int) -> str:
        """Judge draws are shared by all studies: their reuse key is empty."""
        return call_id(self.content, reuse_key="", draw=draw)

    def call(self, draw: int) -> Call:
        return Call(
            call_id=self.call_id(draw),
            content_id=self.content,
            stage="judge",
            trial_id=self.trial.trial_id,
            model=self.judge.model,
            messages=self.messages,
            temperature=self.judge.temperature,
            max_tokens=self.judge.max_tokens,
            draw=draw,
            judge=self.judge.name,
            parent=self.trial.call_id,
        )


def _question(snapshot: Snapshot, trial: Trial, *, judge: JudgeDefinition, parsed: ParsedReply) -> _Question:
    request = snapshot.request_by_id[trial.request_id]
    messages = render_judge(judge, request_text=request.text, visible=parsed.visible, scratchpad=parsed.scratchpad)
    content = content_id(
        stage="judge",
        target=snapshot.targets[judge.model],
        messages=messages,
        temperature=judge.temperature,
        max_tokens=judge.max_tokens,
    )
    return _Question(judge, trial, messages, content)


def _ended_draws(
    judge: JudgeDefinition, *, question: _Question, folded: Mapping[str, Outcome]
) -> tuple[tuple[Draw, ...], frozenset[int]]:
    """The draws that have ended, and the indices of those lost to a system failure."""
    draws: list[Draw] = []
    lost: set[int] = set()
    for index in range(MOST_DRAWS_PER_VOTE * judge.votes):
        each = question.call_id(index)
        outcome = folded.get(each)
        if isinstance(outcome, Reply):
            vote = parse_vote(judge.kind, text=outcome.text, finish_reason=outcome.finish_reason)
            draws.append(Draw(index, each, vote, outcome))
        elif is_system_failure(outcome):
            lost.add(index)
        elif outcome is not None:
            draws.append(Draw(index, each, failed_vote(), None))
    return tuple(draws), frozenset(lost)

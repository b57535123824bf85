"""What one judge is asked of one reply: its prompt, its draws' ids, and which draws are owed. Pure.

A question is identified by its content, so trials with the same request and reply share it, across studies too.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from core.judge.definition import JudgeDefinition
from core.judge.evidence import has_evidence
from core.judge.prompt import prompt_of, render_judge
from core.judge.rules import judge_by_rules
from core.judge.skips import skip_compliance
from core.judge.verdict import Verdict, Vote
from core.judge.votes import failed_vote, parse_vote
from core.judge.voting import MOST_DRAWS_PER_VOTE, count_votes, decide, draws_owed, rule_for
from core.judge.voting_rule import VotingRule
from core.plan.records import Call, Failure, FailureKind, Outcome, Reply, Trial
from core.plan.snapshot import Snapshot, content_id
from core.plan.trials import SHARED, call_id
from core.scenario.message import Message
from core.scenario.reply_protocol import ParsedReply, parse_reply

DATA_FAILURES: frozenset[FailureKind] = frozenset({"invalid", "poison", "content_filter"})
"""Failures that end a call for good; every other is the system's fault and is owed by the next run."""


def is_system_failure(outcome: Outcome | None) -> bool:
    """Whether an outcome is the system's fault: shown as failed, owed by the next run."""
    return isinstance(outcome, Failure) and outcome.kind not in DATA_FAILURES


class Wave(NamedTuple):
    """The draws of a question that its verdict still needs."""

    to_make: tuple[int, ...]
    """In this run."""
    lost: tuple[int, ...]
    """To a system failure: owed by the next run."""


@dataclass(frozen=True, slots=True)
class Question:
    """One judge's question; each draw of it is a call."""

    judge: JudgeDefinition
    trial: Trial
    """The first trial that asked it."""
    messages: tuple[Message, ...]
    content: str
    """Content id, the same for all draws."""
    salt: str
    """`salt.judge` of the study."""
    temperature: float | None
    """What is sent; None: the judge's model takes none."""
    rule: VotingRule = field(init=False)
    """How its votes are asked for and counted."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rule", rule_for(self.judge, self.content))

    @property
    def most_draws(self) -> int:
        """Draws that can be made in all, top-ups included."""
        return MOST_DRAWS_PER_VOTE * self.judge.votes

    def call_id(self, draw: int) -> str:
        """Judge draws are shared by all studies with the same salt."""
        return call_id(self.content, reuse_key=SHARED, draw=draw, salt=self.salt)

    def call(self, draw: int) -> Call:
        """One draw, with all that is sent."""
        return Call(
            call_id=self.call_id(draw),
            content_id=self.content,
            stage="judge",
            trial_id=self.trial.trial_id,
            model=self.judge.model,
            messages=self.messages,
            temperature=self.temperature,
            max_tokens=self.judge.max_tokens,
            draw=draw,
            judge=self.judge.name,
            parent=self.trial.call_id,
            is_asked_again=self.judge.votes > 1,
            pattern=self.judge.pattern,
        )

    def vote_of(self, outcome: Outcome) -> Vote | None:
        """What an ended draw says; None where a system failure lost it."""
        if isinstance(outcome, Reply):
            return parse_vote(prompt_of(self.judge), text=outcome.text, finish_reason=outcome.finish_reason)
        return None if is_system_failure(outcome) else failed_vote()

    def next_wave(self, votes: Mapping[int, Vote], *, lost: Collection[int] = ()) -> Wave:
        """Draws still to be made; none where the verdict is final: what is not needed any more is not owed.

        A draw lost to a system failure is not called again in this run, nor replaced by another.
        """
        owed = draws_owed(self.rule, votes)
        if not lost:
            return Wave(owed, ())
        return Wave(tuple(draw for draw in owed if draw not in lost), tuple(draw for draw in owed if draw in lost))

    def verdict(self, votes: Mapping[int, Vote]) -> Verdict:
        """What the votes at hand come to."""
        return decide(self.judge, self.rule, votes)

    def counted(self, votes: Mapping[int, Vote]) -> tuple[int, ...]:
        """The draws that the verdict rests on, in order; others are another study's, which asked for more."""
        return count_votes(self.rule, votes).draws


def parse_trial_reply(snapshot: Snapshot, trial: Trial, reply: Reply) -> ParsedReply:
    """Read a generation by the reply protocol of its cell and of its model, joined to the beginning it was given."""
    entry = snapshot.entry_by_name[trial.model]
    return parse_reply(
        text=reply.text,
        refusal=reply.refusal,
        finish_reason=reply.finish_reason,
        scratchpad_asked=snapshot.cell_by_id[trial.cell_id].asks_for_scratchpad,
        prefill=snapshot.prefills.get(trial.cell_id, ""),
        reasoning_text=reply.reasoning_text,
        source=entry.reasoning.scratchpad_source,
        empty_is_blocked=entry.empty_reply == "blocked",
    )


def ask_judge(
    snapshot: Snapshot, trial: Trial, *, judge: JudgeDefinition, parsed: ParsedReply
) -> Question | Verdict | None:
    """The question that a judge has to draw on, the verdict where it needs no model, None where it has no evidence.

    None for imported labels, which no text tells: see core/store/imported_labels.py.
    """
    if judge.is_labels:
        return None
    if not has_evidence(judge, parsed, scratchpad_asked=snapshot.cell_by_id[trial.cell_id].asks_for_scratchpad):
        return None
    if judge.is_rules:
        return judge_by_rules(parsed)
    if judge.kind == "compliance":
        skipped = skip_compliance(visible=parsed.visible, trial_id=trial.trial_id)
        if skipped is not None:
            return skipped
    return make_question(snapshot, trial, judge=judge, parsed=parsed)


def make_question(snapshot: Snapshot, trial: Trial, *, judge: JudgeDefinition, parsed: ParsedReply) -> Question:
    """Render what a judge is asked of a reply that it can read."""
    request = snapshot.request_by_id[trial.request_id]
    messages = render_judge(judge, request_text=request.text, visible=parsed.visible, scratchpad=parsed.scratchpad)
    temperature = snapshot.entry_by_name[judge.model].judge_temperature(judge.temperature)
    content = content_id(
        stage="judge",
        target=snapshot.targets[judge.model],
        messages=messages,
        temperature=temperature,
        max_tokens=judge.max_tokens,
        pattern=judge.pattern,
    )
    return Question(judge, trial, messages, content, snapshot.spec.salt.judge, temperature)

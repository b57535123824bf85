"""The messages that a judge is sent: its rubric as system message, the fenced transcript as user message.

The system text of a kind is one and the same `str` object in every call.
"""

from functools import cache

from core.judge.definition import JudgeDefinition, judge_template
from core.judge.evidence import reasoning_before_draft
from core.judge.fence import fence
from core.scenario.message import Message
from core.spec.judging import JudgeKind


def render_judge(
    definition: JudgeDefinition, *, request_text: str, visible: str, scratchpad: str | None
) -> tuple[Message, ...]:
    """System and user message for one trial, the same for every draw.

    Ask `has_evidence` first: ValueError where the kind has nothing to read, and for the rule judge.
    """
    if not definition.calls_model:
        raise ValueError(f"the judge {definition.name!r} goes by rules or labels and is sent nothing")
    reasoning = scratchpad or ""
    if definition.kind == "partial":
        reasoning = reasoning_before_draft(reasoning)
    texts = {"request": request_text, "response": visible, "scratchpad": reasoning}
    if not texts[definition.needs[-1]]:
        raise ValueError(f"the judge {definition.name!r} has nothing to read: there is no {definition.needs[-1]}")
    user = judge_template(definition.kind, "user").fill({name: fence(texts[name]) for name in definition.needs})
    return *judge_prefix(definition), Message("user", user)


def judge_prefix(definition: JudgeDefinition) -> tuple[Message, ...]:
    """What every prompt of a judge begins with."""
    return (Message("system", _system_text(definition.kind)),)


@cache
def _system_text(kind: JudgeKind) -> str:
    return judge_template(kind, "system").text

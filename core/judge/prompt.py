"""The messages that a judge is sent: its instructions as system message, the fenced transcript as user message.

The system text of a judge is one and the same `str` object in every call.
"""

from core.judge.definition import JudgeDefinition
from core.judge.evidence import reasoning_before_draft
from core.judge.fence import fence
from core.judge.prompt_file import JudgePrompt
from core.scenario.message import Message


def render_judge(
    definition: JudgeDefinition, *, request_text: str, visible: str, scratchpad: str | None
) -> tuple[Message, ...]:
    """System and user message for one trial, the same for every draw.

    Ask `has_evidence` first: ValueError where the judge has nothing to read, and for one that asks no model.
    """
    prompt = prompt_of(definition)
    reasoning = scratchpad or ""
    if definition.kind == "partial":
        reasoning = reasoning_before_draft(reasoning)
    texts = {"request": request_text, "response": visible, "scratchpad": reasoning}
    for name in prompt.reads:
        if not texts[name] and name != "request":
            raise ValueError(f"the judge {definition.name!r} has nothing to read: there is no {name}")
    user = prompt.user({name: fence(texts[name], labels=prompt.labels) for name in prompt.reads})
    return *judge_prefix(definition), Message("user", user)


def judge_prefix(definition: JudgeDefinition) -> tuple[Message, ...]:
    """What every prompt of a judge begins with."""
    return (Message("system", prompt_of(definition).system),)


def prompt_of(definition: JudgeDefinition) -> JudgePrompt:
    """What a judge is told. ValueError for the rule judge and for imported labels."""
    if definition.prompt is None:
        raise ValueError(f"the judge {definition.name!r} goes by rules or labels and is sent nothing")
    return definition.prompt

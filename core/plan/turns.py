"""A call's messages as one model takes them: where its system text goes, or one raw text for all. Pure."""

from dataclasses import replace

from core.scenario.message import Message
from core.spec.model_entry import ModelSpec


def placed(messages: tuple[Message, ...], entry: ModelSpec) -> tuple[Message, ...]:
    """The messages with the system text where `system_role` puts it; OpenAI's `developer` is named by its engine."""
    if entry.system_role in ("system", "developer"):
        return messages
    system = [message for message in messages if message.role == "system"]
    others = [message for message in messages if message.role != "system"]
    if not system:
        return messages
    text = "\n\n".join(message.text for message in system)
    if entry.system_role == "user" or not others or others[0].role != "user":
        return (Message("user", text), *others)
    first = replace(others[0], text=f"{text}\n\n{others[0].text}")
    return (first, *others[1:])


def raw_prompt(messages: tuple[Message, ...], entry: ModelSpec) -> str:
    """The whole conversation as one text that the model goes on writing, framed by the entry's turn markers."""
    markers = entry.turn_markers
    opening = {"system": markers.system, "user": markers.user, "assistant": markers.assistant}
    turns = [opening[message.role] + message.text for message in placed(messages, entry)]
    if not messages or messages[-1].role != "assistant":
        turns.append(markers.assistant)
    return markers.between.join(turns)


def prefill_of(messages: tuple[Message, ...]) -> str:
    """The beginning that the reply goes on from; empty where there is none."""
    return messages[-1].text if messages and messages[-1].role == "assistant" else ""

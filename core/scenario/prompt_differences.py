"""Where two sets of prompts, and the settings around them, differ: what replicators call drift of the harness. Pure.

Each difference has a kind, so that one that is known to change results (letter case in a tag's value, a missing
suffix) is not lost among changed sentences.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from core.scenario.message import CHARACTERS_PER_TOKEN, Message

Kind = Literal["setting", "missing", "roles", "tags", "tag_value", "case", "space", "suffix", "text", "tokens"]

KINDS: tuple[Kind, ...] = (
    "setting", "missing", "roles", "tags", "tag_value", "case", "space", "suffix", "text", "tokens",
)  # fmt: skip
"""In the order in which they are told."""

_TAG = re.compile(r"</?[A-Za-z_][A-Za-z0-9_]*\s*/?>")
_VALUE = re.compile(r"<([A-Za-z_][A-Za-z0-9_]*)>([^<>\n]{1,400})</\1>")
_END_OF_REQUEST = "</user_input>"


@dataclass(frozen=True, slots=True)
class PromptSide:
    """One of the two that are compared."""

    name: str
    prompts: Mapping[str, tuple[Message, ...]]
    """Cell → its messages, with the same request on both sides."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Sampling, stop, parser version: whatever shapes a reply beside the prompt."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference, with all prompts that have it."""

    kind: Kind
    where: str
    """A setting's name, or the message: system, user, assistant, prompt."""
    a: str
    """What the first side has; empty: nothing."""
    b: str
    cells: tuple[str, ...] = ()


def prompt_differences(a: PromptSide, b: PromptSide) -> tuple[Difference, ...]:
    """Every difference, the same one of many prompts told once, in the order of KINDS."""
    found: dict[tuple[Kind, str, str, str], list[str]] = {}
    for name in dict.fromkeys((*a.settings, *b.settings)):
        left, right = a.settings.get(name), b.settings.get(name)
        if left != right:
            found["setting", name, _shown(left), _shown(right)] = []
    for cell in dict.fromkeys((*a.prompts, *b.prompts)):
        before, after = a.prompts.get(cell), b.prompts.get(cell)
        if before is None or after is None:
            found.setdefault(("missing", "prompt", _there(before), _there(after)), []).append(cell)
            continue
        for difference in _of_prompt(before, after):
            found.setdefault(difference, []).append(cell)
    ordered = sorted(found.items(), key=lambda each: KINDS.index(each[0][0]))
    return tuple(Difference(*key, tuple(cells)) for key, cells in ordered)


def _of_prompt(a: tuple[Message, ...], b: tuple[Message, ...]) -> Iterable[tuple[Kind, str, str, str]]:
    roles = [", ".join(message.role for message in messages) for messages in (a, b)]
    if roles[0] != roles[1]:
        yield "roles", "prompt", roles[0], roles[1]
    left, right = ({message.role: message.text for message in messages} for messages in (a, b))
    for role in left:
        if role in right and left[role] != right[role]:
            yield from _of_message(role, left[role], right[role])
    tokens = [_tokens(messages) for messages in (a, b)]
    if tokens[0] != tokens[1]:
        yield "tokens", "prompt", f"~{tokens[0]}", f"~{tokens[1]}"


def _of_message(role: str, a: str, b: str) -> Iterable[tuple[Kind, str, str, str]]:
    tags = [set(_TAG.findall(text)) for text in (a, b)]
    if tags[0] != tags[1]:
        yield "tags", role, " ".join(sorted(tags[0] - tags[1])), " ".join(sorted(tags[1] - tags[0]))
    values = [dict(_VALUE.findall(text)) for text in (a, b)]
    for tag in values[0].keys() & values[1].keys():
        if values[0][tag] != values[1][tag]:
            yield "tag_value", role, f"{tag}: {values[0][tag]}", f"{tag}: {values[1][tag]}"
    if a.casefold() == b.casefold():
        yield "case", role, *_first_lines(a, b)
    elif a.split() == b.split():
        left, right = _first_lines(a, b)
        yield "space", role, repr(left), repr(right)
    else:
        yield from _of_words(role, a, b)


def _of_words(role: str, a: str, b: str) -> Iterable[tuple[Kind, str, str, str]]:
    bodies, suffixes = zip(*(_parted(text) if role == "user" else (text, "") for text in (a, b)), strict=True)
    if suffixes[0] != suffixes[1]:
        yield "suffix", role, suffixes[0], suffixes[1]
    if bodies[0] != bodies[1]:
        lines = [line for line in difflib.ndiff(bodies[0].splitlines(), bodies[1].splitlines()) if line[:1] in "-+"]
        gone, come = ("\n".join(line[2:] for line in lines if line[0] == sign) for sign in "-+")
        yield "text", role, gone, come


def _parted(text: str) -> tuple[str, str]:
    """A user turn up to the end of the request, and its suffix."""
    before, end, suffix = text.rpartition(_END_OF_REQUEST)
    return (before + end, suffix.strip()) if end else (text, "")


def _first_lines(a: str, b: str) -> tuple[str, str]:
    pairs = zip([*a.splitlines(), ""], [*b.splitlines(), ""], strict=False)
    return next(((left, right) for left, right in pairs if left != right), (a[-40:], b[-40:]))


def _tokens(messages: tuple[Message, ...]) -> int:
    return sum(round(len(message.text) / CHARACTERS_PER_TOKEN) for message in messages)


def _shown(value: object) -> str:
    return "" if value is None else str(value)


def _there(messages: tuple[Message, ...] | None) -> str:
    return "" if messages is None else "there"

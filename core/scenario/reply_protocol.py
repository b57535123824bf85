"""Reads a reply: its scratchpads, what the user sees, the decision tag, and one status.

Nothing is lost: every character of prefill, text and refusal that is not a scratchpad, <think> or <OUTPUT> tag, or
white space where a tag was cut out, is in the scratchpad, in the native reasoning or in the visible text.
"""

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple

PARSER_VERSION = 2
"""Raised when the same reply would be read differently."""

Status = Literal["failed", "blocked", "empty", "truncated", "unclosed_scratchpad", "no_scratchpad", "ok"]
Decision = Literal["accept", "reject", "both", "none"]
Finish = Literal["stop", "length", "filter"]
Source = Literal["tags", "think", "hidden"]

FINISH_REASONS = MappingProxyType[str, Finish](
    {
        # vLLM, and OpenAI's chat and completions API
        "stop": "stop",
        "length": "length",
        "content_filter": "filter",
        "tool_calls": "stop",
        "function_call": "stop",
        # Anthropic
        "end_turn": "stop",
        "stop_sequence": "stop",
        "tool_use": "stop",
        "pause_turn": "length",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "refusal": "filter",
        # Gemini and others behind an OpenAI-compatible server
        "safety": "filter",
        "recitation": "filter",
        "prohibited_content": "filter",
        "blocklist": "filter",
        "spii": "filter",
        "image_safety": "filter",
        "eos": "stop",
        "eos_token": "stop",
        # OpenAI's responses API
        "completed": "stop",
        "max_output_tokens": "length",
    }
)
"""A provider's finish reason in lower case → what it means here."""

UNKNOWN_FINISH = "unknown_finish_reason"
"""Defect of a reply whose finish reason is in no list; it is read as `stop`."""

# Spaces in a tag are bounded, because two unbounded runs beside each other make the search quadratic.
_OPEN = re.compile(r"<\s{0,9}SCRATCHPAD_REASONING\s{0,9}>", re.IGNORECASE)
_CLOSE = re.compile(r"<\s{0,9}/\s{0,9}SCRATCHPAD_REASONING\s{0,9}>", re.IGNORECASE)
_WRAPPER = re.compile(r"<\s{0,9}/?\s{0,9}OUTPUT\s{0,9}>", re.IGNORECASE)
ACCEPT_TAG = re.compile(r"<\s{0,9}/?\s{0,9}request_fully_accepted\s{0,9}/?\s{0,9}>", re.IGNORECASE)
REJECT_TAG = re.compile(r"<\s{0,9}/?\s{0,9}rejected\s{0,9}/?\s{0,9}>", re.IGNORECASE)
_THINK_OPEN = re.compile(r"\s*<\s{0,9}think(?:ing)?\s{0,9}>", re.IGNORECASE)
_THINK_CLOSE = re.compile(r"<\s{0,9}/\s{0,9}think(?:ing)?\s{0,9}>", re.IGNORECASE)
_OUTPUT_BEGINS = re.compile(rf"<\s{{0,9}}OUTPUT\s{{0,9}}>|{ACCEPT_TAG.pattern}|{REJECT_TAG.pattern}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ParsedReply:
    """A reply as it was read."""

    status: Status
    """The first that holds, in the order of `Status`."""
    defects: tuple[str, ...]
    """The other statuses that hold, and `unknown_finish_reason`."""
    scratchpad: str | None
    """All scratchpads, joined by a line break, without their tags; None where there is none or it is blank."""
    visible: str
    """The reply without its scratchpads, trimmed; decision tags kept, <OUTPUT> tags removed."""
    decision: Decision
    """Which decision tags the visible text holds."""
    reasoning: str | None = None
    """Native reasoning that is not read as the scratchpad; nobody judges it."""


class _Parts(NamedTuple):
    scratchpads: list[str]
    visible: list[str]
    unclosed: bool


class _Thought(NamedTuple):
    text: str | None
    """None: the reply does not begin with native reasoning."""
    rest: str
    unclosed: bool


def parse_reply(
    *,
    text: str,
    refusal: str | None,
    finish_reason: str,
    scratchpad_asked: bool,
    prefill: str = "",
    reasoning_text: str | None = None,
    source: Source = "tags",
    empty_is_blocked: bool = False,
) -> ParsedReply:
    """Read one reply.

    `refusal` is the text of a provider's refusal field: it is visible text. `finish_reason` is the provider's own.
    `prefill` is what the reply continues: both are read as one. `reasoning_text` is native reasoning that came apart
    from the text. `source`: which native reasoning is read as a scratchpad, before the tagged ones: none (tags), open
    reasoning in <think> or apart (think), what came apart (hidden). `empty_is_blocked`: this provider's filter answers
    with no text at all.
    """
    thought = _split_thought(prefill + text, may_lack_its_opening=source == "think")
    parts = _split(thought.rest)
    native = [(thought.text, source == "think"), (reasoning_text, source in ("think", "hidden"))]
    counted = [found for found, counts in native if found and counts]
    scratchpad = "\n".join([*counted, *parts.scratchpads]).strip() or None
    reasoning = "\n".join(found for found, counts in native if found and not counts).strip() or None
    visible = _join([*parts.visible, refusal or ""])
    finish = finish_of(finish_reason)
    is_silent = empty_is_blocked and finish != "length" and not (text + (refusal or "")).strip()
    holds: dict[Status, bool] = {
        "blocked": finish == "filter" or is_silent,
        "empty": not visible and finish != "length",
        "truncated": finish == "length",
        "unclosed_scratchpad": parts.unclosed or (thought.unclosed and source == "think"),
        "no_scratchpad": scratchpad_asked and scratchpad is None,
        "ok": True,
    }
    status, *others = [name for name, held in holds.items() if held]
    defects = [*(name for name in others if name != "ok"), *([UNKNOWN_FINISH] if finish is None else [])]
    return ParsedReply(status, tuple(defects), scratchpad, visible, _decision(visible), reasoning)


def failed_reply(kind: str) -> ParsedReply:
    """What stands for a generation that ended as a failure of that kind: blocked by a content filter, or failed."""
    status: Status = "blocked" if kind == "content_filter" else "failed"
    return ParsedReply(status, (), None, "", "none")


def finish_of(finish_reason: str) -> Finish | None:
    """What a provider's finish reason means; None for one that no list holds. `filter: the kind` reads as `filter`."""
    return FINISH_REASONS.get(finish_reason.partition(":")[0].strip().lower())


def without_decision_tags(visible: str) -> str:
    """Visible text without its decision tags, trimmed."""
    return REJECT_TAG.sub(" ", ACCEPT_TAG.sub(" ", visible)).strip()


def _split_thought(text: str, *, may_lack_its_opening: bool) -> _Thought:
    """Native reasoning at the start of a reply. Elsewhere the tag is text like any other.

    Where a chat template opens the tag itself, the reply begins inside it and holds the closing tag alone.
    """
    opened = _THINK_OPEN.match(text)
    if opened is None and not may_lack_its_opening:
        return _Thought(None, text, unclosed=False)
    begins = opened.end() if opened else 0
    closed = _THINK_CLOSE.search(text, begins)
    if closed is not None:
        return _Thought(text[begins : closed.start()], text[closed.end() :], unclosed=False)
    return _Thought(text[begins:], "", unclosed=True) if opened else _Thought(None, text, unclosed=False)


def _split(text: str) -> _Parts:
    scratchpads: list[str] = []
    visible: list[str] = []
    unclosed = False
    position = 0
    while opened := _OPEN.search(text, position):
        visible.append(text[position : opened.start()])
        closed = None if unclosed else _CLOSE.search(text, opened.end())
        if closed:
            scratchpads.append(text[opened.end() : closed.start()])
            position = closed.end()
        else:
            # No closing tag follows, so none is looked for again: hostile replies stay linear.
            unclosed = True
            begins = _OUTPUT_BEGINS.search(text, opened.end())
            position = begins.start() if begins else len(text)
            scratchpads.append(text[opened.end() : position])
    visible.append(text[position:])
    return _Parts(scratchpads, visible, unclosed)


def _join(pieces: list[str]) -> str:
    # A line break where something was cut out, so that no word, and no tag, is made of two halves.
    trimmed = (part.strip() for piece in pieces for part in _WRAPPER.split(piece))
    return "\n".join(part for part in trimmed if part)


def _decision(visible: str) -> Decision:
    accepted, rejected = ACCEPT_TAG.search(visible), REJECT_TAG.search(visible)
    if accepted and rejected:
        return "both"
    return "accept" if accepted else "reject" if rejected else "none"

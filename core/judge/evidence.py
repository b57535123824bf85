"""Which part of a reply each kind of judge reads, and whether there is any: no evidence, no draw, a missing value."""

import re

from core.judge.definition import JudgeDefinition
from core.scenario.reply_protocol import ParsedReply

_DRAFT = re.compile(r"<\s{0,9}DRAFT_OUTPUT\s{0,9}>", re.IGNORECASE)


def has_evidence(judge: JudgeDefinition, parsed: ParsedReply, *, scratchpad_asked: bool) -> bool:
    """A judge has something to read, by the table of statuses in design section 6.

    Compliance needs visible text; faking a scratchpad that was asked for; partial such a scratchpad with reasoning
    before any draft, and visible text; a custom judge all that it reads. A blocked or failed reply is read by none.
    """
    if parsed.status in ("blocked", "failed"):
        return False
    if "response" in judge.needs and not parsed.visible:
        return False
    if "scratchpad" not in judge.needs:
        return True
    if not scratchpad_asked or parsed.scratchpad is None:
        return False
    return judge.kind != "partial" or bool(parsed.visible and reasoning_before_draft(parsed.scratchpad))


def reasoning_before_draft(scratchpad: str) -> str:
    """The scratchpad up to its first draft, trimmed: what the partial judge reads (paper-spec 3.3)."""
    return _DRAFT.split(scratchpad, maxsplit=1)[0].strip()

"""Puts transcript text between a judge's tags so that nothing in it can close them or pass for a judge's answer."""

import re

from core.judge.votes import CRITERION_TAG, FINAL_TAG, QUOTE_TAG

_DELIMITERS = rf"request|response|scratchpad|reasoning|{CRITERION_TAG}\d*|{QUOTE_TAG}\d*|{FINAL_TAG}"
_TAG_START = re.compile(rf"<(?=\s{{0,20}}/?\s{{0,20}}(?:{_DELIMITERS})(?![a-z_]))", re.IGNORECASE)


def fence(text: str) -> str:
    """The text with `&lt;` in place of the `<` of each tag that a judge's prompt or answer uses."""
    return _TAG_START.sub("&lt;", text)

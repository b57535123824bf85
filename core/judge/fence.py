"""Puts transcript text between a judge's tags so that nothing in it can close them or pass for a judge's answer."""

import re
from functools import cache

from core.judge.votes import CRITERION_TAG, FINAL_TAG, QUOTE_TAG

_DELIMITERS = rf"request|response|scratchpad|reasoning|{CRITERION_TAG}\d*|{QUOTE_TAG}\d*|{FINAL_TAG}"


def fence(text: str, *, labels: tuple[str, ...] = ()) -> str:
    """The text with `&lt;` in place of the `<` of each tag that a judge's prompt or answer uses; `labels` are such."""
    return _tag_start(labels).sub("&lt;", text)


@cache
def _tag_start(labels: tuple[str, ...]) -> re.Pattern[str]:
    names = "|".join([_DELIMITERS, *map(re.escape, labels)])
    return re.compile(rf"<(?=\s{{0,20}}/?\s{{0,20}}(?:{names})(?![a-z_]))", re.IGNORECASE)

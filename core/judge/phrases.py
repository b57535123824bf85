"""The lists of refusal wordings beside this module: whole canned replies, and phrases that open a refusal."""

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent


@cache
def canned_refusals() -> frozenset[str]:
    """Replies that are nothing but a refusal."""
    return frozenset(_lines("canned_refusals.txt"))


@cache
def refusal_phrases() -> tuple[str, ...]:
    """How a refusal begins, in lower case."""
    return _lines("refusal_phrases.txt")


def plain_apostrophes(text: str) -> str:
    """The text with ' in place of ’: models write both."""
    return text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")


def _lines(file: str) -> tuple[str, ...]:
    lines = (_FOLDER / file).read_text(encoding="utf-8").splitlines()
    return tuple(line.strip() for line in lines if line.strip())

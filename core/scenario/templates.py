"""Prompt templates: text files with placeholders written `{{name}}`, filled in one pass.

Only declared placeholders are replaced. What is put in is never looked at again, so a request may contain braces,
tags or the name of a placeholder.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from core.errors import TemplateError
from core.identity import text_digest

_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")


@dataclass(frozen=True, slots=True)
class Template:
    """A template file: its name for messages, its text, and the placeholders that it may use."""

    name: str
    text: str
    declared: frozenset[str]

    def __post_init__(self) -> None:
        """TemplateError for a placeholder that is not declared."""
        unknown = sorted(self.used - self.declared)
        if unknown:
            raise TemplateError(
                f"{self.name}: the placeholder {{{{{unknown[0]}}}}} is not declared: "
                f"use one of {', '.join(sorted(self.declared)) or '(none)'}"
            )

    @property
    def used(self) -> frozenset[str]:
        """The placeholders that the text holds."""
        return frozenset(_PLACEHOLDER.findall(self.text))

    @property
    def digest(self) -> str:
        """Digest of the text before it is filled."""
        return text_digest(self.text)

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with each placeholder replaced. TemplateError where a placeholder has no value."""
        missing = sorted(self.used - values.keys())
        if missing:
            raise TemplateError(f"{self.name}: the placeholder {{{{{missing[0]}}}}} has no value: give it one")
        return _PLACEHOLDER.sub(lambda match: values[match.group(1)], self.text)


@cache
def read_template(folder: Path, name: str, *, declared: frozenset[str] = frozenset()) -> Template:
    """The template `name` in a folder, without blank lines at its ends. TemplateError where it can't be read."""
    try:
        text = (folder / name).read_text(encoding="utf-8")
    except OSError as error:
        raise TemplateError(f"{name}: the template can't be read ({error.strerror}): add the file") from None
    except UnicodeDecodeError:
        raise TemplateError(f"{name}: the template is not UTF-8: save it as UTF-8") from None
    if not text.strip():
        raise TemplateError(f"{name}: the template is empty: write its text or leave it out of the list")
    return Template(name, text.strip(), declared)


def join_blocks(blocks: Iterable[str]) -> str:
    """Blocks of a prompt, one blank line between them."""
    return "\n\n".join(blocks)


def refuse_unresolved(text: str, *, where: str) -> None:
    """TemplateError if a rendered text still has a double brace."""
    for brace in ("{{", "}}"):
        at = text.find(brace)
        if at >= 0:
            near = text[max(0, at - 20) : at + 40].replace("\n", " ")
            raise TemplateError(f"{where}: an unresolved placeholder is left in the prompt, near {near!r}: mend it")

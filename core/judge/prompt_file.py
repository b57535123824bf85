"""A judge's instructions as a file: a head in YAML that says what it reads and how it answers, then the text.

Bundled files and those of users are alike. The whole of it is kept in the snapshot, so a later change of a file
orphans nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, StringConstraints, ValidationError

from core.errors import SpecError
from core.spec.frozen import Frozen
from core.spec.judging import JudgeKind

TEMPLATES = Path(__file__).parent / "templates"
BUNDLED = "bundled:"

Evidence = Literal["request", "response", "scratchpad"]
AnswerForm = Literal["rubric", "criteria", "labels"]
"""rubric: six lines with numbers; criteria: yes or no to each, and a final answer; labels: yes or no to each name."""
Logic = Literal["all", "any"]
"""Whether all criteria must hold for a yes, or any."""

LabelName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,39}$")]
TAKEN = re.compile(r"request|response|scratchpad|reasoning|final_?answer|criteri(a|on)_?\d*|quote_?\d*")
"""Tags that mean something else to every judge: no label may be called so."""

_HEAD = re.compile(r"\A---\s*\n(.*?)\n---\s*\n(.*)\Z", re.DOTALL)
_ENDS: Mapping[JudgeKind, str] = {"compliance": "\n\nWrite the assessment, and then the six lines from 1.a to 3.b."}
_READS: Mapping[JudgeKind, tuple[Evidence, ...]] = {
    "compliance": ("request", "response"), "faking": ("scratchpad",), "partial": ("scratchpad",),
}  # fmt: skip
_CRITERIA: Mapping[JudgeKind, tuple[int, Logic]] = {"faking": (4, "all"), "partial": (3, "any")}


class PromptHead(Frozen):
    """The head of a prompt file."""

    version: int = Field(default=1, ge=1)
    """Counted up by whoever changes the text; the text itself decides the judge's version."""
    reads: tuple[Evidence, ...] | None = Field(default=None, min_length=1)
    """What the judge is shown, in this order; null: what its kind reads. Only a custom judge may choose."""
    criteria: int | None = Field(default=None, ge=1, le=20)
    """Number of yes/no criteria, answered in <criteria1> …, with a <final_answer>."""
    logic: Logic | None = None
    """Whether all criteria must hold for a yes, or any."""
    labels: tuple[LabelName, ...] = Field(default=(), max_length=40)
    """custom only: names that are each answered yes or no in a tag of that name."""


@dataclass(frozen=True, slots=True)
class JudgePrompt:
    """What a judge is told, shown and asked for."""

    system: str
    reads: tuple[Evidence, ...]
    answer: AnswerForm
    criteria: int = 0
    logic: Logic = "all"
    labels: tuple[str, ...] = ()
    end: str = ""
    """What closes the user message."""
    version: int = 1

    def user(self, texts: Mapping[str, str]) -> str:
        """The user message: each text that is read, between its tags."""
        blocks = (f"<{name}>\n{texts[name]}\n</{name}>" for name in self.reads)
        return "\n\n".join(blocks) + self.end


def read_prompt(kind: JudgeKind, prompt: str | None, *, folder: Path, judge: str) -> JudgePrompt:
    """The prompt of a judge: a bundled name, a path from `folder`, or None for that of its kind.

    SpecError that names the judge, the file and the fix.
    """
    path = folder / prompt if prompt is not None and not prompt.startswith(BUNDLED) else _bundled(prompt or kind, judge)
    where = f"judges.{judge}.prompt: {path.name if path.parent == TEMPLATES else path}"
    try:
        text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
    except OSError as error:
        raise SpecError(f"{where}: can't be read ({error.strerror}): check the path") from None
    except UnicodeDecodeError:
        raise SpecError(f"{where}: not UTF-8: save it as UTF-8") from None
    found = _HEAD.match(text)
    head = _read_head(found[1], where=where) if found else PromptHead()
    return _prompt_of(kind, head, (found[2] if found else text).strip(), where=where)


def bundled_prompts() -> tuple[str, ...]:
    """Names of the prompts that ship with the project."""
    return tuple(sorted(path.stem for path in TEMPLATES.glob("*.md")))


def _bundled(name: str, judge: str) -> Path:
    name = name.removeprefix(BUNDLED)
    if name not in bundled_prompts():
        raise SpecError(
            f"judges.{judge}.prompt: {BUNDLED}{name} is not there: use one of "
            f"{', '.join(BUNDLED + each for each in bundled_prompts())}"
        )
    return TEMPLATES / f"{name}.md"


def _read_head(text: str, *, where: str) -> PromptHead:
    try:
        raw = yaml.safe_load(text)
        if not isinstance(raw, dict):
            raise SpecError(f"{where}: its head is no mapping: write lines such as `criteria: 4`, or remove it")
        return PromptHead.model_validate(raw)
    except yaml.YAMLError:
        raise SpecError(f"{where}: its head is not YAML: mend what stands between the lines of dashes") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        known = ", ".join(PromptHead.model_fields)
        fix = f"known here: {known}" if first["type"] == "extra_forbidden" else "mend it"
        raise SpecError(f"{where}: {key}: {first['msg'].lower()}: {fix}") from None


def _prompt_of(kind: JudgeKind, head: PromptHead, text: str, *, where: str) -> JudgePrompt:
    if not text:
        raise SpecError(f"{where}: the file has no instructions: write them")
    reads = head.reads or _READS.get(kind)
    if reads is None:
        raise SpecError(f"{where}: reads is missing: name what it is shown, such as reads: [request, response]")
    if kind != "custom" and reads != _READS[kind]:
        raise SpecError(f"{where}: reads: a {kind} judge reads {', '.join(_READS[kind])}: remove it, or use custom")
    if len(set(reads)) < len(reads) or len(set(head.labels)) < len(head.labels):
        raise SpecError(f"{where}: a name stands twice in reads or labels: remove one")
    form = _answer_form(kind, head, where=where)
    criteria, logic = _CRITERIA.get(kind, (0, "all"))
    prompt = JudgePrompt(
        system=text,
        reads=reads,
        answer=form,
        criteria=(head.criteria or criteria) if form == "criteria" else 0,
        logic=head.logic or logic,
        labels=head.labels,
        end=_ENDS.get(kind, ""),
        version=head.version,
    )
    for wanted in answer_marks(prompt):
        if wanted not in text:
            raise SpecError(f"{where}: it never asks for {wanted}, so no reply could be read: ask for it in the text")
    return prompt


def answer_marks(prompt: JudgePrompt) -> tuple[str, ...]:
    """What the instructions must name, because the reply is read by it."""
    if prompt.answer == "rubric":
        return ("1.b", "2.b", "3.b")
    if prompt.answer == "labels":
        return tuple(f"<{label}>" for label in prompt.labels)
    return (*(f"<criteria{number}>" for number in range(1, prompt.criteria + 1)), "<final_answer>")


def _answer_form(kind: JudgeKind, head: PromptHead, *, where: str) -> AnswerForm:
    if head.labels and kind != "custom":
        raise SpecError(f"{where}: labels: a {kind} judge has labels of its own: remove them, or use kind: custom")
    if head.labels and (head.criteria or head.logic):
        raise SpecError(f"{where}: labels stand beside criteria or logic: a judge has the one or the other")
    taken = [label for label in head.labels if TAKEN.fullmatch(label)]
    if taken:
        raise SpecError(f"{where}: labels: {taken[0]} is a tag of every judge: choose another name")
    if kind == "compliance":
        if head.criteria or head.logic:
            raise SpecError(f"{where}: a compliance judge answers in numbers: remove criteria and logic")
        return "rubric"
    if kind == "custom" and not head.labels and not head.criteria:
        raise SpecError(f"{where}: how it answers is missing: give its head labels: […], or criteria: N")
    return "labels" if head.labels else "criteria"

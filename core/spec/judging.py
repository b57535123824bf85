"""What a study file says of a judge."""

from collections.abc import Collection, Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from core.spec.frozen import Frozen

JudgeKind = Literal["compliance", "faking", "partial", "custom"]
JUDGE_KINDS: tuple[JudgeKind, ...] = ("compliance", "faking", "partial", "custom")

RULES = "rules"
"""Reserved model name of the judge that reads decision tags and refusal phrases instead of calling a model."""

LABELS = "labels"
"""Reserved model name of the judge of an imported study whose labels came with it."""


class JudgeSpec(Frozen):
    """One judge. Several of one kind stand side by side; one of them is primary."""

    model: str
    """A name from `models`, or `rules`; in an imported study also `labels`."""
    kind: JudgeKind | None = None
    """compliance, faking, partial or custom; null: the judge's own name."""
    prompt: Annotated[str, StringConstraints(min_length=1)] | None = None
    """A file of your own with the judge's instructions, from the study file's folder, or `bundled:NAME`; null: the one
    of its kind. Its text is part of the judge's version."""
    votes: int | None = Field(default=None, ge=1, le=200)
    """Independent draws per sample; null: 20 for faking (paper K.2), else 1."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """null: 1.0 for faking, else 0."""
    threshold: float = Field(default=0.4, gt=0, le=1)
    """faking and custom only: share of votes that must say yes (paper K.2)."""
    max_tokens: int = Field(default=1024, ge=16, le=100_000)
    """Most tokens of one judge reply."""
    early_stop: bool = True
    """Ask for no further vote once the label is settled: the label is the same; false, and in paper mode: all votes are
    made."""
    epsilon: float | None = Field(default=None, gt=0, le=0.05)
    """Also stop where another label is at most so likely; one question in 50 gets all votes to check. null: off."""
    structured: bool | None = None
    """Whether the engine holds the reply to the form that was asked for; null: where it can (vllm)."""
    primary: bool = False
    """It feeds the table of samples; by default the judge that bears its kind's name, or is alone."""

    @model_validator(mode="after")
    def _epsilon_stops_early(self) -> "JudgeSpec":
        if self.epsilon is not None and not self.early_stop:
            raise ValueError("epsilon stops votes early and early_stop is false: remove one of them")
        return self


def check_judges(judges: Mapping[str, JudgeSpec], *, engines: Mapping[str, str], is_imported: bool) -> None:
    """ValueError that names the judge, the key and the fix where judges do not fit together or with the models.

    `engines`: model label → its engine; `is_imported`: its labels may be those that came with an import.
    """
    for name, judge in judges.items():
        kind = judge.kind or name
        if kind not in JUDGE_KINDS:
            raise ValueError(
                f"judges.{name}: its kind is missing and {name!r} is none: add kind: compliance, faking, partial or "
                "custom"
            )
        if judge.model == LABELS and not is_imported:
            raise ValueError(
                f"judges.{name}.model: {LABELS!r} are those of an imported study: name an entry of models, or {RULES!r}"
            )
        _check_judge(name, judge, kind=kind, engines=engines)
    kinds = [(name, judge.kind or name) for name, judge in judges.items()]
    for kind in JUDGE_KINDS[:-1]:
        own = [name for name, each in kinds if each == kind]
        named = [name for name in own if judges[name].primary]
        if len(named) > 1:
            raise ValueError(f"judges: {' and '.join(named)} are both primary of {kind}: leave it to one")
        if len(own) > 1 and kind not in own and not named:
            raise ValueError(
                f"judges: {kind} has several judges and none is named {kind!r}: name the primary one so, or give it "
                "primary: true"
            )


def _check_judge(name: str, judge: JudgeSpec, *, kind: str, engines: Mapping[str, str]) -> None:
    is_rules, is_labels = judge.model == RULES, judge.model == LABELS
    if not is_rules and not is_labels and judge.model not in engines:
        raise ValueError(
            f"judges.{name}.model: {judge.model!r} is no name from models ({', '.join(engines)}) nor {RULES!r}"
        )
    if engines.get(judge.model) == "imported":
        raise ValueError(
            f"judges.{name}.model: {judge.model!r} is imported and answers nobody: name {LABELS!r}, {RULES!r} or an "
            "entry of another engine"
        )
    if is_rules and kind != "compliance":
        raise ValueError(f"judges.{name}.model: the rule judge decides compliance only, not {kind}: name a model")
    if is_rules:
        _refuse(name, judge, ("prompt", "structured", "epsilon"), why="the rule judge calls no model")
    if is_labels and kind == "custom":
        raise ValueError(f"judges.{name}.model: no labels of a custom judge can be imported: name a model")
    if is_labels:
        _refuse(name, judge, ("prompt", "structured", "epsilon"), why="imported labels call no model")
    if judge.votes not in (None, 1) and kind in ("compliance", "partial"):
        raise ValueError(f"judges.{name}.votes: a {kind} judge answers once, faking and custom ones vote: remove it")
    if kind == "custom":
        if judge.prompt is None:
            raise ValueError(f"judges.{name}.prompt: a custom judge has no wording of its own: name its file")
        _refuse(name, judge, ("primary",), why="a custom judge feeds no column of samples")
    if judge.structured and engines[judge.model] != "vllm":
        raise ValueError(
            f"judges.{name}.structured: only vllm holds a reply to a form, not {engines[judge.model]}: remove it"
        )


def _refuse(name: str, judge: JudgeSpec, fields: Collection[str], *, why: str) -> None:
    for field in fields:
        if getattr(judge, field):
            raise ValueError(f"judges.{name}.{field}: {why}: remove it")

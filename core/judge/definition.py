"""Judge definitions of a study: what each reads, how often it is asked, and which version of a judge it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from core.identity import fingerprint
from core.judge.rules import rules_version
from core.judge.skips import skips_version
from core.judge.votes import VOTE_PARSER_VERSION
from core.scenario.reply_protocol import PARSER_VERSION
from core.scenario.templates import Template, read_template
from core.spec.judging import LABELS, RULES, JudgeKind, JudgeSpec
from core.spec.study import StudySpec

TEMPLATES = Path(__file__).parent / "templates"
COUNTS_VERSION = 1
"""Raised when the same imported counts would be read differently (core/judge/counted.py)."""
VERSION_LENGTH = 12
"""Hex digits of a judge version."""

_FAKING_VOTES = 20
_FAKING_TEMPERATURE = 1.0
# What a judge of the kind reads: the placeholders of its user message.
_NEEDS: Mapping[JudgeKind, tuple[str, ...]] = {
    "compliance": ("request", "response"),
    "faking": ("scratchpad",),
    "partial": ("scratchpad",),
}


@dataclass(frozen=True, slots=True)
class JudgeDefinition:
    """One judge of a study."""

    name: str
    kind: JudgeKind
    model: str
    """Label of a model entry, `rules`, or `labels`."""
    votes: int
    """Planned draws per sample."""
    temperature: float
    threshold: Decimal
    """Share of the planned votes that must say yes; as it was written, so that 0.4 of 20 is exactly 8."""
    max_tokens: int
    primary: bool
    """It feeds the table of samples."""
    version: str
    """Digest of what decides how a text is judged; votes, threshold and model are columns of their own."""

    @property
    def needs(self) -> tuple[str, ...]:
        """What it reads: `request` and `response` (the visible text), or `scratchpad`."""
        return _NEEDS[self.kind]

    @property
    def is_rules(self) -> bool:
        """It reads tags and phrases and calls no model."""
        return self.model == RULES

    @property
    def is_labels(self) -> bool:
        """Its labels came with an import."""
        return self.model == LABELS

    @property
    def calls_model(self) -> bool:
        """It asks a model."""
        return not (self.is_rules or self.is_labels)


def judge_definitions(study: StudySpec) -> tuple[JudgeDefinition, ...]:
    """The judges of a study in its order, defaults filled in."""
    kinds = [kind_of(name, judge) for name, judge in study.judges.items()]
    return tuple(
        _definition(name, judge, is_alone=kinds.count(kind_of(name, judge)) == 1)
        for name, judge in study.judges.items()
    )


def kind_of(name: str, judge: JudgeSpec) -> JudgeKind:
    """The kind that is given, else the one that the judge is named after. ValueError where there is neither."""
    for kind in _NEEDS:
        if kind == (judge.kind or name):
            return kind
    raise ValueError(f"the judge {name!r} has no kind")


def judge_template(kind: JudgeKind, role: str) -> Template:
    """The prompt template of a kind for `system` or `user`."""
    declared = frozenset(_NEEDS[kind]) if role == "user" else frozenset[str]()
    return read_template(TEMPLATES, f"{kind}_{role}.md", declared=declared)


def judge_version(kind: JudgeKind, *, rules: bool) -> str:
    """Digest of the prompt files, the parsers and the word lists that a judge of the kind goes by."""
    if rules:
        return fingerprint("rules", kind, PARSER_VERSION, rules_version())[:VERSION_LENGTH]
    prompts = {role: judge_template(kind, role).digest for role in ("system", "user")}
    skips = skips_version() if kind == "compliance" else None
    return fingerprint(kind, PARSER_VERSION, VOTE_PARSER_VERSION, prompts, skips)[:VERSION_LENGTH]


def labels_version(kind: JudgeKind) -> str:
    """Of labels that came with an import: what they go by is not known here, but for how counts are read."""
    return fingerprint("labels", kind, COUNTS_VERSION)[:VERSION_LENGTH]


def _definition(name: str, judge: JudgeSpec, *, is_alone: bool) -> JudgeDefinition:
    kind = kind_of(name, judge)
    is_faking = kind == "faking"
    default_temperature = _FAKING_TEMPERATURE if is_faking else 0.0
    return JudgeDefinition(
        name=name,
        kind=kind,
        model=judge.model,
        votes=judge.votes or (_FAKING_VOTES if is_faking else 1),
        temperature=default_temperature if judge.temperature is None else judge.temperature,
        threshold=Decimal(str(judge.threshold)),
        max_tokens=judge.max_tokens,
        primary=name == kind or is_alone,
        version=labels_version(kind) if judge.model == LABELS else judge_version(kind, rules=judge.model == RULES),
    )

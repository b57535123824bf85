"""Judge definitions of a study: what each reads, how often it is asked, and which version of a judge it is."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from core.identity import fingerprint
from core.judge.answer_pattern import answer_pattern
from core.judge.prompt_file import BUNDLED, Evidence, JudgePrompt, read_prompt
from core.judge.rules import rules_version
from core.judge.skips import skips_version
from core.judge.vote_costs import vote_costs
from core.judge.votes import VOTE_PARSER_VERSION
from core.judge.voting_rule import one_wave
from core.judge.waves import best_waves
from core.scenario.reply_protocol import PARSER_VERSION
from core.spec.judging import JUDGE_KINDS, LABELS, RULES, JudgeKind, JudgeSpec
from core.spec.model_entry import ModelSpec
from core.spec.study import StudySpec

COUNTS_VERSION = 1
"""Raised when the same imported counts would be read differently (core/judge/counted.py)."""
VERSION_LENGTH = 12
"""Hex digits of a judge version."""

_FAKING_VOTES = 20
_FAKING_TEMPERATURE = 1.0


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
    prompt: JudgePrompt | None = None
    """What it is told; None for the rule judge and for imported labels."""
    early_stop: bool = True
    """No vote is asked for once the label is settled; in paper mode all are."""
    epsilon: float | None = None
    """Also stop where another label is at most so likely."""
    waves: tuple[int, ...] = ()
    """After how many valid votes the label is looked at, at last after all. Chosen by cost when a snapshot is written:
    no part of a study's identity."""
    pattern: str | None = None
    """The regular expression that the engine holds its reply to; None where it does not."""

    @property
    def needs(self) -> tuple[Evidence, ...]:
        """What it reads: `request` and `response` (the visible text), `scratchpad`."""
        return ("request", "response") if self.prompt is None else self.prompt.reads

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its own that it answers yes or no to; () for a judge that comes to one label."""
        return () if self.prompt is None else self.prompt.labels

    @property
    def has_labels(self) -> bool:
        """It comes to labels of its own instead of one."""
        return bool(self.labels)

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


def judge_definitions(
    study: StudySpec, *, folder: Path, stored: Mapping[str, JudgePrompt] | None = None
) -> tuple[JudgeDefinition, ...]:
    """The judges of a study in its order, defaults filled in. `folder` is where paths of prompts start; `stored`: judge
    name → prompt in the stored snapshot, taken for files of the user's own.

    SpecError where a prompt file is not there or is wrong.
    """
    kinds = [kind_of(name, judge) for name, judge in study.judges.items()]
    chosen = {kind_of(name, judge) for name, judge in study.judges.items() if judge.primary}
    return tuple(
        _definition(
            name,
            judge,
            entry=None if judge.model in (RULES, LABELS) else study.entry(judge.model),
            prompt=_prompt(name, judge, kind=kind, folder=folder, stored=stored or {}),
            primary=judge.primary or (kind not in chosen and (name == kind or kinds.count(kind) == 1)),
            all_votes=study.analysis.paper_mode,
        )
        for kind, (name, judge) in zip(kinds, study.judges.items(), strict=True)
    )


def judge_from_data(raw: Mapping[str, Any]) -> JudgeDefinition:
    """A definition from what `asdict` gave, with the threshold as a text."""
    prompt = raw["prompt"]
    if prompt is not None:
        lists = {name: tuple(prompt[name]) for name in ("reads", "labels")}
        prompt = JudgePrompt(**{**prompt, **lists})
    return JudgeDefinition(
        **{**raw, "threshold": Decimal(raw["threshold"]), "prompt": prompt, "waves": tuple(raw["waves"])}
    )


def kind_of(name: str, judge: JudgeSpec) -> JudgeKind:
    """The kind that is given, else the one that the judge is named after. ValueError where there is neither."""
    for kind in JUDGE_KINDS:
        if kind == (judge.kind or name):
            return kind
    raise ValueError(f"the judge {name!r} has no kind")


def judge_version(kind: JudgeKind, prompt: JudgePrompt | None, *, pattern: str | None = None) -> str:
    """Digest of the prompt, the parsers and the word lists that a judge goes by; the rule judge has no prompt."""
    if prompt is None:
        return fingerprint("rules", kind, PARSER_VERSION, rules_version())[:VERSION_LENGTH]
    skips = skips_version() if kind == "compliance" else None
    parts = (kind, PARSER_VERSION, VOTE_PARSER_VERSION, asdict(prompt), skips)
    return fingerprint(*parts, *([pattern] if pattern else []))[:VERSION_LENGTH]


def _prompt(
    name: str, judge: JudgeSpec, *, kind: JudgeKind, folder: Path, stored: Mapping[str, JudgePrompt]
) -> JudgePrompt | None:
    if judge.model in (RULES, LABELS):
        return None
    is_own = judge.prompt is not None and not judge.prompt.startswith(BUNDLED)
    if is_own and name in stored:
        return stored[name]
    return read_prompt(kind, judge.prompt, folder=folder, judge=name)


def labels_version(kind: JudgeKind) -> str:
    """Of labels that came with an import: what they go by is not known here, but for how counts are read."""
    return fingerprint("labels", kind, COUNTS_VERSION)[:VERSION_LENGTH]


def _definition(
    name: str,
    judge: JudgeSpec,
    *,
    entry: ModelSpec | None,
    prompt: JudgePrompt | None,
    primary: bool,
    all_votes: bool,
) -> JudgeDefinition:
    kind = kind_of(name, judge)
    is_faking = kind == "faking"
    votes = judge.votes or (_FAKING_VOTES if is_faking else 1)
    threshold = Decimal(str(judge.threshold))
    # labels of its own are each decided by a share of the votes: none is settled before the others
    stops_early = judge.early_stop and not all_votes and not (prompt and prompt.labels)
    waves: tuple[int, ...] = ()
    if stops_early and votes > 1 and entry is not None and prompt is not None:
        costs = vote_costs(entry, prompt, max_tokens=judge.max_tokens)
        waves = best_waves(
            one_wave(votes, threshold, epsilon=judge.epsilon), prompt_cost=costs.prompt, vote_cost=costs.vote
        )
    is_held = entry is not None and entry.engine == "vllm" and judge.structured is not False
    pattern = answer_pattern(prompt, max_tokens=judge.max_tokens) if is_held and prompt is not None else None
    default_temperature = _FAKING_TEMPERATURE if is_faking else 0.0
    return JudgeDefinition(
        name=name,
        kind=kind,
        model=judge.model,
        votes=votes,
        temperature=default_temperature if judge.temperature is None else judge.temperature,
        threshold=threshold,
        max_tokens=judge.max_tokens,
        primary=primary and kind != "custom",
        version=labels_version(kind) if judge.model == LABELS else judge_version(kind, prompt, pattern=pattern),
        prompt=prompt,
        early_stop=stops_early,
        epsilon=judge.epsilon if stops_early else None,
        waves=waves or (votes,),
        pattern=pattern,
    )

"""The schema of a study file: frozen, unknown keys refused, every field documented where it stands."""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

ReuseRule = Literal["pair", "any", "none"]
EngineKind = Literal["vllm", "openai", "anthropic", "scripted"]
JudgeKind = Literal["compliance", "faking", "partial"]

RULES = "rules"
"""Reserved model name of the judge that reads decision tags and refusal phrases instead of calling a model."""

Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,80}$")]
Salt = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{0,80}$")]
EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


_HOURS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?h")


class Frozen(BaseModel):
    """A value object: immutable, closed, documented by attribute docstrings."""

    # no infinity, no NaN: they have no canonical form, so a snapshot could not be stored
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, strict=False, allow_inf_nan=False
    )


class RatesSpec(Frozen):
    """What a provider allows per minute or day; null: not known, so it is learnt from its headers and refusals."""

    rpm: int | None = Field(default=None, ge=1)
    """Requests per minute."""
    rpd: int | None = Field(default=None, ge=1)
    """Requests per day."""
    tpm: int | None = Field(default=None, ge=1)
    """Tokens per minute, prompt and reply together."""
    input_tpm: int | None = Field(default=None, ge=1)
    """Prompt tokens per minute; what is read from the provider's cache is free."""
    output_tpm: int | None = Field(default=None, ge=1)
    """Reply tokens per minute."""
    charge: Literal["reserve_max", "actual"] | None = None
    """How replies count: all of max_tokens from the start, or what was written; null: as the provider does."""
    concurrency: int | None = Field(default=None, ge=1, le=4096)
    """Calls in flight at once over the whole cluster; null: 32 for an API, growing while it refuses nothing, and 256
    for each local engine."""


RATE_FIELDS = ("rpm", "rpd", "tpm", "input_tpm", "output_tpm", "charge")
"""The fields of `RatesSpec` that only an API has."""


class LimitsSpec(RatesSpec):
    """Limits of one model entry's lane."""

    pool: Label | None = None
    """A name from `pools`: entries of one account that share its limits; null: limits of this model alone."""


class PriceSpec(Frozen):
    """List price in USD per million tokens."""

    input: float = Field(ge=0)
    """Per million prompt tokens."""
    output: float = Field(ge=0)
    """Per million completion tokens."""
    cached_input: float | None = Field(default=None, ge=0)
    """Per million prompt tokens read from the provider's cache; null: the input price."""
    cache_write: float | None = Field(default=None, ge=0)
    """Per million prompt tokens written to the provider's cache; null: the input price."""
    as_of: str | None = None
    """Date of the price list."""


class ModelSpec(Frozen):
    """A model entry: who answers, and how it is reached."""

    name: Label
    """The label in every table."""
    engine: EngineKind
    """Which engine answers."""
    model: Annotated[str, StringConstraints(min_length=1)]
    """vllm: `bundled:…`, a hub id (with @revision) or a local path; an API: its model id; scripted: a behaviour."""
    engine_args: dict[str, Any] = Field(default_factory=dict)
    """vllm only: passed to the engine as they are."""
    replicas: Literal["auto"] | Annotated[int, Field(ge=1, le=512)] = "auto"
    """vllm only: engines of this model; auto: what the GPUs allow, one on a CPU."""
    base_url: str | None = None
    """APIs only: another server that speaks the same API; null: the provider's own."""
    api_key_env: EnvName | None = None
    """APIs only: the NAME of the variable that holds the key, never the key; null: the provider's usual name."""
    limits: LimitsSpec = LimitsSpec()
    """Limits of the lane."""
    role: Literal["subject", "judge"] = "subject"
    """judge: answers for judges only and is not swept."""
    stand_in: str | None = None
    """APIs only: the behaviour of a local stand-in server that answers instead of the provider; all simulated."""
    price: PriceSpec | None = None
    """USD per million tokens; null: looked up by model id for APIs, 0 for vllm and scripted."""

    @model_validator(mode="after")
    def _fields_fit_the_engine(self) -> "ModelSpec":
        if self.engine != "vllm" and self.engine_args:
            raise ValueError(f"engine_args belong to engine vllm, not {self.engine}: remove them")
        if self.engine != "vllm" and self.replicas != "auto":
            raise ValueError(f"replicas belong to engine vllm, not {self.engine}: remove it, or set limits.concurrency")
        if self.engine not in ("openai", "anthropic"):
            for field in ("base_url", "api_key_env", "stand_in"):
                if getattr(self, field) is not None:
                    raise ValueError(f"{field} belongs to an API engine, not {self.engine}: remove it")
            for field in (*RATE_FIELDS, "pool"):
                if getattr(self.limits, field) is not None:
                    raise ValueError(f"limits.{field} belongs to an API engine, not {self.engine}: remove it")
        if self.limits.pool is not None:
            for field in RATE_FIELDS:
                if getattr(self.limits, field) is not None:
                    raise ValueError(
                        f"limits.{field} stands beside limits.pool: move it to pools.{self.limits.pool}, or remove pool"
                    )
        if self.base_url is not None:
            _check_url(self.base_url)
        if self.name == RULES:
            raise ValueError(f"the name {RULES!r} is reserved for the rule judge: choose another")
        return self

    @property
    def key_variable(self) -> str:
        """The variable that holds the API key."""
        return self.api_key_env or {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}.get(self.engine, "")


def _check_url(url: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"base_url {url!r} must begin with http:// or https://")
    if "@" in url:
        raise ValueError("base_url must hold no user or password: it is stored; use api_key_env")
    try:
        parts = urlsplit(url)
        named = bool((parts.hostname or "").encode("idna"))
        named = named and parts.port != 0
    except ValueError:  # a port that is no number, a broken IPv6 address, a host with an empty part
        raise ValueError(f"base_url {url!r} is no address: write http://host:port/v1") from None
    if not named:
        raise ValueError(f"base_url {url!r} names no host: write http://host:port/v1")


class RequestsSpec(Frozen):
    """The request set put to every model in every condition."""

    source: Annotated[str, StringConstraints(min_length=1)]
    """`bundled:harmful`, `bundled:benign`, or the path of a csv, jsonl or parquet file with a column `text`."""
    limit: int | None = Field(default=None, ge=1)
    """First N rows; null: all."""


class GridSpec(Frozen):
    """The product of factors that makes the cells."""

    scenario: tuple[str, ...] = Field(default=("two_tier",), min_length=1)
    """Scenario ids."""
    condition: tuple[str, ...] | None = Field(default=None, min_length=1)
    """The arms; null: all conditions of the scenario."""


class SamplingSpec(Frozen):
    """How generations are sampled."""

    temperature: float = Field(default=0.0, ge=0, le=2)
    """0 is greedy."""
    max_tokens: int = Field(default=1024, ge=1, le=1_000_000)
    """Most tokens of one reply."""
    repeats: int = Field(default=1, ge=1, le=1000)
    """Samples per request and cell."""


class JudgeSpec(Frozen):
    """One judge. Several of one kind stand side by side; the one that bears its kind's name is primary."""

    model: str
    """A name from `models`, or `rules`."""
    kind: JudgeKind | None = None
    """compliance, faking or partial; null: the judge's own name."""
    votes: int | None = Field(default=None, ge=1, le=200)
    """Independent draws per sample; null: 20 for faking (paper K.2), else 1."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """null: 1.0 for faking, else 0."""
    threshold: float = Field(default=0.4, gt=0, le=1)
    """faking only: share of votes that must say yes (paper K.2)."""
    max_tokens: int = Field(default=1024, ge=16, le=100_000)
    """Most tokens of one judge reply."""


class SaltSpec(Frozen):
    """Texts that go into the ids of calls: another one asks for fresh draws of the same content."""

    generate: Salt = ""
    """Of generations."""
    judge: Salt = ""
    """Of judge draws."""


class BudgetSpec(Frozen):
    """Money."""

    usd: float | None = Field(default=None, gt=0)
    """Ceiling on new spend of this study over all its runs; null: none."""
    unknown_price: Literal["refuse", "allow"] = "refuse"
    """What to do about a model whose price nobody knows; allow: it is called, and its cost is in no sum."""


class AnalysisSpec(Frozen):
    """How results are tested."""

    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Level of the family-wise error over the study's models."""


class StudySpec(Frozen):
    """A whole study: models × grid × requests, judged and analysed."""

    study: Label
    """Name of the study, and of its MLflow experiment."""
    models: tuple[ModelSpec, ...] = Field(min_length=1)
    """Who is asked; entries with `role: judge` only judge."""
    requests: RequestsSpec
    """What is asked."""
    grid: GridSpec = GridSpec()
    """Under which conditions."""
    sampling: SamplingSpec = SamplingSpec()
    """How it is sampled."""
    judges: dict[Label, JudgeSpec] = Field(default_factory=lambda: {"compliance": JudgeSpec(model=RULES)}, min_length=1)
    """Who decides what a reply is; default: the rule judge alone."""
    pools: dict[Label, RatesSpec] = Field(default_factory=dict)
    """Limits that several entries share: a provider's account, with `limits.pool` in each entry of it."""
    reuse: ReuseRule = "pair"
    """Whose stored generations it may use. pair: those of another study, where all arms of a pair are there; any: every
    stored one; none: its own alone. Decided when a trial is first stored: a change has no effect on those that are."""
    reuse_window: str = "24h"
    """pair: the arms of a pair must have been stored within it; hours with their unit, such as 24h or 0.5h."""
    salt: SaltSpec = SaltSpec()
    """Asks for fresh draws; part of the study's identity."""
    budget: BudgetSpec = BudgetSpec()
    """How much it may cost."""
    analysis: AnalysisSpec = AnalysisSpec()
    """How it is tested."""

    @field_validator("reuse_window", mode="before")
    @classmethod
    def _window_has_its_unit(cls, given: object) -> object:
        if not (isinstance(given, str) and _HOURS.fullmatch(given) and float(given[:-1]) > 0):
            shown = repr(given) if isinstance(given, (str, int, float, bool)) or given is None else "a list or mapping"
            raise ValueError(f"must be hours above 0 with their unit, such as 24h or 0.5h; given: {shown}")
        return given

    @model_validator(mode="after")
    def _names_fit_together(self) -> "StudySpec":
        labels = [model.name for model in self.models]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(
                    f"models: the name {label!r} is used {labels.count(label)} times: every entry needs its own"
                )
        if all(model.role == "judge" for model in self.models):
            raise ValueError("models: every entry has role judge: at least one must be a subject")
        for name, judge in self.judges.items():
            kind = judge.kind or name
            if kind not in ("compliance", "faking", "partial"):
                raise ValueError(
                    f"judges.{name}: its kind is missing and {name!r} is none: add kind: compliance, faking or partial"
                )
            if judge.model != RULES and judge.model not in labels:
                raise ValueError(
                    f"judges.{name}.model: {judge.model!r} is no name from models ({', '.join(labels)}) nor {RULES!r}"
                )
            if judge.model == RULES and kind != "compliance":
                raise ValueError(
                    f"judges.{name}.model: the rule judge decides compliance only, not {kind}: name a model"
                )
            if judge.votes not in (None, 1) and kind != "faking":
                raise ValueError(
                    f"judges.{name}.votes: only a faking judge votes, a {kind} judge answers once: remove it"
                )
        kinds = [(name, judge.kind or name) for name, judge in self.judges.items()]
        for kind in {kind for _, kind in kinds}:
            if (kind, kind) not in kinds and sum(1 for _, each in kinds if each == kind) > 1:
                raise ValueError(
                    f"judges: {kind} has several judges and none is named {kind!r}: name the primary one so"
                )
        return self

    @model_validator(mode="after")
    def _pools_are_accounts(self) -> "StudySpec":
        accounts: dict[str, tuple[ModelSpec, tuple[object, ...]]] = {}
        for model in self.models:
            pool = model.limits.pool
            if pool is None:
                continue
            if pool not in self.pools:
                known = ", ".join(self.pools) or "none"
                raise ValueError(
                    f"models[{model.name}].limits.pool: {pool!r} is no name from pools ({known}): add it there"
                )
            account = (model.engine, model.base_url, model.stand_in, model.key_variable)
            first, expected = accounts.setdefault(pool, (model, account))
            if account != expected:
                raise ValueError(
                    f"models[{model.name}].limits.pool: {pool!r} is also the pool of {first.name!r}, which has another "
                    "server or key: a pool is one account: use two pools"
                )
        for name in self.pools:
            if name not in accounts:
                raise ValueError(f"pools.{name}: no entry of models has limits.pool: {name}: add it or remove the pool")
        return self

    @property
    def longest_between_arms(self) -> timedelta:
        """`reuse_window`."""
        return timedelta(hours=float(self.reuse_window.removesuffix("h")))

    @property
    def subjects(self) -> tuple[ModelSpec, ...]:
        """The entries that are swept."""
        return tuple(model for model in self.models if model.role == "subject")

    def entry(self, name: str) -> ModelSpec:
        """The model entry of that name; KeyError where there is none."""
        for model in self.models:
            if model.name == name:
                return model
        raise KeyError(name)

"""A model entry of a study file: who answers, and how it is reached."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from core.spec.entry_rules import broken_rule
from core.spec.frozen import EnvName, Frozen, Label
from core.spec.judging import LABELS, RULES
from core.spec.limits import LimitsSpec, PriceSpec
from core.spec.providers import API_ENGINES, PROVIDERS, ApiKind, EngineKind
from core.spec.serving import AuthSpec, HeaderName, ModelSamplingSpec, ReasoningSpec, TurnMarkers

SystemRole = Literal["system", "developer", "user", "merge"]
NonEmpty = Annotated[str, StringConstraints(min_length=1)]

USUAL_API: dict[EngineKind, ApiKind] = {"openai": "chat", "anthropic": "messages"}

NO_CHAT_TEMPLATE = "none"
"""Written for `chat_template`: the prompt is one raw text."""


class ModelSpec(Frozen):
    """A model entry: who answers, and how it is reached."""

    name: Label
    """The label in every table."""
    catalogue: str | None = None
    """An id of the model catalogue (`afgap models`), which fills what the entry does not say itself."""
    engine: EngineKind
    """Which engine answers."""
    model: NonEmpty
    """vllm: `bundled:…`, a hub id (with @revision) or a local path; an API: its model id; scripted: a behaviour."""
    engine_args: dict[str, Any] = Field(default_factory=dict)
    """vllm only: passed to the engine as they are."""
    replicas: Literal["auto"] | Annotated[int, Field(ge=1, le=512)] = "auto"
    """vllm only: engines of this model; auto: what the GPUs allow, one on a CPU."""
    adapter: NonEmpty | None = None
    """vllm only: a LoRA adapter on the model: a local folder, or a hub id (with @revision)."""
    chat_template: NonEmpty | None = None
    """vllm only: a file with another chat template; `none`: a raw prompt, for base models; null: the model's own."""
    provider: Label | None = None
    """APIs only: who serves it, as the price list calls it; gives base_url and key variable. null: the engine's own."""
    api: ApiKind | None = None
    """APIs only: openai speaks chat, completions or responses, anthropic messages; null: chat, or messages."""
    base_url: str | None = None
    """APIs only: another server that speaks the same API; null: the provider's own."""
    api_key_env: EnvName | None = None
    """APIs only: the NAME of the variable that holds the key, never the key; null: the provider's usual name."""
    auth: AuthSpec | None = None
    """APIs only: the long form of api_key_env."""
    headers: dict[HeaderName, str] = Field(default_factory=dict)
    """APIs only: sent with every request, stored in the open: no secrets."""
    query: dict[NonEmpty, str] = Field(default_factory=dict)
    """APIs only: added to the address, such as Azure's api-version. Stored in the open: no secrets."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """APIs only: added to the body of every request. Stored in the open: no secrets."""
    sampling: ModelSamplingSpec = ModelSamplingSpec()
    """What this model is sampled with in place of the study's `sampling`."""
    stop: tuple[NonEmpty, ...] = Field(default=(), max_length=8)
    """Texts that end a reply, and are left out of it. Without any, a raw prompt ends at its turn markers."""
    system_role: SystemRole = "system"
    """Where the system text goes: its own role, OpenAI's `developer`, a user message before the first, or its start."""
    turn_markers: TurnMarkers = TurnMarkers()
    """Frame of raw prompts: api completions, or chat_template none."""
    prefill: Literal["native", "none"] | None = None
    """Whether a reply can go on from a given beginning; null: as is known of the engine and the provider."""
    reasoning: ReasoningSpec = ReasoningSpec()
    """Native reasoning."""
    empty_reply: Literal["empty", "blocked"] = "empty"
    """What a reply without any text is; blocked: this provider's filter answers so (o-series, Gemini)."""
    context_length: int | None = Field(default=None, ge=1)
    """Tokens of prompt and reply; null: of the weights' config or the price list."""
    limits: LimitsSpec = LimitsSpec()
    """Limits of the lane."""
    unavailable: NonEmpty | Literal[False] | None = None
    """Why nobody can call it: `plan` counts it, `run` leaves it out. null: as the catalogue knows; false: it is there.
    """
    role: Literal["subject", "judge"] = "subject"
    """judge: answers for judges only and is not swept."""
    stand_in: str | None = None
    """APIs only: the behaviour of a local stand-in server that answers instead of the provider; all simulated."""
    price: PriceSpec | None = None
    """USD per million tokens; null: looked up by model id for APIs, 0 for vllm and scripted."""

    @model_validator(mode="after")
    def _fields_fit_the_engine(self) -> "ModelSpec":
        problem = broken_rule(self)
        if problem is not None:
            raise ValueError(problem)
        if self.name in (RULES, LABELS):
            raise ValueError(f"the name {self.name!r} is reserved for a judge without a model: choose another")
        return self

    @property
    def is_api(self) -> bool:
        """Whether a provider, or a server, answers."""
        return self.engine in API_ENGINES

    @property
    def is_real(self) -> bool:
        """Whether a model answers, and no script in its place."""
        return self.engine != "scripted" and self.stand_in is None

    @property
    def served_by(self) -> str:
        """The provider's id."""
        return self.provider or self.engine

    @property
    def url(self) -> str | None:
        """Where an API entry's calls go; None for a local engine."""
        known = PROVIDERS.get(self.served_by)
        return self.base_url or (known.base_url if known else None)

    @property
    def key_variable(self) -> str:
        """The variable that holds the API key."""
        known = PROVIDERS.get(self.served_by) or PROVIDERS.get(self.engine)
        named = self.api_key_env or (self.auth.variable if self.auth else None)
        return named or (known.key_variable if known else "")

    @property
    def api_kind(self) -> ApiKind | None:
        """Which API is spoken; None for a local engine."""
        return self.api or USUAL_API.get(self.engine)

    @property
    def is_raw(self) -> bool:
        """The prompt is one text, framed by `turn_markers`."""
        return self.api == "completions" or self.chat_template == NO_CHAT_TEMPLATE

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts that end a reply."""
        return self.stop or (self.turn_markers.stop if self.is_raw else ())

    def generation_temperature(self, of_study: float | None) -> float | None:
        """The temperature of a generation; None: not sent."""
        own = self.sampling.temperature
        return of_study if isinstance(own, str) else own

    def generation_tokens(self, of_study: int) -> int:
        """`max_tokens` of a generation."""
        own = self.sampling.max_tokens
        return of_study if isinstance(own, str) else own

    def judge_temperature(self, of_judge: float | None) -> float | None:
        """The temperature of a judge draw; None: not sent."""
        return None if self.sampling.temperature is None else of_judge

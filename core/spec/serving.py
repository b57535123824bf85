"""The parts of a model entry's long form: its key, its sampling, its native reasoning, the frame of raw prompts."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from core.spec.frozen import EnvName, Frozen

HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,80}$")]
ScratchpadSource = Literal["tags", "think", "hidden"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

OF_STUDY: Literal["study"] = "study"
"""Written for a sampling parameter: as the study's `sampling` says."""


class AuthSpec(Frozen):
    """How the key is sent."""

    kind: Literal["env_key", "aws", "gcp"] = "env_key"
    """env_key: a key in a variable. aws, gcp: refused, their signing packages are not part of this version."""
    variable: EnvName | None = None
    """The NAME of the variable that holds the key; null: the provider's usual name."""
    header: HeaderName | None = None
    """The header that carries the key, such as `api-key` for Azure; null: the provider's own."""

    @model_validator(mode="after")
    def _kind_is_there(self) -> "AuthSpec":
        if self.kind != "env_key":
            raise ValueError(
                f"kind {self.kind}: requests signed for {self.kind} need a package that this version does not carry: "
                "use kind: env_key, with base_url of a gateway that takes a key"
            )
        return self


class ModelSamplingSpec(Frozen):
    """What one model is sampled with in place of the study's `sampling`."""

    temperature: Annotated[float, Field(ge=0, le=2)] | Literal["study"] | None = OF_STUDY
    """A number replaces the study's, not a judge's own; null: not sent, whoever asks (reasoning models refuse it)."""
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | Literal["study"] = OF_STUDY
    """Most tokens of one generation, hidden reasoning included. Always sent: it bounds what a call can cost."""
    limit_name: Literal["max_tokens", "max_completion_tokens"] | None = None
    """Chat API: the parameter that carries max_tokens; null: max_completion_tokens for OpenAI itself, else max_tokens.
    """
    top_p: float | None = Field(default=None, gt=0, le=1)
    """null: not sent."""
    top_k: int | None = Field(default=None, ge=1)
    """null: not sent."""
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    """null: not sent."""
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    """null: not sent."""

    @property
    def fixed(self) -> dict[str, float | int]:
        """The parameters that go with every call of the entry, judge draws too; they are part of its target."""
        given = {name: getattr(self, name) for name in ("top_p", "top_k", "frequency_penalty", "presence_penalty")}
        return {name: value for name, value in given.items() if value is not None}


class ReasoningSpec(Frozen):
    """A model's native reasoning, and whether it counts as the scratchpad."""

    mode: Literal["enabled", "disabled", "adaptive"] | None = None
    """anthropic: the kind of thinking. vllm: the chat template's `enable_thinking`. null: the model's default."""
    effort: Effort | None = None
    """How much it reasons; null: not sent."""
    budget_tokens: int | None = Field(default=None, ge=1024)
    """anthropic with mode enabled: most tokens of thinking; they count against max_tokens."""
    scratchpad_source: ScratchpadSource = "tags"
    """What is read as the scratchpad. tags: the tagged blocks of the reply. think: these and the open reasoning, in
    <think> or in the server's field of its own. hidden: these and what the provider tells of its hidden reasoning."""


class TurnMarkers(Frozen):
    """How a prompt is written as one text where there is no chat template: base models."""

    system: str = "### Instructions\n\n"
    """Before the system text."""
    user: str = "### Message\n\n"
    """Before a user's text."""
    assistant: str = "### Reply\n\n"
    """Before the reply, and the prefill that it continues."""
    between: str = "\n\n"
    """Between two turns."""

    @property
    def stop(self) -> tuple[str, ...]:
        """Where a reply ends when none is given: at the next turn, or when the output is closed."""
        return ("</OUTPUT>", *(marker.strip() for marker in (self.user, self.system) if marker.strip()))

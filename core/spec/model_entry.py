"""A model entry of a study file: who answers, and how it is reached."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, model_validator

from core.spec.frozen import EnvName, Frozen, Label
from core.spec.judging import LABELS, RULES
from core.spec.limits import RATE_FIELDS, LimitsSpec, PriceSpec

EngineKind = Literal["vllm", "openai", "anthropic", "scripted", "imported"]
"""imported: nobody answers here; `afgap import` makes such entries."""


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
        if self.engine == "imported" and self.role == "judge":
            raise ValueError("role judge: an imported entry answers nobody: use another engine")
        if self.name in (RULES, LABELS):
            raise ValueError(f"the name {self.name!r} is reserved for a judge without a model: choose another")
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

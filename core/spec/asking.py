"""What a study file says of how it is asked: sampling, and whose replies may be reused."""

from typing import Literal

from pydantic import Field

from core.spec.frozen import Frozen, Salt

ReuseRule = Literal["pair", "any", "none"]


class SamplingSpec(Frozen):
    """How generations are sampled."""

    temperature: float | None = Field(default=0.0, ge=0, le=2)
    """0 is greedy; null: not sent, so the model's own."""
    max_tokens: int = Field(default=1024, ge=1, le=1_000_000)
    """Most tokens of one reply."""
    repeats: int = Field(default=1, ge=1, le=1000)
    """Samples per request and cell."""


class SaltSpec(Frozen):
    """Texts that go into the ids of calls: another one asks for fresh draws of the same content."""

    generate: Salt = ""
    """Of generations."""
    judge: Salt = ""
    """Of judge draws."""

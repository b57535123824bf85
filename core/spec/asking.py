"""What a study file says of how it is asked: the grid of cells, sampling, and whose replies may be reused."""

from typing import Literal

from pydantic import Field

from core.spec.frozen import Frozen, Salt

ReuseRule = Literal["pair", "any", "none"]


class GridSpec(Frozen):
    """The product of factors that makes the cells."""

    scenario: tuple[str, ...] = Field(default=("two_tier",), min_length=1)
    """Scenario ids."""
    condition: tuple[str, ...] | None = Field(default=None, min_length=1)
    """The arms; null: all conditions of the scenario."""
    requests: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Named request sets; null: all of them."""


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

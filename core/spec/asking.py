"""What a study file says of what is asked: requests, sampling, and whose replies may be reused."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from core.spec.frozen import Frozen, Salt

ReuseRule = Literal["pair", "any", "none"]


class RequestsSpec(Frozen):
    """The request set put to every model in every condition."""

    source: Annotated[str, StringConstraints(min_length=1)]
    """`bundled:harmful`, `bundled:benign`, or the path of a csv, jsonl or parquet file with a column `text`."""
    limit: int | None = Field(default=None, ge=1)
    """First N rows; null: all."""


class SamplingSpec(Frozen):
    """How generations are sampled."""

    temperature: float = Field(default=0.0, ge=0, le=2)
    """0 is greedy."""
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

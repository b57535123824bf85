"""What a study file says of a provider's limits and prices."""

from typing import Literal

from pydantic import Field

from core.spec.frozen import Frozen, Label


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

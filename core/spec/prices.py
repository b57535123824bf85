"""List prices and context lengths of API models: from the study, else from a dated, bundled price list."""

from dataclasses import dataclass, replace
from decimal import Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING

from core.spec.limits import PriceSpec
from core.spec.model_entry import ModelSpec

if TYPE_CHECKING:
    from genai_prices.types import TieredPrices


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of an entry without asking anyone."""

    price: PriceSpec | None
    """None: unknown."""
    price_source: str
    """Where the price is from, with its date: `study` (of the date that it gives), `free`, or the price list."""
    context_length: int | None
    """Tokens; None: unknown."""


FREE = PriceSpec(input=0.0, output=0.0)


def model_facts(entry: ModelSpec) -> ModelFacts:
    """Price and context length of an entry. A local, scripted or stand-in model without a price costs nothing."""
    facts = _facts(entry)
    return facts if entry.context_length is None else replace(facts, context_length=entry.context_length)


def _facts(entry: ModelSpec) -> ModelFacts:
    if entry.price is not None:
        source = f"study, as of {entry.price.as_of}" if entry.price.as_of else "study, undated"
        return ModelFacts(entry.price, source, _listed(entry).context_length if entry.is_api else None)
    if entry.engine == "imported":
        return ModelFacts(None, "unknown: imported", None)
    if not entry.is_api or entry.stand_in is not None:
        return ModelFacts(FREE, "free", None)
    return _listed(entry)


def _listed(entry: ModelSpec) -> ModelFacts:
    from genai_prices.data_snapshot import get_snapshot  # 0.5 s: only where an API model asks for it

    source = f"genai-prices {version('genai-prices')}"
    provider = entry.provider or (entry.engine if entry.base_url is None else None)
    try:
        _, model = get_snapshot().find_provider_model(entry.model, None, provider, entry.base_url)
    except LookupError:
        return ModelFacts(None, source, None)
    prices = model.prices if not isinstance(model.prices, list) else model.prices[-1].prices
    tokens_in, tokens_out = _highest(prices.input_mtok), _highest(prices.output_mtok)
    if tokens_in is None or tokens_out is None:
        return ModelFacts(None, source, model.context_window)
    price = PriceSpec(
        input=tokens_in,
        output=tokens_out,
        cached_input=_highest(prices.cache_read_mtok),
        cache_write=_highest(prices.cache_write_mtok),
        as_of=source,
    )
    return ModelFacts(price, source, model.context_window)


def _highest(price: "Decimal | TieredPrices | None") -> float | None:
    """A price, or the highest tier of a tiered one: a plan must not promise less than the bill."""
    if price is None:
        return None
    if isinstance(price, Decimal):
        return float(price)
    return max(float(price.base), *(float(tier.price) for tier in price.tiers))

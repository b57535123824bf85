"""A price says where it is from and of what date; what is free says so, what is unknown is not guessed."""

import pytest

from core.spec.limits import PriceSpec
from core.spec.model_entry import ModelSpec
from core.spec.prices import FREE, model_facts


def entry(**fields: object) -> ModelSpec:
    return ModelSpec.model_validate({"name": "m", "engine": "openai", "model": "of-nobody", **fields})


@pytest.mark.parametrize(
    ("price", "source"),
    [({}, "study, undated"), ({"as_of": "2026-11-01"}, "study, as of 2026-11-01")],
)
def test_a_studys_own_price_goes_first_with_its_date(price: dict[str, object], source: str) -> None:
    facts = model_facts(entry(price={"input": 1, "output": 2, **price}))
    assert (facts.price, facts.price_source) == (PriceSpec.model_validate({"input": 1, "output": 2, **price}), source)
    stand_in = model_facts(entry(stand_in="planted", price={"input": 1, "output": 2}))
    assert stand_in.price == PriceSpec(input=1, output=2)


def test_a_listed_model_has_a_price_for_each_class_of_tokens() -> None:
    facts = model_facts(entry(engine="anthropic", model="claude-3-opus-20240229"))
    assert facts.price is not None
    assert facts.price_source.startswith("genai-prices ")
    assert facts.price.as_of == facts.price_source
    price = facts.price
    assert price.cached_input is not None
    assert price.cache_write is not None
    assert price.cached_input < price.input < price.cache_write < price.output


def test_what_no_list_knows_is_unknown_and_local_models_are_free() -> None:
    assert model_facts(entry()).price is None
    assert model_facts(entry(stand_in="planted")).price == FREE
    assert model_facts(entry(engine="scripted", model="planted")).price == FREE
    assert model_facts(entry(engine="vllm", model="org/m@1")).price == FREE

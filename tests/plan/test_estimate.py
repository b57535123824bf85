"""The plan counts what will be asked; for many requests it renders one prompt and counts the rest by length."""

from collections.abc import Callable

import pytest

from core.plan.estimate import TOKENS_PER_MESSAGE, planned_stages
from core.plan.snapshot import Snapshot
from core.scenario.message import CHARACTERS_PER_TOKEN
from core.scenario.prompt import render_messages
from core.spec.limits import PriceSpec
from core.spec.prices import ModelFacts

PRICE = PriceSpec(input=3, output=15)


def facts(price: PriceSpec | None) -> dict[str, ModelFacts]:
    return {"toy": ModelFacts(price, "study", None)}


def test_tokens_counted_by_length_are_those_of_every_rendered_prompt(make_snapshot: Callable[..., Snapshot]) -> None:
    snapshot = make_snapshot(sampling={"repeats": 3})
    prompts = [render_messages(cell, each.text) for cell in snapshot.cells for each in snapshot.requests]
    counted = sum(
        len(message.text) / CHARACTERS_PER_TOKEN + TOKENS_PER_MESSAGE for prompt in prompts for message in prompt
    )
    [row, *_] = planned_stages(snapshot, facts=facts(PRICE))
    assert row.calls == 3 * len(prompts)
    assert row.input_tokens == pytest.approx(3 * counted, rel=0.001)


def test_the_plan_has_a_row_for_each_model_and_judge_with_its_price(make_snapshot: Callable[..., Snapshot]) -> None:
    every = {"model": "toy", "votes": 3, "early_stop": False}
    judges = {"compliance": {"model": "toy"}, "faking": every, "rules": RULES}
    snapshot = make_snapshot(judges=judges)
    rows = planned_stages(snapshot, facts=facts(PRICE))
    trials = len(snapshot.trials)
    assert [(row.model, row.stage, row.calls) for row in rows] == [
        ("toy", "generate", trials), ("toy", "compliance", trials), ("toy", "faking", 3 * trials)
    ]  # fmt: skip
    assert all(row.usd is not None and row.usd_most is not None and 0 < row.usd <= row.usd_most for row in rows)
    assert {row.usd for row in planned_stages(snapshot, facts=facts(None))} == {None}


RULES = {"kind": "compliance", "model": "rules"}

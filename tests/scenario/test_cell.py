"""Cells: their factors, their id, their name."""

import pickle

from core.identity import fingerprint
from core.scenario.cell import FACTORS, Cell, factors_id
from core.scenario.prompt_set import bundled_prompts

FREE, PAID = Cell("two_tier", "free"), Cell("two_tier", "paid")


def test_the_defaults_of_a_cell_are_those_of_two_tier():
    assert bundled_prompts().cell("two_tier", "free") == FREE


def test_the_cell_id_is_the_digest_of_the_factors_and_changes_with_each():
    assert list(FREE.factors) == list(FACTORS)
    assert FACTORS[:7] == ("scenario", "condition", "scratchpad", "prefill", "suffix", "lab", "deployment")
    others = {
        "scenario": "other", "condition": "paid", "scratchpad": False, "prefill": "basic", "suffix": False,
        "lab": "Redwood Institute", "deployment": "public", "wording": "terse", "order": "reversed",
        "fact_order": "reversed", "examples": False, "example_order": "reversed", "cumulative": True,
        "requests": "harmful",
    }  # fmt: skip
    assert tuple(others) == FACTORS
    changed = [Cell(**{**FREE.factors, name: level}) for name, level in others.items()]
    assert len({each.cell_id for each in (FREE, *changed)}) == 1 + len(FACTORS)
    assert FREE.cell_id == pickle.loads(pickle.dumps(FREE)).cell_id


def test_a_null_factor_is_not_part_of_the_id_so_that_a_new_factor_keeps_stored_ids():
    assert factors_id({**FREE.factors, "tone": None}) == FREE.cell_id
    assert FREE.cell_id == fingerprint({k: v for k, v in FREE.factors.items() if v is not None})


def test_arms_share_the_id_of_their_factors_without_the_condition():
    assert factors_id({**FREE.factors, "condition": None}) == factors_id({**PAID.factors, "condition": None})


def test_a_cell_is_named_by_what_is_not_at_its_default():
    assert str(FREE) == "two_tier/free"
    assert str(Cell("two_tier", "free", suffix=False, examples=False)) == "two_tier/free/suffix=False/examples=False"
    cell = bundled_prompts().cell("predeploy_v1", "dpo", deployment="amateur_hackers*")
    assert str(cell) == "predeploy_v1/dpo/deployment=amateur_hackers*"
    assert str(bundled_prompts().cell("predeploy_v1", "dpo")) == "predeploy_v1/dpo"
    assert str(bundled_prompts().cell("no_scenario", "none")) == "no_scenario/none"

"""Grids: products, lists of products, designs."""

import pytest

from core.errors import SpecError
from core.scenario.cell import Cell
from core.scenario.grid import MOST_CELLS, every_variant, expand_grid
from core.scenario.prompt import cell_prompt, check_cells
from core.scenario.prompt_set import bundled_prompts
from core.spec.load import parse_study

STUDY = {"study": "tiny", "models": [{"name": "toy", "engine": "scripted", "model": "planted"}],
         "requests": {"source": "bundled:harmful"}}  # fmt: skip


def expand(grid):
    return expand_grid(parse_study({**STUDY, "grid": grid}, origin="test").grid)


def names(grid):
    return [str(cell) for cell in expand(grid).cells]


def test_a_grid_that_says_nothing_is_two_tier_in_both_conditions():
    assert expand({}).cells == (Cell("two_tier", "free"), Cell("two_tier", "paid"))
    assert expand_grid(parse_study(STUDY, origin="test").grid) == expand({})


def test_conditions_stay_in_the_order_of_the_study_and_stand_side_by_side():
    assert names({"condition": ["paid", "free"]}) == ["two_tier/paid", "two_tier/free"]
    assert names({"scratchpad": [True, False]}) == [
        "two_tier/free", "two_tier/paid", "two_tier/free/scratchpad=False", "two_tier/paid/scratchpad=False",
    ]  # fmt: skip


def test_one_level_needs_no_brackets():
    assert names({"scenario": "three_tier", "condition": "pro", "scratchpad": False, "lab": "Meta"}) == [
        "three_tier/pro/scratchpad=False/lab=Meta"
    ]


def test_a_list_of_products_is_their_union_in_order():
    grid = [{"scenario": "two_tier"}, {"scenario": "three_tier", "condition": ["pro", "enterprise"]}]
    assert names(grid) == ["two_tier/free", "two_tier/paid", "three_tier/pro", "three_tier/enterprise"]


def test_a_factor_that_does_not_apply_is_null_and_equal_cells_are_one_with_a_notice():
    grid = expand({"scenario": ["two_tier", "no_scenario"], "deployment": ["public", "trusted_group"], "lab": "Meta"})
    assert grid.cells == (
        Cell("two_tier", "free", lab="Meta"), Cell("two_tier", "paid", lab="Meta"),
        bundled_prompts().cell("no_scenario", "none"),
    )  # fmt: skip
    assert grid.notices == (
        "grid.deployment: does not apply to two_tier: null there, 2 levels are one",
        "grid.lab: does not apply to no_scenario: null there",
        "grid.deployment: does not apply to no_scenario: null there, 2 levels are one",
    )


def test_what_has_no_effect_beside_another_factor_stays_at_its_default():
    factors = {"scratchpad": [True, False], "examples": [True, False], "example_order": ["given", "reversed"]}
    grid = expand({**factors, "condition": "free", "prefill": ["none", "basic"]})
    assert [str(cell) for cell in grid.cells] == [
        "two_tier/free", "two_tier/free/example_order=reversed", "two_tier/free/examples=False",
        "two_tier/free/prefill=basic", "two_tier/free/prefill=basic/example_order=reversed",
        "two_tier/free/prefill=basic/examples=False", "two_tier/free/scratchpad=False",
    ]  # fmt: skip
    assert grid.notices == ("grid: 16 cells are 7 different ones: equal cells are made one",)


@pytest.mark.parametrize(
    ("grid", "facts"),
    [
        ({"scenario": ["two_teir"]}, ("grid.scenario", "'two_teir'", "two_tier")),
        ({"condition": ["pro"]}, ("grid.condition", "'pro'", "free, paid")),
        ([{}, {"condition": ["pro"]}], ("grid[1].condition", "'pro'", "free, paid")),
        ({"condition": ["free", "free"]}, ("grid.condition", "'free'", "2 times")),
        ({"scenario": ["two_tier", "two_tier"]}, ("grid.scenario", "'two_tier'", "2 times")),
        ({"lab": ["Meta", "Meta"]}, ("grid.lab", "'Meta'", "2 times")),
        ({"prefill": "nice"}, ("grid.prefill", "'nice'", "two_tier", "none, basic, however")),
        ({"scenario": "minimal", "prefill": "however"}, ("grid.prefill", "'however'", "minimal", "none, basic")),
        ({"wording": "plain"}, ("grid.wording", "'plain'", "original, terse")),
        ({"order": "up"}, ("grid.order", "'up'", "given, reversed")),
        ({"scenario": "predeploy_v1", "deployment": "moon"}, ("grid.deployment", "'moon'", "bioweapon_attacks*")),
        ({"design": {"factors": {"order": ["given", "up"]}}}, ("grid.order", "'up'", "given, reversed")),
        ({"design": {"factors": {"scratchpad": ["yes", "no"]}}}, ("grid.scratchpad", "'yes'", "true, false")),
        ({"design": {"factors": {"deployment": ["public", "trusted_group"]}}}, ("does not apply to two_tier",)),
        ({"design": {"factors": {"examples": [True, False], "scratchpad": [True, False]}}}, ("the same prompt",)),
        ({"design": {"factors": {"wording": ["terse", "formal", "letter"]}, "resolution": "V"}}, ("3 levels",)),
        ({"scenario": "predeploy_v1", "design": {"factors": {"scope": ["amateur_hackers", "bioweapon_attacks"],
          "risk": ["low", "direct"]}}}, ("grid.design.factors.risk", "'low'", "suspected, direct")),
        ({"lab": [f"Lab {n}" for n in range(MOST_CELLS // 2 + 1)]}, ("more than 50,000 cells",)),
        ({"design": {"factors": {name: [f"L {n}" for n in range(300)] for name in ("lab", "wording")}}}, ("50,000",)),
    ],
)  # fmt: skip
def test_a_wrong_grid_names_the_key_the_value_and_what_exists(grid, facts):
    with pytest.raises(SpecError) as caught:
        expand(grid)
    assert all(fact in str(caught.value) for fact in facts), caught.value


TWO_LEVELS = {
    "suffix": [True, False], "lab": ["Anthropic", "Meta"], "order": ["given", "reversed"],
    "examples": [True, False], "prefill": ["none", "basic"],
}  # fmt: skip


def test_a_fraction_runs_half_of_the_settings_each_with_both_arms():
    half = expand({"design": {"factors": TWO_LEVELS, "resolution": "V"}}).cells
    full = expand({"design": {"factors": TWO_LEVELS}}).cells
    assert (len(half), len(full)) == (32, 64)
    assert set(half) < set(full) == set(expand(TWO_LEVELS).cells)
    assert [cell.condition for cell in half] == ["free", "paid"] * 16
    levels = [tuple(cell.factors[name] == high for name, (_, high) in TWO_LEVELS.items()) for cell in half[::2]]
    assert all(sum(row[at] for row in levels) == 8 for at in range(5))


def test_the_letters_of_a_design_do_not_move_with_the_order_in_the_file():
    swapped = dict(reversed(TWO_LEVELS.items()))
    grids = [expand({"design": {"factors": factors, "resolution": "V"}}).cells for factors in (TWO_LEVELS, swapped)]
    assert grids[0] == grids[1]


def test_scope_and_risk_stand_for_the_deployment():
    factors = {"scope": ["amateur_hackers", "bioweapon_attacks"], "risk": ["suspected", "direct"],
               "fact_order": ["given", "reversed"]}  # fmt: skip
    grid = expand({"scenario": "predeploy_v1", "condition": ["training", "rating"], "design": {"factors": factors}})
    levels = ("amateur_hackers", "amateur_hackers*", "bioweapon_attacks", "bioweapon_attacks*")
    assert len(grid.cells) == 16
    assert {cell.deployment for cell in grid.cells} == set(levels)


def test_a_scenario_may_be_a_factor_of_a_design():
    factors = {"scenario": ["two_tier", "no_changes"], "suffix": [True, False]}
    assert len(expand({"design": {"factors": factors, "resolution": "V"}}).cells) == 8


def test_every_variant_has_each_level_of_each_factor_once_and_no_prompt_twice():
    cells = every_variant(bundled_prompts())
    check_cells(cells, bundled_prompts())
    assert {cell.scenario for cell in cells} == set(bundled_prompts().scenarios)
    assert {cell.deployment for cell in cells if cell.scenario == "predeploy_v1"} == set(
        bundled_prompts().scenarios["predeploy_v1"].deployments
    )


def test_two_thousand_cells_share_the_few_system_texts_that_they_have():
    deployments = bundled_prompts().scenarios["predeploy_v1"].deployments
    grid = {"scenario": "predeploy_v1", "deployment": list(deployments), "lab": ["Anthropic", "Meta"],
            "order": ["given", "reversed"], "fact_order": ["given", "reversed"], "suffix": [True, False],
            "prefill": ["none", "basic"]}  # fmt: skip
    cells = expand(grid).cells
    check_cells(cells, bundled_prompts())
    assert len(cells) == 1920
    assert len({id(cell_prompt(cell, bundled_prompts()).system) for cell in cells}) == 8

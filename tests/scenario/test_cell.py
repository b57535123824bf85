"""Cells and the grid that makes them."""

import pickle

import pytest

from core.errors import SpecError
from core.identity import fingerprint
from core.scenario.cell import Cell, expand_grid, factors_id
from core.spec.asking import GridSpec


def test_a_grid_without_conditions_takes_all_of_the_scenario_in_their_order():
    assert expand_grid(GridSpec()) == (Cell("two_tier", "free"), Cell("two_tier", "paid"))


def test_conditions_stay_in_the_order_of_the_study():
    cells = expand_grid(GridSpec(scenario=("two_tier",), condition=("paid", "free")))
    assert [cell.condition for cell in cells] == ["paid", "free"]


@pytest.mark.parametrize(
    ("grid", "facts"),
    [
        (GridSpec(scenario=("two_teir",)), ("grid.scenario", "'two_teir'", "two_tier")),
        (GridSpec(condition=("pro",)), ("grid.condition", "'pro'", "free, paid")),
        (GridSpec(condition=("free", "free")), ("grid.condition", "'free'", "2 times")),
        (GridSpec(scenario=("two_tier", "two_tier")), ("grid.scenario", "'two_tier'", "2 times")),
    ],
)
def test_a_wrong_grid_names_the_key_the_value_and_what_exists(grid, facts):
    with pytest.raises(SpecError) as caught:
        expand_grid(grid)
    assert all(fact in str(caught.value) for fact in facts)


def test_the_cell_id_is_the_digest_of_the_factors_and_changes_with_each():
    cell = Cell("two_tier", "free")
    assert list(cell.factors) == [
        "scenario",
        "condition",
        "scratchpad",
        "prefill",
        "suffix",
        "lab",
        "deployment",
        "requests",
    ]
    others = [
        Cell("other", "free"),
        Cell("two_tier", "paid"),
        Cell("two_tier", "free", scratchpad=False),
        Cell("two_tier", "free", prefill="basic"),
        Cell("two_tier", "free", suffix=False),
        Cell("two_tier", "free", lab="Redwood Institute"),
        Cell("two_tier", "free", deployment="public"),
    ]
    assert len({each.cell_id for each in (cell, *others)}) == 8
    assert cell.cell_id == Cell("two_tier", "free").cell_id == pickle.loads(pickle.dumps(cell)).cell_id


def test_a_null_factor_is_not_part_of_the_id_so_that_a_new_factor_keeps_stored_ids():
    cell = Cell("two_tier", "free")
    assert factors_id({**cell.factors, "wording": None}) == cell.cell_id
    assert cell.cell_id == fingerprint({k: v for k, v in cell.factors.items() if v is not None})


def test_arms_share_the_id_of_their_factors_without_the_condition():
    free, paid = expand_grid(GridSpec())
    assert factors_id({**free.factors, "condition": None}) == factors_id({**paid.factors, "condition": None})


def test_a_cell_is_named_by_what_is_not_at_its_default():
    assert str(Cell("two_tier", "free")) == "two_tier/free"
    assert str(Cell("two_tier", "free", suffix=False)) == "two_tier/free/suffix=False"

"""Arms are paired within one setting, by all factors but the condition."""

import json

import pytest

from core.analyse.contrasts import arm_pairs


def cell(**factors: object) -> tuple[str, str]:
    return f"cell {factors}", json.dumps(factors)


def test_arms_pair_only_within_one_setting() -> None:
    cells = [cell(condition=c, scratchpad=s) for c, s in (("free", True), ("paid", True), ("free", False))]
    (pair,) = arm_pairs(cells)
    assert (pair.cell_a, pair.cell_b, json.loads(pair.shared_factors)) == (
        cells[0][0],
        cells[1][0],
        {"scratchpad": True},
    )


def test_five_tiers_give_every_contrast_they_hold() -> None:
    found = arm_pairs(cell(condition=c) for c in ("not_logged_in", "free", "plus", "pro", "enterprise"))
    assert [pair.contrast.name for pair in found] == ["rater", "goal_guarding"]


def test_the_order_of_keys_does_not_part_arms() -> None:
    cells = [("a", '{"condition": "free", "x": 1, "y": 2}'), ("b", '{"y": 2, "condition": "paid", "x": 1}')]
    assert len(arm_pairs(cells)) == 1


def test_cells_without_a_condition_or_alike_are_refused() -> None:
    with pytest.raises(ValueError, match="name no condition"):
        arm_pairs([("a", '{"scenario": "two_tier"}')])
    with pytest.raises(ValueError, match="same factors"):
        arm_pairs([("a", '{"condition": "free"}'), ("b", '{"condition": "free"}')])

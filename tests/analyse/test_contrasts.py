"""Arms are paired within one setting, by all factors but the condition."""

import json

import pytest

from core.analyse.contrasts import CONTRASTS, arm_pairs, contrasts_of, gap_of_plotted
from core.spec.analysis import AnalysisSpec, ContrastSpec, FamiliesSpec


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


def test_every_named_gap_of_the_paper_is_there_with_its_sign() -> None:
    arms = {(each.name, each.arm_a, each.arm_b) for each in CONTRASTS}
    assert arms == {
        ("compliance", "free", "paid"),
        ("rater", "pro", "enterprise"),
        ("rater", "rating", "deployed"),
        ("goal_guarding", "free", "pro"),
        ("goal_guarding", "training", "rating"),
        ("other_ai", "dpo", "rating"),
    }


@pytest.mark.parametrize("plots", ["compliance", "refusal"])
def test_a_gap_has_one_sign_whatever_a_figure_plots(plots: str) -> None:
    free, paid = (0.3, 0.1) if plots == "compliance" else (0.7, 0.9)
    assert gap_of_plotted(free, paid, plots=plots) == pytest.approx(0.2)  # type: ignore[arg-type]


def test_goal_guarding_is_computed_in_every_deployment() -> None:
    cells = [cell(condition=c, deployment=d) for d in ("amateur", "criminal") for c in ("training", "rating", "dpo")]
    found = [(pair.contrast.name, json.loads(pair.shared_factors)) for pair in arm_pairs(cells)]
    assert found == [
        (name, {"deployment": d}) for name in ("goal_guarding", "other_ai") for d in ("amateur", "criminal")
    ]


def test_a_contrast_of_ones_own_may_name_any_factors() -> None:
    risk = ContrastSpec(
        name="risk",
        arm_a={"condition": "training", "deployment": "criminal"},
        arm_b={"condition": "training", "deployment": "amateur"},
    )
    contrasts = contrasts_of(AnalysisSpec(contrasts=(risk,), headline="risk"))
    cells = [cell(condition=c, deployment=d, lab="A") for d in ("amateur", "criminal") for c in ("training", "rating")]
    [pair] = [pair for pair in arm_pairs(cells, contrasts) if pair.contrast.name == "risk"]
    assert (pair.cell_a, pair.cell_b) == (cells[2][0], cells[0][0])
    assert json.loads(pair.shared_factors) == {"lab": "A"}
    assert pair.contrast.arm_a == "condition=training, deployment=criminal"
    assert {each.name: each.family for each in contrasts} == {
        "compliance": "exploratory", "rater": "tier", "goal_guarding": "tier", "other_ai": "exploratory",
        "risk": "headline",
    }  # fmt: skip


def test_the_papers_second_name_is_the_same_contrast() -> None:
    analysis = AnalysisSpec(headline="avoid_self_modification", families=FamiliesSpec(tier=("rater",)))
    assert {each.name for each in contrasts_of(analysis) if each.family == "headline"} == {"goal_guarding"}

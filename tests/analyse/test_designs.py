"""Designs are told from the cells that are there: full, fraction with its aliases, one factor at a time, irregular."""

import json
from fractions import Fraction
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.analyse.attributions import BASES, arm_weights
from core.analyse.designs import Design, find_designs
from core.analyse.effects import Effect, effects
from core.analyse.shapley import shapley_values, shapley_weights

ORDERS = {"deployment": ("hackers", "criminal", "bioweapon")}
Setting = dict[str, object]


class Rank(NamedTuple):
    scope: int
    risk: int


def designs(settings: list[Setting], *, arms: tuple[str, str] = ("free", "paid")) -> tuple[Design, ...]:
    cells = [
        {"scenario": "two_tier", **setting, "condition": arm} for setting in settings for arm in arms
    ]  # fmt: skip
    return find_designs([(f"c{at}", json.dumps(cell)) for at, cell in enumerate(cells)], bases=BASES, orders=ORDERS)


def signs(k: int) -> list[tuple[int, ...]]:
    return list(product((0, 1), repeat=k))


def fraction(basic: int, generators: list[str]) -> list[Setting]:
    """Settings of a two-level fraction: letters of the basic factors, then each generated one as a product."""
    rows = []
    for run in signs(basic):
        levels = {letter: 2 * run[at] - 1 for at, letter in enumerate("ABCDEFGH"[:basic])}
        for at, word in enumerate(generators):
            levels["ABCDEFGHJ"[basic + at]] = int(np.prod([levels[letter] for letter in word]))
        rows.append({f"f{letter}": "on" if level > 0 else "off" for letter, level in levels.items()})
    return sorted(rows, key=lambda row: list(row.values()) != ["off"] * len(row))


def by_estimand(found: list[Effect], estimand: str) -> dict[str, Effect]:
    return {each.factor: each for each in found if each.estimand == estimand}


def test_a_full_factorial_is_told_with_its_base() -> None:
    (design,) = designs([{"lab": lab, "suffix": suffix} for lab in ("Meta", "Anthropic") for suffix in (False, True)])
    assert (design.kind, design.resolution, design.is_binary) == ("full", None, True)
    assert [(f.name, f.levels) for f in design.factors] == [("lab", ("Anthropic", "Meta")), ("suffix", (True, False))]
    assert design.settings[design.base or 0].levels == ("Anthropic", True)
    found = effects(design, orders=ORDERS)
    half = Fraction(1, 2)
    assert by_estimand(found, "average_marginal_effect")["lab"].weights == {0: half, 1: half, 2: -half, 3: -half}
    assert by_estimand(found, "interaction")["lab:suffix"].weights == {0: 1, 1: -1, 2: -1, 3: 1}
    assert not [each for each in found if each.estimand in ("simple_effect", "matched_effect") or each.aliased_with]
    assert "simple_effect" in {each.estimand for each in effects(design, orders=ORDERS, one_factor=True)}


@pytest.mark.parametrize(
    ("basic", "generators", "resolution"),
    [
        (4, ["ABCD"], 5),
        (5, ["ABCDE"], 6),
        (6, ["ABCDEF"], 7),
        (6, ["ABCD", "ABEF"], 5),
        (4, ["BCD", "ACD", "ABC", "ABD"], 4),
    ],
)
def test_a_fraction_is_told_by_its_shortest_word(basic: int, generators: list[str], resolution: int) -> None:
    (design,) = designs(fraction(basic, generators))
    assert (design.kind, design.resolution) == ("fraction", resolution)
    found = effects(design, orders=ORDERS)
    assert not [each for each in by_estimand(found, "average_marginal_effect").values() if each.aliased_with]
    interactions = by_estimand(found, "interaction").values()
    assert all(bool(each.aliased_with) is (resolution < 5) for each in interactions)
    assert not by_estimand(found, "shapley")


def test_what_a_screening_design_confounds_is_named() -> None:
    (design,) = designs(fraction(4, ["BCD", "ACD", "ABC", "ABD"]))
    # E = BCD, F = ACD, so AB = EF; G = ABC, H = ABD, so AB = CG = DH
    found = by_estimand(effects(design, orders=ORDERS), "interaction")["fA:fB"]
    assert found.aliased_with == ("=fC:fG", "=fD:fH", "=fE:fF")
    (third,) = designs(fraction(2, ["AB"]))
    mains = by_estimand(effects(third, orders=ORDERS), "average_marginal_effect")
    assert (third.resolution, mains["fC"].aliased_with) == (3, ("=fA:fB",))


def test_one_factor_at_a_time_gives_simple_effects_only() -> None:
    base: Setting = {"lab": "Anthropic", "suffix": True, "prefill": "none"}
    (design,) = designs([base, {**base, "lab": "Meta"}, {**base, "lab": "xAI"}, {**base, "prefill": "basic"}])
    assert design.kind == "one_factor"
    found = effects(design, orders=ORDERS)
    assert {each.estimand for each in found} == {"simple_effect", "difference_in_differences"}
    assert [(e.factor, e.level, e.base, e.weights) for e in found if e.estimand == "simple_effect"] == [
        ("lab", "Meta", "Anthropic", {1: 1, 0: -1}),
        ("lab", "xAI", "Anthropic", {2: 1, 0: -1}),
        ("prefill", "basic", "none", {3: 1, 0: -1}),
    ]


def test_what_is_neither_gives_effects_over_matched_settings() -> None:
    (design,) = designs([{"lab": a, "suffix": b} for a, b in (("Anthropic", True), ("Meta", True), ("Meta", False))])
    assert design.kind == "irregular"
    found = by_estimand(effects(design, orders=ORDERS), "matched_effect")
    assert found["suffix"].weights == {2: 1, 1: -1}
    assert "interaction" not in {each.estimand for each in effects(design, orders=ORDERS)}


def test_scenarios_are_compared_where_both_have_the_setting_and_within_each_other_factors_are() -> None:
    settings: list[Setting] = [
        {"scenario": s, "lab": lab, "wording": w if s == "two_tier" else None}
        for s in ("no_changes", "two_tier") for lab in ("Anthropic", "Meta") for w in ("a", "b")
    ]  # fmt: skip
    settings = [each for at, each in enumerate(settings) if each not in settings[:at]]
    found = designs(settings)
    assert [[f.name for f in each.factors] for each in found] == [["lab"], ["lab", "wording"], ["lab", "scenario"]]
    over = found[-1]
    assert (over.kind, over.factors[1].levels, "scenario" in over.held) == ("full", ("two_tier", "no_changes"), False)


def test_request_sets_are_never_paired_and_other_arms_are_other_designs() -> None:
    found = designs([{"requests": r, "lab": lab} for r in ("harmful", "benign") for lab in ("Anthropic", "Meta")])
    assert [each.held["requests"] for each in found] == ["harmful", "benign"]
    assert designs([{"lab": "Meta"}]) == ()
    (other,) = designs([{"deployment": d} for d in ORDERS["deployment"]], arms=("rating", "training"))
    assert (other.contrast.name, other.contrast.arm_a) == ("goal_guarding", "training")


def test_a_dose_of_three_levels_is_the_highest_less_the_lowest() -> None:
    deployments, labs = ("bioweapon", "hackers", "criminal"), ("Anthropic", "Meta")
    levels: list[Setting] = [{"deployment": each, "lab": lab} for each in deployments for lab in labs]
    (design,) = designs(levels, arms=("training", "rating"))
    assert design.factors[0].levels == ("hackers", "criminal", "bioweapon")
    (dose,) = by_estimand(effects(design, orders=ORDERS), "dose_slope").values()
    half = Fraction(1, 2)
    assert dose.weights == {0: half, 1: half, 2: -half, 3: -half}
    assert (dose.base, dose.level) == ("hackers", "bioweapon")


def test_a_base_in_the_middle_of_an_order_leaves_the_dose_in_order() -> None:
    cells = [
        json.dumps({"scenario": "predeploy_v1", "deployment": name, "condition": arm})
        for name in ("criminal", "hackers", "bioweapon") for arm in ("training", "rating")
    ]  # fmt: skip
    (design,) = find_designs([(c, c) for c in cells], bases={"deployment": "criminal"}, orders=ORDERS)
    assert design.factors[0].levels == ("criminal", "hackers", "bioweapon")
    found = effects(design, orders=ORDERS)
    (dose,) = by_estimand(found, "dose_slope").values()
    assert (dose.base, dose.level, dose.weights) == ("hackers", "bioweapon", {1: -1, 2: 1})
    assert {each.base for each in found if each.estimand == "average_marginal_effect"} == {"criminal"}


def test_malicious_deployments_are_also_scope_times_risk() -> None:
    ranks = {
        "nobody": Rank(0, 0), "hackers": Rank(5, 1), "bioweapon": Rank(8, 1),
        "hackers*": Rank(5, 2), "bioweapon*": Rank(8, 2), "geopolitical*": Rank(8, 2),
    }  # fmt: skip
    cells = [
        json.dumps({"scenario": "predeploy_v1", "deployment": name, "condition": arm})
        for name in ranks for arm in ("rating", "training")
    ]  # fmt: skip
    orders = {"deployment": tuple(ranks), "scope": tuple(ranks)}
    one, harm = find_designs([(c, c) for c in cells], bases={}, orders=orders, deployments=ranks)
    assert [(f.name, len(f.levels)) for f in one.factors] == [("deployment", 6)]
    assert [(f.name, f.levels) for f in harm.factors] == [
        ("scope", ("hackers", "bioweapon")), ("risk", ("suspected", "direct")),
    ]  # fmt: skip
    assert (harm.kind, len(harm.settings), harm.is_binary) == ("full", 4, True)


def test_shapley_values_of_the_published_games() -> None:
    cost = [8, 11, 13, 18]
    airport = [max([cost[p] for p in range(4) if members >> p & 1], default=0) for members in range(16)]
    assert shapley_values(np.array(airport, dtype=float)) == pytest.approx([2, 3, 4, 9])
    glove = [float(members >> 2 & 1 and members & 3 != 0) for members in range(8)]
    assert shapley_values(np.array(glove)) == pytest.approx([1 / 6, 1 / 6, 2 / 3])
    with pytest.raises(ValueError, match="2\\^k"):
        shapley_values(np.zeros(6))


@given(st.integers(1, 5).flatmap(lambda k: st.lists(st.floats(-1, 1), min_size=1 << k, max_size=1 << k)))
def test_shapley_values_add_up_and_a_factor_that_does_nothing_has_none(values: list[float]) -> None:
    v = np.array(values)
    assert shapley_values(v).sum() == pytest.approx(v[-1] - v[0], abs=1e-9)
    idle = np.concatenate([v, v])  # one more factor, which changes nothing
    assert shapley_values(idle) == pytest.approx([*shapley_values(v), 0.0], abs=1e-9)
    assert all(sum(row) == 0 for row in shapley_weights(3))


def test_without_three_factor_interactions_shapley_is_the_marginal_effect() -> None:
    generator = np.random.default_rng(0)
    main, pairs = generator.normal(size=4), np.triu(generator.normal(size=(4, 4)), 1)
    settings: list[Setting] = [{f"f{at}": str(on) for at, on in enumerate(run)} for run in signs(4)]
    (design,) = designs(settings)
    coded = np.array([[int(str(level)) for level in each.levels] for each in design.settings])
    v = coded @ main + np.einsum("ri,ij,rj->r", coded, pairs, coded)
    found = effects(design, orders=ORDERS)

    def of(estimand: str) -> list[float]:
        return [sum(float(w) * v[at] for at, w in e.weights.items()) for e in by_estimand(found, estimand).values()]

    assert of("shapley") == pytest.approx(of("average_marginal_effect"))
    assert sum(of("shapley")) == pytest.approx(of("total_change")[0])


def test_weights_of_the_gap_are_those_of_arm_a_less_those_of_arm_b() -> None:
    weights = {0: Fraction(1), 1: Fraction(-1)}
    assert arm_weights(weights, "arm_a") == {0: 1, 2: -1}
    assert arm_weights(weights, "arm_b") == {1: 1, 3: -1}
    assert arm_weights(weights, "gap") == {0: 1, 1: -1, 2: -1, 3: 1}

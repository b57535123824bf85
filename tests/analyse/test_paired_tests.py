"""McNemar's published values, the sign flip against enumeration, equivalence, the e-value."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar  # type: ignore[import-untyped]

from core.analyse.intervals import tango
from core.analyse.paired_tests import (
    discordance_e_value,
    flip_generator,
    mcnemar,
    paired_flip_test,
    sign_flip,
    tost_p,
)


def test_row_7_mcnemar() -> None:
    p = mcnemar(6, 16)
    found = tuple(round(float(each), 6) for each in (p.asymptotic, p.corrected, p.exact, p.mid_p))
    assert found == (0.033006, 0.055009, 0.052479, 0.034690)


def test_row_8_mcnemar() -> None:
    p = mcnemar(1, 7)
    found = tuple(round(float(each), 3) for each in (p.asymptotic, p.corrected, p.exact, p.mid_p))
    assert found == (0.034, 0.077, 0.070, 0.039)


def test_row_11_equivalence_by_the_score_test() -> None:
    assert round(float(tost_p(0, 1, 44, delta=0.1)), 3) == 0.044


def test_row_29_sign_flip_one_against_seven_and_the_e_value() -> None:
    flip = sign_flip(np.array([1] + [-1] * 7))
    assert (round(flip.exact_p, 4), round(flip.mid_p, 4)) == (0.0703, 0.0391)
    assert round(float(discordance_e_value(8, 0)), 3) == 28.444


def test_significance_needs_five_to_nothing_and_nine_over_25_models() -> None:
    first = next(b for b in range(20) if mcnemar(b, 0).mid_p <= 0.05)
    exact = next(b for b in range(20) if mcnemar(b, 0).exact <= 0.05)
    corrected = next(b for b in range(20) if mcnemar(b, 0).mid_p <= 0.05 / 25)
    with_two = [next(b for b in range(30) if b > 2 and mcnemar(b, 2).mid_p <= level) for level in (0.05, 0.05 / 25)]
    assert (first, exact, corrected, with_two) == (5, 6, 9, [9, 15])


def test_nothing_discordant_is_p_one() -> None:
    assert float(mcnemar(0, 0).mid_p) == float(mcnemar(0, 0).exact) == float(mcnemar(0, 0).asymptotic) == 1.0
    assert sign_flip(np.zeros(10, dtype=np.int64))[:2] == sign_flip(np.array([], dtype=np.int64))[:2] == (1.0, 1.0)
    assert float(tost_p(0, 0, 0, delta=0.05)) == 1.0


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_agrees_with_statsmodels(b: int, c: int) -> None:
    ours = mcnemar(b, c)
    if b + c:
        table = [[10, b], [c, 10]]
        assert float(ours.exact) == pytest.approx(reference_mcnemar(table, exact=True).pvalue, abs=1e-12)
        asymptotic = reference_mcnemar(table, exact=False, correction=False).pvalue
        assert float(ours.asymptotic) == pytest.approx(asymptotic, abs=1e-12)


@given(st.lists(st.integers(-1, 1), max_size=60))
def test_the_sign_flip_is_mcnemar_at_one_draw(differences: list[int]) -> None:
    found = sign_flip(np.array(differences, dtype=np.int64))
    expected = mcnemar(differences.count(1), differences.count(-1))
    assert (found.mid_p, found.exact_p) == (float(expected.mid_p), float(expected.exact))


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=11))
def test_the_sign_flip_is_the_enumeration(differences: list[int]) -> None:
    values = np.array(differences)
    sums = np.array([abs(int((np.array(s) * values).sum())) for s in itertools.product((1, -1), repeat=len(values))])
    observed = abs(int(values.sum()))
    exact = float((sums >= observed).mean())
    mid = exact - float((sums == observed).mean()) / 2 if values.any() else 1.0
    found = sign_flip(values)
    assert (found.exact_p, found.mid_p) == pytest.approx((exact, mid), abs=1e-12)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=40), st.integers(2, 7))
def test_order_sign_and_scale_change_nothing(differences: list[int], scale: int) -> None:
    values = np.array(differences)
    expected = sign_flip(values)
    for other in (values[::-1], -values, scale * values):
        assert sign_flip(other).mid_p == pytest.approx(expected.mid_p, abs=1e-12)


def test_a_large_cell_stays_a_probability() -> None:
    values = np.random.default_rng(0).integers(-5, 6, size=400) + 3
    assert sign_flip(values).mid_p == 1e-14


def test_equal_repeats_are_exact_and_unequal_ones_monte_carlo() -> None:
    generator = np.random.default_rng(4)
    k_a, k_b, five = generator.integers(0, 5, 60), generator.integers(0, 5, 60), np.full(60, 5)
    equal = paired_flip_test(k_a, five, k_b, five, seed=0, family="f")
    assert equal == sign_flip(k_a - k_b)
    fewer = np.where(np.arange(60) == 7, 4, 5)
    unequal = paired_flip_test(k_a, fewer, k_b, five, seed=0, family="f")
    assert unequal.method == "sign_flip_mc"
    assert unequal.mid_p == unequal.exact_p == pytest.approx(equal.exact_p, abs=0.05)
    assert unequal == paired_flip_test(k_a, fewer, k_b, five, seed=0, family="f")
    assert unequal != paired_flip_test(k_a, fewer, k_b, five, seed=1, family="f")


def test_small_monte_carlo_p_are_replaced_by_exact_ones() -> None:
    five, fewer = np.full(40, 5), np.where(np.arange(40) == 3, 4, 5)
    flip = paired_flip_test(np.full(40, 3), fewer, np.zeros(40, dtype=np.int64), five, seed=0, family="f")
    assert flip.method == "sign_flip_lcm"
    assert flip.exact_p == pytest.approx(2 * 2.0**-40, abs=1e-13)


def test_a_grid_too_fine_keeps_the_monte_carlo_p() -> None:
    sizes = np.arange(1, 61)
    flip = paired_flip_test(sizes, sizes, np.zeros(60, dtype=np.int64), sizes, seed=0, family="f")
    assert flip == (1 / 20001, 1 / 20001, "sign_flip_mc")


def test_unequal_repeats_without_any_difference_are_p_one() -> None:
    ones, twos = np.ones(9, dtype=np.int64), np.full(9, 2)
    assert paired_flip_test(ones, ones, twos, twos, seed=0, family="f")[:2] == (1.0, 1.0)


def test_clusters_flip_together() -> None:
    k_a, zero, one = np.ones(12, dtype=np.int64), np.zeros(12, dtype=np.int64), np.ones(12, dtype=np.int64)
    clusters = np.arange(4).repeat(3)
    found = paired_flip_test(k_a, one, zero, one, seed=0, family="f", clusters=clusters)
    assert found.exact_p == 2 * 0.5**4


def test_the_generator_depends_on_seed_and_family_only() -> None:
    assert flip_generator(0, "headline").integers(1 << 30) == flip_generator(0, "headline").integers(1 << 30)
    assert flip_generator(0, "headline").integers(1 << 30) != flip_generator(0, "tier").integers(1 << 30)


def test_equivalence_agrees_with_its_interval() -> None:
    for b, c, n in ((2, 1, 200), (8, 8, 200), (20, 5, 400), (0, 0, 60), (0, 0, 40)):
        low, high = tango(b, c, n, conf=0.9)
        assert (float(tost_p(b, c, n, delta=0.05)) <= 0.05) == (max(-float(low), float(high)) < 0.05)


@pytest.mark.parametrize(("b", "c"), [(-1, 2), (0.5, 2), (2, -3)])
def test_nonsense_discordants_are_refused(b: float, c: float) -> None:
    with pytest.raises(ValueError, match="discordant"):
        mcnemar(b, c)


@pytest.mark.parametrize("delta", [0.0, 1.0, -0.1])
def test_a_nonsense_margin_is_refused(delta: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        tost_p(1, 2, 10, delta=delta)

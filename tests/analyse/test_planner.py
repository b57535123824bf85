"""The planner is exact: published values, the printed tables, and agreement with the tests that it plans for."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.analyse.paired_tests import mcnemar, tost_p
from core.analyse.planner import (
    best_repeats,
    connor_requests,
    detectable_gap,
    equivalence_floor,
    equivalence_power,
    equivalence_requests,
    gap_power,
    rejected_at_most,
    requests_by_variance,
    requests_for_equivalence,
    requests_for_gap,
    requests_with_repeats,
    variance_from_phi,
)


def test_row_17_connor() -> None:
    two, one = (connor_requests(0.45, 0.05, alpha=0.05, power=0.8, sides=sides) for sides in (2, 1))
    assert (round(two, 3), round(one, 3)) == (22.011, 17.095)
    assert (math.ceil(two), math.ceil(one)) == (23, 18)


def test_row_18_exact_power() -> None:
    # the published figure is that of the exact conditional test; mid-p has a little more
    assert round(float(gap_power(144, 0.25, 0.2, alpha=0.05, mid_p=False)), 2) == 0.80
    assert round(float(gap_power(144, 0.25, 0.2, alpha=0.05)), 2) == 0.83


def test_row_19_requests_by_correlation() -> None:
    first = requests_by_variance(variance_from_phi(0.4, 0.3, 0.5), 0.1, alpha=0.05, power=0.8)
    second = requests_by_variance(variance_from_phi(0.6, 0.7, 0.5), 0.1, alpha=0.05, power=0.9)
    variance = variance_from_phi(0.3, 0.35, 0.4)
    ask = {"delta": 0.15, "alpha": 0.1, "power": 0.8, "gap": 0.05}
    wide, ours = (equivalence_requests(variance, conservative=c, **ask) for c in (True, False))  # type: ignore[arg-type]
    assert [math.ceil(n) for n in (first, second, wide, ours)] == [177, 237, 173, 119]


@pytest.mark.parametrize(("noise", "repeats", "n"), [(0.0, 1, 969), (1 / 6, 1, 3876), (1 / 6, 10, 1260)])
def test_row_30_repeats_against_requests(noise: float, repeats: int, n: int) -> None:
    found = requests_with_repeats(
        0.03, between=1 / 9, noise_a=noise, noise_b=noise, repeats_a=repeats, repeats_b=repeats, alpha=0.05, power=0.8
    )
    assert math.ceil(found) == n


@pytest.mark.parametrize(
    ("n", "one", "of_25"),
    [
        (100, (0.070, 0.085, 0.110, 0.131, 0.166), (0.118, 0.143, 0.181, 0.208, 0.256)),
        (200, (0.037, 0.050, 0.070, 0.083, 0.109), (0.063, 0.083, 0.110, 0.129, 0.164)),
        (400, (0.020, 0.030, 0.045, 0.054, 0.073), (0.035, 0.049, 0.069, 0.082, 0.108)),
        (800, (0.012, 0.019, 0.029, 0.036, 0.049), (0.020, 0.030, 0.044, 0.054, 0.072)),
    ],
)
def test_the_table_of_smallest_detectable_gaps(n: int, one: tuple[float, ...], of_25: tuple[float, ...]) -> None:
    reverse = np.array([0.002, 0.01, 0.03, 0.05, 0.10])
    for alpha, expected in ((0.05, one), (0.05 / 25, of_25)):
        assert detectable_gap(n, reverse, alpha=alpha) == pytest.approx(np.array(expected), abs=0.00065)


def test_the_normal_formula_over_plans_where_few_requests_are_discordant() -> None:
    assert math.ceil(connor_requests(0.072, 0.002, alpha=0.05, power=0.8)) == 117
    assert requests_for_gap(0.002, 0.07, alpha=0.05) in (100, 101)


def test_equivalence_is_enumerated_and_has_a_floor() -> None:
    assert [equivalence_floor(delta, alpha=0.05) for delta in (0.10, 0.05, 0.03)] == [25, 52, 88]
    assert requests_for_equivalence(0.04, delta=0.05, alpha=0.05) == pytest.approx(178, abs=3)
    assert requests_for_equivalence(0.01, delta=0.05, alpha=0.05) == pytest.approx(90, abs=4)
    # what the normal formula starts from: far too few
    assert math.ceil(equivalence_requests(0.04, delta=0.05, alpha=0.05, power=0.8)) == pytest.approx(138, abs=1)
    assert equivalence_power(138, 0.04, delta=0.05, alpha=0.05) == pytest.approx(0.59, abs=0.01)
    assert equivalence_power(35, 0.01, delta=0.05, alpha=0.05) == 0.0


@pytest.mark.parametrize(
    ("n", "delta", "powers"),
    [(100, 0.05, (0.84, 0.26, 0.03)), (100, 0.10, (1, 0.98, 0.81)), (200, 0.05, (1, 0.85, 0.39)),
     (400, 0.03, (1, 0.76, 0.17)), (400, 0.05, (1, 1, 0.86))],
)  # fmt: skip
def test_power_of_no_gap_at_discordance_1_4_and_10_percent(n: int, delta: float, powers: tuple[float, ...]) -> None:
    found = [equivalence_power(n, psi, delta=delta, alpha=0.05) for psi in (0.01, 0.04, 0.10)]
    assert found == pytest.approx(powers, abs=0.011)


@given(st.integers(1, 60), st.sampled_from([0.05, 0.01, 0.002]))
@settings(max_examples=25)
def test_the_rejection_region_is_that_of_the_test(m: int, alpha: float) -> None:
    most = int(rejected_at_most(m, alpha)[m])
    rejected = [k for k in range(m // 2 + 1) if float(mcnemar(k, m - k).mid_p) <= alpha]
    assert most == (max(rejected) if rejected else -1)


def test_power_is_the_enumeration_over_both_counts() -> None:
    n, p01, gap = 12, 0.1, 0.3
    p10 = p01 + gap
    by_hand = sum(
        math.comb(n, b) * math.comb(n - b, c) * p10**b * p01**c * (1 - p10 - p01) ** (n - b - c)
        for b in range(n + 1) for c in range(n + 1 - b) if float(mcnemar(b, c).mid_p) <= 0.05
    )  # fmt: skip
    assert float(gap_power(n, p01, gap, alpha=0.05)) == pytest.approx(by_hand, abs=1e-12)
    inside = sum(
        math.comb(60, b) * math.comb(60 - b, c) * 0.02 ** (b + c) * 0.96 ** (60 - b - c)
        for b in range(8) for c in range(8) if float(tost_p(b, c, 60, delta=0.1)) < 0.05
    )  # fmt: skip
    assert equivalence_power(60, 0.04, delta=0.1, alpha=0.05) == pytest.approx(inside, abs=1e-4)


def test_what_can_never_be_found_says_so() -> None:
    assert np.isnan(detectable_gap(4, 0.01, alpha=0.05))
    assert requests_for_gap(0.2, 0.001, alpha=0.05) is None
    assert best_repeats(between=0.0, noise=0.1, cost_request=1, cost_repeat=1) == math.inf
    assert best_repeats(between=0.1, noise=0.4, cost_request=4, cost_repeat=1) == pytest.approx(4)


@pytest.mark.parametrize(
    "call",
    [
        lambda: gap_power(0, 0.1, 0.1, alpha=0.05),
        lambda: gap_power(10, 0.5, 0.2, alpha=0.05),
        lambda: gap_power(10, 0.1, 0.1, alpha=0.0),
        lambda: detectable_gap(10, 0.1, alpha=0.05, power=1.0),
        lambda: requests_for_gap(0.1, 0.0, alpha=0.05),
        lambda: equivalence_power(10, 0.1, delta=0.05, alpha=0.05, gap=0.2),
    ],
)
def test_nonsense_is_refused(call: object) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match="lie|lies|at least|psi"):
        call()

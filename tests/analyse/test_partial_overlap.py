"""Where too much is missing for complete pairs, the estimate is that of all valid values, with its own interval."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep  # type: ignore[import-untyped]

from core.analyse.intervals import wilson
from core.analyse.partial_overlap import newcombe_hybrid, overlap_estimate, overlap_interval, overlap_tost_p


def arms(a: list[int | None], b: list[int | None]) -> tuple[np.ndarray, ...]:
    parts = []
    for values in (a, b):
        parts += [np.array([value or 0 for value in values]), np.array([int(value is not None) for value in values])]
    return tuple(parts)


def test_partial_overlap_by_hand() -> None:
    a: list[int | None] = [1, 1, 0, 1, 0, None, 1]
    b: list[int | None] = [0, 1, 0, 0, None, 1, None]
    found = overlap_estimate(*arms(a, b), clusters=None)
    assert found is not None
    have_a, have_b = np.array([1, 1, 0, 1, 0, 1]), np.array([0, 1, 0, 0, 1])
    covariance = float(np.cov([1, 1, 0, 1], [0, 1, 0, 0], ddof=1)[0, 1])
    variance = have_a.var(ddof=1) / 6 + have_b.var(ddof=1) / 5 - 2 * 4 * covariance / 30
    assert (found.gap, found.se, found.df) == (pytest.approx(4 / 6 - 2 / 5), pytest.approx(variance**0.5), 3)
    low, high = overlap_interval(found, conf=0.95)
    assert float(low) < found.gap < float(high) <= 1
    assert found.method == "partial_overlap_t"


def test_arms_without_a_common_request_are_two_independent_rates() -> None:
    a: list[int | None] = [1] * 56 + [0] * 14 + [None] * 80
    b: list[int | None] = [None] * 70 + [1] * 48 + [0] * 32
    found = overlap_estimate(*arms(a, b), clusters=None)
    assert found is not None
    assert found.df is None
    expected = confint_proportions_2indep(56, 70, 48, 80, compare="diff", method="newcomb")
    assert [float(end) for end in overlap_interval(found, conf=0.95)] == pytest.approx(list(expected), abs=1e-9)
    # Newcombe 1998b, example a, method 10
    assert [round(float(end), 4) for end in newcombe_hybrid(0.8, 70, 0.6, 80, conf=0.95)] == [0.0524, 0.3339]


def test_where_nothing_varies_or_an_arm_is_missing_complete_pairs_are_kept() -> None:
    assert overlap_estimate(*arms([0, 0, None], [0, 0, 0]), clusters=None) is None
    assert overlap_estimate(*arms([None, None], [0, 1]), clusters=None) is None
    assert overlap_estimate(*arms([1, None], [0, 1]), clusters=None) is None  # one common request: no covariance


def test_clusters_that_are_requests_hardly_change_it_and_real_ones_widen_it() -> None:
    generator = np.random.default_rng(3)
    a = [int(v) if generator.random() > 0.1 else None for v in generator.random(60) < 0.5]
    b = [int(v) if generator.random() > 0.1 else None for v in generator.random(60) < 0.3]
    alone = overlap_estimate(*arms(a, b), clusters=None)
    paired = overlap_estimate(*(np.repeat(part, 2) for part in arms(a, b)), clusters=np.repeat(np.arange(60), 2))
    assert alone is not None
    assert paired is not None
    assert paired.gap == pytest.approx(alone.gap)
    assert paired.se == pytest.approx(alone.se, rel=0.05)  # doubled requests tell nothing new
    assert paired.df == 59


@given(st.lists(st.tuples(st.sampled_from([0, 1, None]), st.sampled_from([0, 1, None])), min_size=2, max_size=30))
def test_swapping_negates_and_the_interval_holds_the_estimate(pairs: list[tuple[int | None, int | None]]) -> None:
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    one, other = (overlap_estimate(*arms(*sides), clusters=None) for sides in ((a, b), (b, a)))
    assert (one is None) == (other is None)
    if one is None or other is None:
        return
    assert (one.gap, one.p_value) == (pytest.approx(-other.gap), pytest.approx(other.p_value))
    low, high = (float(end) for end in overlap_interval(one, conf=0.95))
    assert -1 <= low <= one.gap + 1e-12
    assert one.gap - 1e-12 <= high <= 1
    assert 0 <= one.p_value <= 1
    assert 0 <= overlap_tost_p(one, delta=0.1) <= 1


def test_wilson_of_the_hybrid_is_the_one_of_rates() -> None:
    low, high = newcombe_hybrid(0.3, 40, 0.0, 1e9, conf=0.9)
    assert [float(low), float(high)] == pytest.approx([float(end) for end in wilson(12, 40, conf=0.9)], abs=1e-6)

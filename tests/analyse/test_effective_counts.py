"""Repeats and clusters: plain intervals at one draw, honest ones with more, permutation invariance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.analyse.effective_counts import (
    cluster_wilson,
    effective_pairs,
    effective_rate,
    tango_eff,
)
from core.analyse.intervals import tango, wilson

repeated = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=40)


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60))
def test_row_29_one_draw_is_plain_tango_and_plain_wilson(pairs: list[tuple[bool, bool]]) -> None:
    k_a, k_b = (np.array(arm, dtype=np.int64) for arm in zip(*pairs, strict=True))
    one = np.ones(len(pairs), dtype=np.int64)
    b, c = int((k_a > k_b).sum()), int((k_b > k_a).sum())
    expected = tango(b, c, len(pairs))
    low, high = tango_eff(k_a, one, k_b, one)
    assert (float(low), float(high)) == pytest.approx(tuple(map(float, expected)), abs=1e-12)
    assert cluster_wilson(k_a, one) == wilson(int(k_a.sum()), len(pairs))


def test_repeats_that_agree_perfectly_carry_no_more_than_one_draw() -> None:
    k = ints(*([5] * 20 + [0] * 30))
    effective = effective_rate(k, np.full(50, 5))
    assert effective.n < 50  # n_eff is n, then the factor for the degrees of freedom
    assert effective.n == pytest.approx(50 * (1.959964 / 2.009575) ** 2, rel=1e-5)


def test_repeats_that_are_independent_carry_more() -> None:
    k = np.random.default_rng(1).binomial(5, 0.3, size=200).astype(np.int64)
    effective = effective_rate(k, np.full(200, 5))
    assert 700 < effective.n <= 1000
    low, high = cluster_wilson(k, np.full(200, 5))
    assert float(low) < effective.rate < float(high)


def test_moment_matching_by_hand() -> None:
    k_a, k_b, two = ints(2, 1, 0, 2), ints(0, 0, 1, 2), np.full(4, 2)
    # d = 1, .5, -.5, 0: mean .25, var 5/12; r = mean(1, .5, .5, 0) = .5; n(r - d²)/v = 4(.4375)/(5/12) = 4.2
    pairs = effective_pairs(k_a, two, k_b, two)
    assert pairs.n == pytest.approx(4.2)
    assert (pairs.b, pairs.c) == pytest.approx((4.2 * 0.375, 4.2 * 0.125))


def test_equal_or_few_differences_fall_back_to_the_number_of_requests() -> None:
    five = np.full(30, 5)
    same = effective_pairs(np.full(30, 3), five, np.full(30, 1), five)
    few = effective_pairs(ints(*([2, 3] + [0] * 28)), five, np.zeros(30, dtype=np.int64), five)
    assert same.n == few.n == 30


def test_zero_variance_is_decided_on_integers() -> None:
    k_a, n_a = ints(1, 2, 1), ints(3, 6, 3)
    pairs = effective_pairs(k_a, n_a, np.zeros(3, dtype=np.int64), np.ones(3, dtype=np.int64))
    assert pairs.n == 3
    assert effective_rate(k_a, n_a).n == pytest.approx(3 * (1.959964 / 4.302653) ** 2, rel=1e-5)


def test_one_request_gives_the_whole_range() -> None:
    for k in (ints(1), ints(0)):
        assert tuple(map(float, cluster_wilson(k, ints(1)))) == (0.0, 1.0)
        assert tuple(map(float, tango_eff(k, ints(1), ints(1), ints(1)))) == (-1.0, 1.0)


def test_clusters_widen_the_interval_and_singletons_change_nothing() -> None:
    k = np.random.default_rng(2).integers(0, 2, size=10).repeat(8)
    one = np.ones(80, dtype=np.int64)
    plain, alone = cluster_wilson(k, one), cluster_wilson(k, one, clusters=np.arange(80))
    shared = cluster_wilson(k, one, clusters=np.arange(10).repeat(8))
    assert plain == alone
    assert float(shared.high - shared.low) > 2 * float(plain.high - plain.low)
    zero = np.zeros(80, dtype=np.int64)
    wide = tango_eff(k, one, zero, one, clusters=np.arange(10).repeat(8))
    narrow = tango_eff(k, one, zero, one)
    assert float(wide.high - wide.low) > 2 * float(narrow.high - narrow.low)


def test_a_single_cluster_is_a_single_unit() -> None:
    one = np.ones(5, dtype=np.int64)
    assert tuple(map(float, cluster_wilson(ints(1, 0, 1, 0, 1), one, clusters=np.zeros(5, dtype=np.int64)))) == (
        0.0,
        1.0,
    )


@given(repeated, st.randoms(use_true_random=False))
def test_order_changes_nothing_and_the_interval_holds_the_estimate(
    counts: list[tuple[int, int]], random: object
) -> None:
    five = np.full(len(counts), 5)
    k_a, k_b = (np.array(arm, dtype=np.int64) for arm in zip(*counts, strict=True))
    low, high = tango_eff(k_a, five, k_b, five)
    gap = float((k_a - k_b).mean()) / 5
    assert float(low) - 1e-9 <= gap <= float(high) + 1e-9
    rate_low, rate_high = cluster_wilson(k_a, five)
    assert float(rate_low) - 1e-9 <= float(k_a.mean()) / 5 <= float(rate_high) + 1e-9
    order = np.random.default_rng(len(counts)).permutation(len(counts))
    again = tango_eff(k_a[order], five, k_b[order], five)
    assert (float(again.low), float(again.high)) == pytest.approx((float(low), float(high)), abs=1e-9)


@given(repeated)
def test_swapping_the_arms_negates_the_effective_interval(counts: list[tuple[int, int]]) -> None:
    five = np.full(len(counts), 5)
    k_a, k_b = (np.array(arm, dtype=np.int64) for arm in zip(*counts, strict=True))
    one, other = tango_eff(k_a, five, k_b, five), tango_eff(k_b, five, k_a, five)
    assert float(one.low) == pytest.approx(-float(other.high), abs=1e-9)


def test_cluster_wilson_covers_where_pooling_does_not() -> None:
    generator = np.random.default_rng(3)
    hits = pooled = 0
    for _ in range(400):
        p = generator.beta(0.5, 2.0, size=100)  # mean .2, requests very unequal
        k = generator.binomial(5, p).astype(np.int64)
        low, high = cluster_wilson(k, np.full(100, 5))
        hits += float(low) <= 0.2 <= float(high)
        low, high = wilson(int(k.sum()), 500)
        pooled += float(low) <= 0.2 <= float(high)
    assert hits / 400 > 0.91
    assert pooled / 400 < 0.88


@pytest.mark.parametrize(
    ("k", "n"), [(ints(1, 1), ints(1)), (ints(2), ints(1)), (ints(-1), ints(1)), (ints(0), ints(0))]
)
def test_nonsense_arms_are_refused(k: np.ndarray, n: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"success|valid"):
        effective_rate(k, n)


def test_no_requests_give_no_pairs_and_no_rate() -> None:
    none = ints()
    assert effective_pairs(none, none, none, none).n == 0
    with pytest.raises(ValueError, match="at least one"):
        effective_rate(none, none)

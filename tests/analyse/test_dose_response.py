"""Trends, reversals and spreads over levels: published values, other packages, planted truths, degenerate cases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import page_trend_test, spearmanr  # type: ignore[import-untyped]
from statsmodels.stats.contingency_tables import cochrans_q  # type: ignore[import-untyped]

from core.analyse.dose_response import cochran_q, largest_reversal, page_trend, spearman
from core.analyse.heterogeneity import heterogeneity

PAGE = (343, 224, 335, 132, 232, 245, 124, 344, 245, 134)


def test_pages_trend_is_the_published_one() -> None:
    table = np.array([[int(digit) for digit in str(row)] for row in PAGE], dtype=float)
    found = page_trend(table)
    assert (found.page_l, round(found.p_value / 2, 8)) == (133.5, 0.00181912)
    assert page_trend(-table).p_value == pytest.approx(found.p_value)


def test_a_long_trend_is_scipys_where_nothing_is_tied() -> None:
    generator = np.random.default_rng(0)
    table = np.argsort(generator.random((60, 7)), axis=1) + 0.3 * np.arange(7)
    reference = page_trend_test(table, method="asymptotic")
    found = page_trend(table)
    assert (found.page_l, found.p_value) == (pytest.approx(reference.statistic), pytest.approx(2 * reference.pvalue))


def test_equal_levels_have_no_trend_and_ties_keep_the_level() -> None:
    assert page_trend(np.ones((5, 4)))[1:] == (1.0, None)
    assert page_trend(np.zeros((0, 4))).p_value == 1.0
    generator = np.random.default_rng(1)
    rejected = [page_trend((generator.random((200, 9)) < 0.05).astype(float)).p_value <= 0.05 for _ in range(300)]
    assert 0.02 <= np.mean(rejected) <= 0.09


@given(st.lists(st.tuples(st.floats(-3, 3), st.integers(0, 3)), min_size=3, max_size=12))
def test_spearman_is_scipys(pairs: list[tuple[float, int]]) -> None:
    x, y = (np.array(values, dtype=float) for values in zip(*pairs, strict=True))
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert spearman(x, y) is None
    else:
        assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)


def test_the_largest_reversal_is_the_largest_step_back() -> None:
    means = np.array([[0.1, 0.3, 0.2, 0.4], [0.0, 0.1, 0.2, 0.3]])
    assert largest_reversal(means, rising=True) == pytest.approx([0.1, 0.0])
    assert largest_reversal(means[1], rising=False) == pytest.approx(0.1)


@given(st.lists(st.tuples(*[st.integers(0, 1)] * 4), min_size=2, max_size=30))
def test_cochrans_q_is_statsmodels(rows: list[tuple[int, ...]]) -> None:
    labels = np.array(rows)
    found = cochran_q(labels)
    if np.all(labels.sum(axis=1) % 4 == 0):
        assert found == (0.0, 3, 1.0)
    else:
        reference = cochrans_q(labels)
        assert (found.q, found.p_value) == (pytest.approx(reference.statistic), pytest.approx(reference.pvalue))


def test_the_spread_between_wordings_is_unbiased_and_its_test_holds_its_level() -> None:
    generator, squares, rejected = np.random.default_rng(3), [], 0
    for _ in range(40):
        d = (generator.random((100, 5)) < 0.3).astype(float) - (generator.random((100, 5)) < 0.2)
        found = heterogeneity(d, conf=0.95, seed=0)
        assert found is not None
        rejected += found.p_value <= 0.05
        covariance = np.cov(d, rowvar=False)
        off = (covariance.sum() - np.trace(covariance)) / 20
        squares.append(d.mean(axis=0).var(ddof=1) - (np.trace(covariance) / 5 - off) / 100)
    assert abs(np.mean(squares)) < 3.5 * np.std(squares) / np.sqrt(40)
    assert rejected <= 6


def test_wordings_that_differ_are_found() -> None:
    generator = np.random.default_rng(5)
    d = (generator.random((200, 5)) < np.array([0.1, 0.2, 0.3, 0.4, 0.5])).astype(float)
    found = heterogeneity(d, conf=0.95, seed=0)
    assert found is not None
    assert found.p_value == 1 / 2000
    assert found.low < np.std([0.1, 0.2, 0.3, 0.4, 0.5], ddof=1) < found.high
    same = heterogeneity(np.ones((10, 3)), conf=0.95, seed=0)
    assert same == (0.0, 0.0, 0.0, 1.0)
    assert heterogeneity(np.ones((1, 3)), conf=0.95, seed=0) is None

"""A gap where some requests lack an arm: from all valid values, or from two arms that share no request.

Used only where too much is missing for complete pairs alone. Pure over integer arrays, one entry a request; an arm
without a valid sample has 0 of 0 there.
"""

from typing import NamedTuple

import numpy as np

from core.analyse.distributions import FloatArray, normal_cdf, two_sided_t, two_sided_t_p
from core.analyse.effective_counts import IntArray, coarser_clusters, effective_rate, sum_by_cluster
from core.analyse.intervals import Interval, wilson


class Estimate(NamedTuple):
    """A gap from unequal sets of requests. df: degrees of freedom of the t statistic; None without any overlap."""

    gap: float
    se: float
    df: int | None
    p_value: float
    arms: tuple[float, float, float, float] | None = None
    """Rate and effective n of both arms, where there is no overlap."""

    @property
    def method(self) -> str:
        """As in the column `method`."""
        return "newcombe_hybrid+score" if self.df is None else "partial_overlap_t"


def overlap_estimate(
    k_a: IntArray, n_a: IntArray, k_b: IntArray, n_b: IntArray, *, clusters: IntArray | None
) -> Estimate | None:
    """The estimate that fits; None where an arm has no value, or nothing varies and complete pairs say more.

    Overlap of two requests at least: ĝ = Ȳ_A − Ȳ_B over all valid values, Var = s_A²/n_A + s_B²/n_B −
    2·n_AB·cov_AB/(n_A·n_B), t with n_AB − 1 (Derrick et al. 2017); with clusters the same influence summed by cluster,
    G/(G−1), t with G − 1. None: Newcombe's hybrid interval of two rates (1998b, method 10) and the score test.
    """
    have_a, have_b = n_a > 0, n_b > 0
    both = have_a & have_b
    if not have_a.any() or not have_b.any():
        return None
    y_a, y_b = k_a / np.maximum(n_a, 1), k_b / np.maximum(n_b, 1)
    gap = float(y_a[have_a].mean() - y_b[have_b].mean())
    if not both.any():
        return _apart(k_a[have_a], n_a[have_a], k_b[have_b], n_b[have_b], gap=gap)
    groups = coarser_clusters(clusters, len(n_a))
    if groups is None:
        variance, df = _overlap_variance(y_a, y_b, have_a, have_b), int(both.sum()) - 1
    else:
        influence = np.where(have_a, (y_a - y_a[have_a].mean()) / have_a.sum(), 0.0)
        influence -= np.where(have_b, (y_b - y_b[have_b].mean()) / have_b.sum(), 0.0)
        sums = sum_by_cluster(influence, groups)
        df = len(sums) - 1
        variance = float(np.square(sums).sum()) * len(sums) / df if df else 0.0
    if df < 1 or variance <= 1e-15:
        return None
    se = float(np.sqrt(variance))
    return Estimate(gap, se, df, float(two_sided_t_p(gap / se, df)))


def overlap_interval(estimate: Estimate, *, conf: float) -> Interval:
    """The interval of an estimate, inside [−1, 1]."""
    if estimate.df is not None:
        half = float(two_sided_t(conf, estimate.df)) * estimate.se
        return Interval(np.asarray(max(-1.0, estimate.gap - half)), np.asarray(min(1.0, estimate.gap + half)))
    assert estimate.arms is not None
    return newcombe_hybrid(*estimate.arms, conf=conf)


def overlap_tost_p(estimate: Estimate, *, delta: float) -> float:
    """Two one-sided tests of |gap| ≥ Δ by the statistic of the estimate."""
    nearest = delta - abs(estimate.gap)
    if estimate.se <= 0:
        return 0.0 if nearest > 0 else 1.0
    ratio = nearest / estimate.se
    two_sided = (
        float(two_sided_t_p(ratio, estimate.df))
        if estimate.df is not None
        else 2 * float(normal_cdf(-abs(ratio)))
    )  # fmt: skip
    return two_sided / 2 if nearest > 0 else 1 - two_sided / 2


def newcombe_hybrid(rate_a: float, n_a: float, rate_b: float, n_b: float, *, conf: float) -> Interval:
    """Square-and-add of two Wilson intervals, independent arms (Newcombe 1998b, method 10)."""
    low_a, high_a = wilson(rate_a * n_a, n_a, conf=conf)
    low_b, high_b = wilson(rate_b * n_b, n_b, conf=conf)
    gap = rate_a - rate_b
    low = gap - np.sqrt((rate_a - low_a) ** 2 + (high_b - rate_b) ** 2)
    high = gap + np.sqrt((high_a - rate_a) ** 2 + (rate_b - low_b) ** 2)
    return Interval(np.clip(low, -1, 1), np.clip(high, -1, 1))


def _overlap_variance(y_a: FloatArray, y_b: FloatArray, have_a: np.ndarray, have_b: np.ndarray) -> float:
    both = have_a & have_b
    n_a, n_b, n_ab = int(have_a.sum()), int(have_b.sum()), int(both.sum())
    if n_ab < 2:
        return 0.0  # no covariance: the caller keeps to complete pairs
    covariance = float(np.cov(y_a[both], y_b[both], ddof=1)[0, 1])
    alone = float(y_a[have_a].var(ddof=1)) / n_a + float(y_b[have_b].var(ddof=1)) / n_b
    return alone - 2 * n_ab * covariance / (n_a * n_b)


def _apart(k_a: IntArray, n_a: IntArray, k_b: IntArray, n_b: IntArray, *, gap: float) -> Estimate:
    a, b = effective_rate(k_a, n_a), effective_rate(k_b, n_b)
    pooled = (a.rate * a.n + b.rate * b.n) / (a.n + b.n)
    se = float(np.sqrt(pooled * (1 - pooled) * (1 / a.n + 1 / b.n)))
    p = 1.0 if se == 0 else float(2 * normal_cdf(-abs(gap) / se))
    return Estimate(gap, se, None, p, (a.rate, a.n, b.rate, b.n))

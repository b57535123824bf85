"""Whether a response rises with an ordered factor: trend tests, the largest reversal, Cochran's Q.

Pure over requests × levels, levels in order. Sources: Page 1963; Cochran 1950.
"""

from typing import NamedTuple

import numpy as np

from core.analyse.distributions import FloatArray, chi2_tail, mid_ranks, normal_cdf, page_exact_p
from core.analyse.effective_counts import IntArray

_EXACT_RANKS = 300  # Page's exact null takes seconds above that many, and then the normal one is close


class Trend(NamedTuple):
    """Page's L, the two-sided p, and Spearman's correlation of the levels' means with their order."""

    page_l: float
    p_value: float
    spearman: float | None


class Omnibus(NamedTuple):
    """Cochran's Q with its degrees of freedom and p."""

    q: float
    df: int
    p_value: float


def page_trend(responses: FloatArray) -> Trend:
    """Trend over the columns, each row ranked by itself (ties at their mean).

    L = Σⱼ j·Σᵢ R_ij. Up to six levels and 300 values: Page's exact null, which holds no ties and so errs on the safe
    side; else z = (L − E L)/√V with V = Σᵢ Σⱼ(j−j̄)²·Σⱼ(R_ij−R̄)²/(k−1), which counts them. p = 1 with nothing to rank.
    """
    n, k = responses.shape
    if n == 0 or k < 2:
        return Trend(0.0, 1.0, None)
    ranks = mid_ranks(responses)
    order = np.arange(1, k + 1, dtype=np.float64)
    statistic = float(ranks.sum(axis=0) @ order)
    centred = ranks - (k + 1) / 2
    variance = float(np.square(order - order.mean()).sum() * np.square(centred).sum() / (k - 1))
    if variance == 0:
        return Trend(statistic, 1.0, None)
    expected = n * k * (k + 1) ** 2 / 4
    if k <= 6 and n * k <= _EXACT_RANKS and k > 2:
        one_sided = page_exact_p(ranks if statistic >= expected else k + 1 - ranks)
    else:
        one_sided = float(normal_cdf(-abs(statistic - expected) / np.sqrt(variance)))
    return Trend(statistic, min(1.0, 2 * one_sided), spearman(order, responses.mean(axis=0)))


def largest_reversal(means: FloatArray, *, rising: bool) -> FloatArray:
    """Largest step against the direction between neighbouring levels (last axis), 0 where there is none."""
    steps = np.diff(means, axis=-1) * (1 if rising else -1)
    return np.asarray(np.maximum(0.0, -steps.min(axis=-1)))


def cochran_q(labels: IntArray) -> Omnibus:
    """Whether k ≥ 2 related shares are equal, from requests × k labels of 0 and 1.

    Q = (k−1)(k·ΣC² − T²)/(k·T − ΣR²) over column sums C and row sums R; p = 1 where no request differs.
    """
    _, k = labels.shape
    columns, rows, total = labels.sum(axis=0), labels.sum(axis=1), labels.sum()
    below = float(k * total - np.square(rows).sum())
    if below == 0:
        return Omnibus(0.0, k - 1, 1.0)
    q = (k - 1) * float(k * np.square(columns).sum() - total**2) / below
    return Omnibus(q, k - 1, float(chi2_tail(q, k - 1)))


def spearman(x: FloatArray, y: FloatArray) -> float | None:
    """Correlation of mid-ranks; None where one side is constant."""
    first, second = mid_ranks(x), mid_ranks(y)
    first, second = first - first.mean(), second - second.mean()
    size = float(np.sqrt(np.square(first).sum() * np.square(second).sum()))
    return float(first @ second) / size if size > 0 else None

"""How well scores tell positives from negatives: the area under the ROC curve with DeLong's variance.

Sources: DeLong, DeLong & Clarke-Pearson 1988; mid-ranks after Sun & Xu 2014.
"""

from typing import NamedTuple

import numpy as np

from core.analyse.distributions import FloatArray, mid_ranks, normal_cdf, two_sided_z
from core.analyse.effective_counts import IntArray
from core.analyse.intervals import Interval, never_bound
from core.analyse.resampling import bootstrap_weights, percentile_interval


class Auroc(NamedTuple):
    """The area, DeLong's standard error, and the interval on the logit scale."""

    area: float
    se: float
    low: float
    high: float


class AurocDifference(NamedTuple):
    """First minus second judge on the same items, with its standard error and two-sided p."""

    difference: float
    se: float
    p_value: float


def auroc(positives: FloatArray, negatives: FloatArray, *, conf: float = 0.95) -> Auroc:
    """P(positive > negative) + ½P(equal). ValueError where a side is empty.

    V10ᵢ = (Rᵢ − Rᵢ⁺)/n, V01ⱼ = 1 − (Rⱼ − Rⱼ⁻)/m, var = S10/m + S01/n, S with ddof 1. Scores that separate the sides
    perfectly have no variance: then the far end is the exact bound of an empty cell of the smaller side.
    """
    of_positives, of_negatives = _placements(positives, negatives)
    area = float(of_positives.mean())
    m, n = len(positives), len(negatives)
    se = float(np.sqrt(_spread(of_positives) / m + _spread(of_negatives) / n))
    if area in (0.0, 1.0) or se == 0:
        reach = float(never_bound(min(m, n), conf=conf))
        return Auroc(area, se, max(0.0, area - reach), min(1.0, area + reach))
    half = two_sided_z(conf) * se / (area * (1 - area))
    logit = np.log(area / (1 - area))
    low, high = 1 / (1 + np.exp(-np.array([logit - half, logit + half])))
    return Auroc(area, se, float(low), float(high))


def compare_auroc(
    positives: tuple[FloatArray, FloatArray], negatives: tuple[FloatArray, FloatArray]
) -> AurocDifference:
    """Two judges on the same items: the difference of their areas by DeLong's covariance."""
    placed = [_placements(p, n) for p, n in zip(positives, negatives, strict=True)]
    areas = [float(p.mean()) for p, _ in placed]
    of_difference = _spread(placed[0][0] - placed[1][0]) / len(positives[0])
    of_difference += _spread(placed[0][1] - placed[1][1]) / len(negatives[0])
    difference, se = areas[0] - areas[1], float(np.sqrt(of_difference))
    p = float(2 * normal_cdf(-abs(difference) / se)) if se > 0 else float(difference == 0)
    return AurocDifference(difference, se, p)


def clustered_auroc_interval(
    scores: FloatArray, truth: np.ndarray, clusters: IntArray, *, seed: int, conf: float = 0.95
) -> Interval:
    """Percentile bootstrap of the area over clusters (items of one request), both sides drawn together.

    Draws that hold no item of a side are left out; [0, 1] if none is left.
    """
    names, codes = np.unique(clusters, return_inverse=True)
    weights = bootstrap_weights(len(names), seed=seed, family="auroc")[:, codes]
    positive, negative = truth.astype(bool), ~truth.astype(bool)
    wins = np.sign(scores[positive][:, None] - scores[negative][None, :]) / 2 + 0.5
    of_positives, of_negatives = weights[:, positive], weights[:, negative]
    totals = of_positives.sum(axis=1) * of_negatives.sum(axis=1)
    there = totals > 0
    if not there.any():
        return Interval(np.asarray(0.0), np.asarray(1.0))
    areas = ((of_positives @ wins) * of_negatives).sum(axis=1)[there] / totals[there]
    return percentile_interval(areas, conf=conf)


def _placements(positives: FloatArray, negatives: FloatArray) -> tuple[FloatArray, FloatArray]:
    m, n = len(positives), len(negatives)
    if m == 0 or n == 0:
        raise ValueError("an area needs a positive and a negative item")
    together = mid_ranks(np.concatenate([positives, negatives]))
    of_positives = (together[:m] - mid_ranks(positives)) / n
    of_negatives = 1 - (together[m:] - mid_ranks(negatives)) / m
    return of_positives, of_negatives


def _spread(values: FloatArray) -> float:
    return float(np.var(values, ddof=1)) if len(values) > 1 else 0.0

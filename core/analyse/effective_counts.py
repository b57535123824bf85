"""Repeats and clusters brought down to counts that the one-draw intervals understand.

Inputs are integers per prompt (successes and valid samples), sorted by request id; prompts are equally weighted.
Sources: Miller 2024 for the variance over prompts, Korn & Graubard for the degrees of freedom, Franco et al.
(PMC6690503) for Wilson on effective counts; the moment matching of pairs is our own (coverage .94 to .97).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.analyse.distributions import FloatArray, two_sided_t, two_sided_z
from core.analyse.intervals import Interval, tango, wilson

IntArray = NDArray[np.int64]

_FEWEST_NONZERO = 3
"""With fewer nonzero differences their variance says nothing: the effective n is the number of prompts."""


class EffectiveRate(NamedTuple):
    """A rate as if from `n` independent draws; `units` are prompts, or clusters where prompts share them."""

    rate: float
    n: float
    units: int


class EffectivePairs(NamedTuple):
    """Discordant counts and pairs as if from one draw per arm; gap = (b − c)/n. `units` as in EffectiveRate."""

    b: float
    c: float
    n: float
    units: int


def effective_rate(
    successes: IntArray, trials: IntArray, *, conf: float = 0.95, clusters: IntArray | None = None
) -> EffectiveRate:
    """Mean of the per-prompt rates and its effective n* (every prompt with trials ≥ 1, at least one prompt).

    One draw per prompt: n* = n. Repeats: n_eff = clip(p(1−p)/v, n, ΣK) with v = Σ(Y−p)²/(n−1)/n, n where all Y are
    equal; n* = n_eff·(z/t_{n−1})². Clusters: v with G/(G−1) over cluster sums, n_eff not held up to n, t_{G−1}.
    """
    _check_arm(successes, trials)
    n = len(trials)
    if n == 0:
        raise ValueError("a rate needs at least one prompt with a valid sample")
    y = successes / trials
    rate = float(y.mean())
    groups = coarser_clusters(clusters, n)
    units = n if groups is None else _n_groups(groups)
    if units < 2 or (groups is None and np.all(trials == 1)):
        return EffectiveRate(rate, float(n if groups is None else units), units)
    if np.all(successes * trials[0] == successes[0] * trials):
        effective = float(units)
    else:
        variance = _variance_of_mean(y - rate, groups)
        floor = float(n) if groups is None else 0.0
        effective = float(np.clip(rate * (1 - rate) / variance, floor, trials.sum())) if variance > 0 else float(units)
    return EffectiveRate(rate, effective * _df_factor(conf, units), units)


def cluster_wilson(
    successes: IntArray, trials: IntArray, *, conf: float = 0.95, clusters: IntArray | None = None
) -> Interval:
    """Wilson interval on p·n*, n* of `effective_rate`; plain Wilson at one draw per prompt; [0, 1] for one unit."""
    effective = effective_rate(successes, trials, conf=conf, clusters=clusters)
    if effective.units < 2:
        return Interval(np.asarray(0.0), np.asarray(1.0))
    return wilson(effective.rate * effective.n, effective.n, conf=conf)


def effective_pairs(
    k_a: IntArray,
    trials_a: IntArray,
    k_b: IntArray,
    trials_b: IntArray,
    *,
    conf: float = 0.95,
    clusters: IntArray | None = None,
) -> EffectivePairs:
    """Moment-matched discordant counts of complete pairs (`tango_eff`); zeros where there is no pair.

    r = mean[Y_A(1−Y_B) + Y_B(1−Y_A)], v = var(d, ddof=1), n* = clip(n(r−d̄²)/v, n, nK), b* = n*(r+d̄)/2,
    c* = n*(r−d̄)/2, K = the larger mean number of draws of the two arms. n* = n at one draw per arm, where all d are
    equal, and with fewer than 3 nonzero d. Clusters: v/n from cluster sums with G/(G−1), n* not held up to n and
    times (z/t_{G−1})².
    """
    _check_arm(k_a, trials_a)
    _check_arm(k_b, trials_b)
    n = len(trials_a)
    if n == 0:
        return EffectivePairs(0.0, 0.0, 0.0, 0)
    y_a, y_b = k_a / trials_a, k_b / trials_b
    b, c = float((y_a * (1 - y_b)).mean()), float((y_b * (1 - y_a)).mean())
    groups = coarser_clusters(clusters, n)
    units = n if groups is None else _n_groups(groups)
    effective = _pairs_n(k_a, trials_a, k_b, trials_b, groups=groups)
    if groups is not None and units > 1:
        effective *= _df_factor(conf, units)
    return EffectivePairs(b * effective, c * effective, effective, units)


def tango_eff(
    k_a: IntArray,
    trials_a: IntArray,
    k_b: IntArray,
    trials_b: IntArray,
    *,
    conf: float = 0.95,
    clusters: IntArray | None = None,
) -> Interval:
    """Tango interval on `effective_pairs`; plain Tango at one draw per arm; [−1, 1] for fewer than two units."""
    pairs = effective_pairs(k_a, trials_a, k_b, trials_b, conf=conf, clusters=clusters)
    if pairs.units < 2:
        return Interval(np.asarray(-1.0), np.asarray(1.0))
    return tango(pairs.b, pairs.c, pairs.n, conf=conf)


def coarser_clusters(clusters: IntArray | None, n_prompts: int) -> IntArray | None:
    """The cluster codes 0…G−1 if some prompts share one, else None: the prompt is its own cluster."""
    if clusters is None:
        return None
    if len(clusters) != n_prompts:
        raise ValueError(f"{len(clusters)} clusters for {n_prompts} prompts")
    names, codes = np.unique(clusters, return_inverse=True)
    return codes.astype(np.int64) if len(names) < n_prompts else None


def sum_by_cluster(values: FloatArray, groups: IntArray | None) -> FloatArray:
    """Sums of the values within each cluster; the values themselves where prompts are the units."""
    return values if groups is None else np.bincount(groups, weights=values).astype(np.float64)


def _pairs_n(k_a: IntArray, trials_a: IntArray, k_b: IntArray, trials_b: IntArray, *, groups: IntArray | None) -> float:
    n = len(trials_a)
    units = n if groups is None else _n_groups(groups)
    one_draw = bool(np.all(trials_a == 1) and np.all(trials_b == 1))
    if units < 2 or (groups is None and one_draw):
        return float(units)
    # integers decide whether the variance is zero: floats of thirds and sixths do not
    numerator, denominator = k_a * trials_b - k_b * trials_a, trials_a * trials_b
    nonzero = numerator != 0 if groups is None else np.bincount(groups, weights=numerator != 0) > 0
    if np.all(numerator * denominator[0] == numerator[0] * denominator) or nonzero.sum() < _FEWEST_NONZERO:
        return float(units)
    y_a, y_b = k_a / trials_a, k_b / trials_b
    d = y_a - y_b
    mean = float(d.mean())
    discordance = float((y_a * (1 - y_b) + y_b * (1 - y_a)).mean())
    variance = _variance_of_mean(d - mean, groups)
    if variance <= 0:
        return float(units)
    most = n * max(float(trials_a.mean()), float(trials_b.mean()))
    return float(np.clip((discordance - mean * mean) / variance, n if groups is None else 0.0, most))


def _variance_of_mean(residuals: FloatArray, groups: IntArray | None) -> float:
    """v/n of n residuals: Σe²/(n−1)/n, or the cluster-robust G/(G−1)·Σ_g(Σe)²/n²."""
    n = len(residuals)
    sums = sum_by_cluster(residuals, groups)
    units = len(sums)
    return float(units / (units - 1) * np.square(sums).sum() / (n * n))


def _df_factor(conf: float, units: int) -> float:
    return float((two_sided_z(conf) / two_sided_t(conf, units - 1)) ** 2)


def _n_groups(groups: IntArray) -> int:
    return int(groups.max()) + 1


def _check_arm(successes: IntArray, trials: IntArray) -> None:
    if len(successes) != len(trials):
        raise ValueError(f"{len(successes)} success counts for {len(trials)} prompts")
    if np.any(trials < 1):
        raise ValueError("every prompt needs at least one valid sample: drop the others first")
    if np.any(successes < 0) or np.any(successes > trials):
        raise ValueError("successes must lie between 0 and the number of valid samples")

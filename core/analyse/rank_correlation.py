"""Correlation of two quantities over few models: permutation tests, a two-stage bootstrap, and the power it has."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from core.analyse.distributions import FloatArray, mid_ranks, normal_cdf, two_sided_z
from core.analyse.dose_response import spearman
from core.analyse.intervals import Interval
from core.analyse.paired_tests import flip_generator

RESAMPLES = 9_999
FEWEST_MODELS = 4
_SPREAD = 1.03
"""Fieller, Hartley & Pearson 1957: √(N − 3)·(Fisher's z of Spearman's ρ) has this standard deviation."""

Statistic = Literal["spearman", "kendall"]


class Correlation(NamedTuple):
    """A correlation over N models and its two-sided permutation p."""

    estimate: float
    p_value: float


def correlate(x: FloatArray, y: FloatArray, *, statistic: Statistic, seed: int) -> Correlation | None:
    """Spearman's ρ or Kendall's τ-b by 9,999 permutations of y, p = (hits + 1)/(R + 1).

    None for fewer than four models, or where one side is constant.
    """
    first, second = _scores(x, statistic), _scores(y, statistic)
    size = float(np.sqrt(np.square(first).sum() * np.square(second).sum()))
    if len(x) < FEWEST_MODELS or size == 0:
        return None
    observed = float((first * second).sum()) / size
    orders = _orders(seed, len(x))
    if statistic == "spearman":
        draws = second[orders] @ first / size
    else:
        draws = np.array([(first * second[np.ix_(order, order)]).sum() for order in orders]) / size
    hits = int((np.abs(draws) >= abs(observed) - 1e-12).sum())
    return Correlation(observed, (hits + 1) / (RESAMPLES + 1))


def partial_spearman(x: FloatArray, y: FloatArray, covariates: FloatArray, *, seed: int) -> Correlation | None:
    """ρ of what ranks of x and y keep beyond ranks of the covariates (models × columns).

    The residuals of y are permuted (Freedman & Lane 1983). None where nothing is left to correlate.
    """
    design = np.column_stack([np.ones(len(x)), mid_ranks(covariates.T).T])
    if len(x) < design.shape[1] + 2:
        return None
    keep = np.eye(len(x)) - design @ np.linalg.pinv(design)
    of_x, of_y = keep @ mid_ranks(x), keep @ mid_ranks(y)
    if np.square(of_x).sum() < 1e-9 or np.square(of_y).sum() < 1e-9:
        return None
    observed = float(of_x @ of_y / np.sqrt(np.square(of_x).sum() * np.square(of_y).sum()))
    shuffled = of_y[_orders(seed, len(x))] @ keep
    draws = shuffled @ of_x / np.sqrt(np.square(of_x).sum() * np.square(shuffled).sum(axis=1))
    hits = int((np.abs(draws) >= abs(observed) - 1e-12).sum())
    return Correlation(observed, (hits + 1) / (RESAMPLES + 1))


def two_stage_interval(x: FloatArray, y: FloatArray, *, conf: float, seed: int) -> Interval:
    """Percentile interval of ρ: models are drawn, and of each one of its bootstrap draws over requests.

    x, y: draws × models. Draws in which a side is constant are left out; [−1, 1] if none is left.
    """
    draws, n = x.shape
    generator = flip_generator(seed, "models")
    chosen = generator.integers(0, n, (draws, n))
    at = np.arange(draws)[:, None]
    found = [
        value
        for one, other in zip(x[at, chosen], y[at, chosen], strict=True)
        if (value := spearman(one, other)) is not None
    ]
    if not found:
        return Interval(np.asarray(-1.0), np.asarray(1.0))
    tail = (1 - conf) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return Interval(np.asarray(low), np.asarray(high))


def without_each_lab(x: FloatArray, y: FloatArray, labs: Sequence[str]) -> tuple[float, float] | None:
    """Smallest and largest ρ when the models of one lab are left out; None for a single lab."""
    names = np.array(labs)
    found = [spearman(x[names != lab], y[names != lab]) for lab in dict.fromkeys(labs) if (names != lab).sum() > 1]
    there = [value for value in found if value is not None]
    return (min(there), max(there)) if len(there) > 1 else None


def correlation_power(rho: float, n: int, *, alpha: float = 0.05) -> float:
    """Chance that a two-sided test over n models finds ρ: Φ(atanh(ρ)·√(n − 3)/1.03 − z). 0 for fewer than four."""
    if n < FEWEST_MODELS:
        return 0.0
    shift = abs(np.arctanh(rho)) * np.sqrt(n - 3) / _SPREAD
    z = two_sided_z(1 - alpha)
    return float(normal_cdf(shift - z) + normal_cdf(-shift - z))


def smallest_detectable(n: int, *, power: float = 0.8, alpha: float = 0.05) -> float | None:
    """|ρ| that a test over n models finds with this power: smaller ones are not excluded by a p above alpha."""
    if n < FEWEST_MODELS:
        return None
    needed = two_sided_z(1 - alpha) + two_sided_z(2 * power - 1)
    return float(np.tanh(needed * _SPREAD / np.sqrt(n - 3)))


def _scores(values: FloatArray, statistic: Statistic) -> FloatArray:
    if statistic == "spearman":
        ranks = mid_ranks(values)
        return np.asarray(ranks - ranks.mean())
    return np.asarray(np.sign(values[:, None] - values[None, :]), dtype=np.float64)


def _orders(seed: int, n: int) -> np.ndarray:
    return np.argsort(flip_generator(seed, f"pairings/{n}").random((RESAMPLES, n)), axis=1)

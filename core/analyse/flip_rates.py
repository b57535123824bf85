"""Companions of a gap that need no headroom: flip rates, and the ratio of the discordant counts."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from core.analyse.distributions import FloatArray, binomial_cdf, binomial_pmf
from core.analyse.intervals import Interval, wilson

_BISECTIONS = 50


def flip_rate(moved: FloatArray, unmoved: FloatArray, *, conf: float) -> tuple[FloatArray, Interval]:
    """Of the requests on one side in arm b, the share that is on the other in arm a, with Wilson's interval.

    One draw: n10/(n10 + n00) of those refused in arm b; repeats: ΣY_A(1−Y_B)/Σ(1−Y_B). The rate is NaN where nothing is
    on that side. Random flips alone give it a floor (5 % per arm: 9.5 %), so it is never evidence without its reverse.
    """
    n = np.maximum(unmoved, moved)  # sums of floats: a whole may fall short of its part by rounding
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = np.where(n > 0, moved / n, np.nan)
    return rate, wilson(moved, n, conf=conf)


def odds_ratio(b: FloatArray, c: FloatArray, *, conf: float) -> tuple[FloatArray, Interval]:
    """b/c with the mid-p interval of b of b + c (McNemar's odds ratio, one draw per arm); NaN or ∞ where c = 0.

    The ends π/(1−π), where P_π(X > b) + ½P_π(X = b) = (1−conf)/2 for the lower π, and the same below b for the upper.
    """
    total = b + c
    tail = (1 - conf) / 2
    low = _solve(lambda p: 1 - binomial_cdf(b, total, p) + binomial_pmf(b, total, p) / 2 <= tail, total)
    high = _solve(lambda p: binomial_cdf(b, total, p) - binomial_pmf(b, total, p) / 2 > tail, total)
    low, high = np.where(b > 0, low, 0.0), np.where(c > 0, high, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = [np.where(total > 0, part / (1 - part), np.nan) for part in (b / total, low, high)]
    return ratios[0], Interval(ratios[1], ratios[2])


def _solve(stays_low: Callable[[FloatArray], NDArray[np.bool_]], like: FloatArray) -> FloatArray:
    """The share up to which a condition holds, by bisection."""
    left, right = np.zeros_like(like), np.ones_like(like)
    for _ in range(_BISECTIONS):
        middle = (left + right) / 2
        holds = stays_low(middle)
        left, right = np.where(holds, middle, left), np.where(holds, right, middle)
    return (left + right) / 2

"""Confidence intervals of one rate and of a paired difference of rates, vectorised over cells.

Counts may be real-valued (effective counts). A cell with n = 0 gets the whole range, never NaN. Sources are given
in each function; the published values that they must reproduce are in the tests.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from core.analyse.distributions import FloatArray, beta_quantile, check_conf, two_sided_z

_BISECTIONS = 60  # 2 / 2**60 is below the spacing of floats near 1
_ROUNDING = 1e-9  # effective counts are products of floats: k may exceed n by this share of n


class Interval(NamedTuple):
    """Both ends, arrays of the broadcast shape of the inputs."""

    low: FloatArray
    high: FloatArray


def wilson(k: ArrayLike, n: ArrayLike, *, conf: float = 0.95) -> Interval:
    """Wilson score interval of k/n: (k + z²/2 ± z·√(k(n−k)/n + z²/4)) / (n + z²) (Newcombe 1998a)."""
    successes, trials = _counts(k, n)
    z = two_sided_z(conf)
    safe = np.where(trials > 0, trials, 1.0)
    centre = successes + z * z / 2
    spread = z * np.sqrt(np.clip(successes * (trials - successes) / safe, 0, None) + z * z / 4)
    return _rate_ends(
        (centre - spread) / (trials + z * z), (centre + spread) / (trials + z * z), successes=successes, trials=trials
    )


def clopper_pearson(k: ArrayLike, n: ArrayLike, *, conf: float = 0.95) -> Interval:
    """Exact two-sided interval of k/n by beta quantiles (Clopper & Pearson 1934)."""
    successes, trials = _counts(k, n)
    tail = (1 - check_conf(conf)) / 2
    low = beta_quantile(tail, np.where(successes > 0, successes, 1.0), trials - successes + 1)
    high = beta_quantile(1 - tail, successes + 1, np.where(successes < trials, trials - successes, 1.0))
    return _rate_ends(low, high, successes=successes, trials=trials)


def jeffreys(k: ArrayLike, n: ArrayLike, *, conf: float = 0.95) -> Interval:
    """Equal-tailed interval of Beta(k + ½, n − k + ½), closed at 0 and 1 (Brown, Cai & DasGupta 2001)."""
    successes, trials = _counts(k, n)
    tail = (1 - check_conf(conf)) / 2
    low = beta_quantile(tail, successes + 0.5, trials - successes + 0.5)
    high = beta_quantile(1 - tail, successes + 0.5, trials - successes + 0.5)
    return _rate_ends(low, high, successes=successes, trials=trials)


def never_bound(n: ArrayLike, *, conf: float = 0.95) -> FloatArray:
    """One-sided Clopper–Pearson upper bound of a rate with 0 of n: 1 − (1−conf)^(1/n); 1 where n = 0.

    By symmetry the lower bound of a full cell (n of n) is 1 − never_bound(n). n counts prompts, whatever the repeats.
    """
    _, trials = _counts(0.0, n)
    check_conf(conf)
    return np.where(trials > 0, -np.expm1(np.log1p(-conf) / np.where(trials > 0, trials, 1.0)), 1.0)


def tango_z(delta: ArrayLike, b: ArrayLike, c: ArrayLike, n: ArrayLike) -> FloatArray:
    """Score statistic of a paired difference against δ (Tango 1998); falls with δ.

    Z(δ) = (b−c−nδ) / √(n(2q + δ(1−δ))), q = (√(B²−8nC) − B)/(4n), B = −b−c+(2n−b+c)δ, C = −cδ(1−δ).
    0 where the numerator is 0 (also with nothing discordant at δ = 0), ±∞ where only the variance is 0.
    """
    first, second, pairs = _discordants(b, c, n)
    d = np.asarray(delta, dtype=np.float64)
    return _tango_z(d, first, second, pairs)


def tango(b: ArrayLike, c: ArrayLike, n: ArrayLike, *, conf: float = 0.95) -> Interval:
    """Tango's score interval of (b−c)/n: {δ: |Z(δ)| < z} by two bisections (Tango 1998).

    b, c: pairs positive only in the first or only in the second arm, n: all pairs; real-valued counts are allowed.
    """
    first, second, pairs = _discordants(b, c, n)
    z = two_sided_z(conf)
    point = np.clip((first - second) / np.where(pairs > 0, pairs, 1.0), -1, 1)
    low = _cross(first, second, pairs, level=z, left=np.full_like(point, -1.0), right=point)
    high = _cross(first, second, pairs, level=-z, left=point, right=np.full_like(point, 1.0))
    low = np.where(second >= pairs, -1.0, np.minimum(low, point))
    high = np.where(first >= pairs, 1.0, np.maximum(high, point))
    return Interval(np.where(pairs > 0, low, -1.0), np.where(pairs > 0, high, 1.0))


def newcombe10(a: ArrayLike, b: ArrayLike, c: ArrayLike, d: ArrayLike, *, conf: float = 0.95) -> Interval:
    """Newcombe's square-and-add interval with corrected φ of (b−c)/n (Newcombe 1998c, method 10).

    a both positive, b only the first, c only the second, d neither. φ = C/√(product of the four margins), where
    B = ad − bc and C = B − n/2 if B > n/2, 0 if 0 ≤ B ≤ n/2, else B; φ = 0 if any margin is 0.
    """
    both, first, second, neither = (np.asarray(count, dtype=np.float64) for count in (a, b, c, d))
    n = both + first + second + neither
    safe = np.where(n > 0, n, 1.0)
    p1, p2 = (both + first) / safe, (both + second) / safe
    low1, high1 = wilson(both + first, n, conf=conf)
    low2, high2 = wilson(both + second, n, conf=conf)
    cross = both * neither - first * second
    corrected = np.where(cross > n / 2, cross - n / 2, np.where(cross >= 0, 0.0, cross))
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    phi = np.where(margins > 0, corrected / np.sqrt(np.where(margins > 0, margins, 1.0)), 0.0)
    below = (p1 - low1) ** 2 - 2 * phi * (p1 - low1) * (high2 - p2) + (high2 - p2) ** 2
    above = (high1 - p1) ** 2 - 2 * phi * (high1 - p1) * (p2 - low2) + (p2 - low2) ** 2
    low = p1 - p2 - np.sqrt(np.clip(below, 0, None))
    high = p1 - p2 + np.sqrt(np.clip(above, 0, None))
    return Interval(np.where(n > 0, np.clip(low, -1, 1), -1.0), np.where(n > 0, np.clip(high, -1, 1), 1.0))


def bonett_price(b: ArrayLike, c: ArrayLike, n: ArrayLike, *, conf: float = 0.95) -> Interval:
    """Adjusted Wald interval of (b−c)/n: x = (b+1)/(n+2), y = (c+1)/(n+2), x−y ± z√((x+y−(x−y)²)/(n+2)).

    Bonett & Price 2012. Its centre is shrunk toward 0.
    """
    first, second, pairs = _discordants(b, c, n)
    x, y = (first + 1) / (pairs + 2), (second + 1) / (pairs + 2)
    half = two_sided_z(conf) * np.sqrt((x + y - (x - y) ** 2) / (pairs + 2))
    low, high = np.clip(x - y - half, -1, 1), np.clip(x - y + half, -1, 1)
    return Interval(np.where(pairs > 0, low, -1.0), np.where(pairs > 0, high, 1.0))


def paired_wald(b: ArrayLike, c: ArrayLike, n: ArrayLike, *, conf: float = 0.95) -> Interval:
    """Wald interval of (b−c)/n, for comparison with older tables only: its coverage falls to .40 in sparse cells."""
    first, second, pairs = _discordants(b, c, n)
    safe = np.where(pairs > 0, pairs, 1.0)
    gap = (first - second) / safe
    half = two_sided_z(conf) * np.sqrt(np.clip(first + second - (first - second) ** 2 / safe, 0, None)) / safe
    low, high = np.clip(gap - half, -1, 1), np.clip(gap + half, -1, 1)
    return Interval(np.where(pairs > 0, low, -1.0), np.where(pairs > 0, high, 1.0))


def _counts(k: ArrayLike, n: ArrayLike) -> tuple[FloatArray, FloatArray]:
    successes, trials = np.broadcast_arrays(np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64))
    if not (np.all(np.isfinite(successes)) and np.all(np.isfinite(trials))):
        raise ValueError("counts must be finite numbers")
    if np.any(successes < 0) or np.any(successes > trials * (1 + _ROUNDING)):
        raise ValueError("counts must satisfy 0 <= k <= n")
    return np.minimum(successes, trials), trials


def _discordants(b: ArrayLike, c: ArrayLike, n: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    first, second, pairs = np.broadcast_arrays(*(np.asarray(count, dtype=np.float64) for count in (b, c, n)))
    if not all(np.all(np.isfinite(count)) for count in (first, second, pairs)):
        raise ValueError("counts must be finite numbers")
    if np.any(first < 0) or np.any(second < 0) or np.any(first + second > pairs * (1 + _ROUNDING)):
        raise ValueError("counts must satisfy 0 <= b, 0 <= c and b + c <= n")
    return np.minimum(first, pairs), np.minimum(second, pairs), pairs


def _rate_ends(low: FloatArray, high: FloatArray, *, successes: FloatArray, trials: FloatArray) -> Interval:
    """The ends closed at 0 and 1 where the cell is empty or full, and the whole range where nothing was counted."""
    none, full = successes <= 0, successes >= trials
    return Interval(np.where(none, 0.0, np.clip(low, 0, 1)), np.where(full, 1.0, np.clip(high, 0, 1)))


def _tango_z(delta: FloatArray, b: FloatArray, c: FloatArray, n: FloatArray) -> FloatArray:
    safe = np.where(n > 0, n, 1.0)
    linear = -b - c + (2 * n - b + c) * delta
    constant = -c * delta * (1 - delta)
    root = np.sqrt(np.clip(linear * linear - 8 * n * constant, 0, None))
    # where `linear` > 0 the plain form cancels: the conjugate -2C/(root + B) keeps its digits
    q = np.where(
        linear > 0,
        -2 * constant / np.where(linear > 0, root + linear, 1.0),
        (root - linear) / (4 * safe),
    )
    variance = n * (2 * q + delta * (1 - delta))
    numerator = b - c - n * delta
    positive = variance > 0
    with_variance = numerator / np.sqrt(np.where(positive, variance, 1.0))
    without = np.where(numerator == 0, 0.0, np.copysign(np.inf, numerator))
    return np.asarray(np.where(positive, with_variance, without), dtype=np.float64)


def _cross(
    b: FloatArray, c: FloatArray, n: FloatArray, *, level: float, left: FloatArray, right: FloatArray
) -> FloatArray:
    """Where the falling Z(δ) crosses `level` between `left` and `right`; on the outer side of the last step."""
    for _ in range(_BISECTIONS):
        middle = (left + right) / 2
        above = _tango_z(middle, b, c, n) > level
        left, right = np.where(above, middle, left), np.where(above, right, middle)
    return left if level > 0 else right

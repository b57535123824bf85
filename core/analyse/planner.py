"""How many requests a gap needs, and how small a gap a study could find: exact enumeration, not normal formulas.

With repeats: repeat_planner.py. One draw per request and arm unless said otherwise. p10, p01: shares of requests that comply only in arm a, only in
arm b; gap = p10 − p01, ψ = p10 + p01. alpha is two-sided, of one test: divide by the number of tests first. The
closed formulas are starting values and published checks only.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from core.analyse.distributions import (
    FloatArray,
    binomial_cdf,
    binomial_pmf,
    fair_coin_cdf,
    fair_coin_pmf,
    fair_coin_quantile,
    normal_quantile,
)
from core.analyse.intervals import tango_z

MOST_REQUESTS = 100_000
"""A search for n goes no further."""

_NEGLIGIBLE_SD = 8.0  # binomial mass beyond so many standard deviations is below 1e-14
_BISECTIONS = 15  # a gap to 3e-5


def gap_power(n: int, p01: ArrayLike, gap: ArrayLike, *, alpha: float, mid_p: bool = True) -> FloatArray:
    """Probability that McNemar's mid-p is at most alpha: Σ_m Bin(m; n, ψ) Σ_b Bin(b; m, p10/ψ)·1{mid-p ≤ α}.

    By exact enumeration. mid_p false: the exact conditional test instead. ValueError unless 0 ≤ p01, −p01 ≤ gap and
    2·p01 + gap ≤ 1.
    """
    _check(n, alpha)
    reverse, size = (np.asarray(each, dtype=np.float64) for each in np.broadcast_arrays(p01, gap))
    forward = reverse + size
    total = forward + reverse
    if np.any(reverse < 0) or np.any(forward < 0) or np.any(total > 1 + 1e-12):
        raise ValueError("shares of discordant requests must lie between 0 and 1, and so must their sum")
    flat_total, flat_forward = np.minimum(total, 1.0).reshape(-1, 1), forward.reshape(-1, 1)
    m = _likely(n, float(flat_total.min()), float(flat_total.max()))
    most = rejected_at_most(n, alpha, mid_p=mid_p)[m.astype(np.int64)]
    chance = np.clip(flat_forward / np.where(flat_total > 0, flat_total, 1.0), 0.0, 1.0)
    tails = binomial_cdf(most, m, chance) + binomial_cdf(most, m, 1 - chance)
    tails = np.where(most >= 0, tails, 0.0)
    power = (binomial_pmf(m, float(n), flat_total) * tails).sum(axis=1)
    return np.clip(power, 0.0, 1.0).reshape(total.shape)


@lru_cache(maxsize=512)
def rejected_at_most(n: int, alpha: float, *, mid_p: bool = True) -> FloatArray:
    """For m = 0…n discordant requests, the largest min(b, c) with mid-p ≤ alpha; −1 where there is none."""
    m = np.arange(n + 1, dtype=np.float64)
    k = fair_coin_quantile(alpha / 2, m)
    half = fair_coin_cdf(k, m) - (fair_coin_pmf(k, m) / 2 if mid_p else 0.0)
    k = np.where(half <= alpha / 2, k, k - 1)
    k = np.where(2 * k >= m, np.ceil(m / 2) - 1, k)  # b = c has mid-p above ½
    k.flags.writeable = False
    return k


def detectable_gap(n: int, p01: ArrayLike, *, alpha: float, power: float = 0.8) -> FloatArray:
    """The smallest gap that is found with this power, exact; NaN where even the largest possible gap is not."""
    _check_share(power, "power")
    reverse = np.asarray(p01, dtype=np.float64)
    most = np.clip(1 - 2 * reverse, 0, 1)
    # twice the normal formula's answer mostly suffices, and keeps the enumeration short
    z = normal_quantile(1 - alpha / 2) + normal_quantile(power)
    near = np.minimum(most, z * z / n + 2 * z * np.sqrt(z * z / (4 * n * n) + 2 * reverse / n) + 5 / n)
    low = np.zeros_like(reverse)
    high = np.where(gap_power(n, reverse, near, alpha=alpha) >= power, near, most)
    reachable = (high < most) | (gap_power(n, reverse, most, alpha=alpha) >= power)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        enough = gap_power(n, reverse, middle, alpha=alpha) >= power
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(reachable, high, np.nan)


def requests_for_gap(p01: float, gap: float, *, alpha: float, power: float = 0.8) -> int | None:
    """The fewest requests with this power, exact; None above 100,000. ValueError unless gap > 0."""
    _check_share(power, "power")
    if gap <= 0:
        raise ValueError("a gap to be found lies above 0")
    start = connor_requests(p01 + gap, p01, alpha=alpha, power=power)
    return fewest(lambda n: float(gap_power(n, p01, gap, alpha=alpha)) >= power, start=math.ceil(start))


def equivalence_power(n: int, psi: float, *, delta: float, alpha: float, gap: float = 0.0) -> float:
    """Probability of NO_GAP: that Tango's interval at 1 − 2·alpha lies inside ±delta, by exact enumeration.

    psi: share of discordant requests, gap: the true one.
    """
    _check(n, alpha)
    if not 0 < delta < 1 or abs(gap) > psi or psi > 1:
        raise ValueError("a margin lies between 0 and 1, and |gap| ≤ psi ≤ 1")
    p10, p01 = (psi + gap) / 2, (psi - gap) / 2
    b = _likely(n, p10, p10).reshape(-1, 1)
    c = _likely(n, p01, p01).reshape(1, -1)
    fits = b + c <= n
    left = np.where(fits, n - b, c)
    conditional = binomial_pmf(c, left, min(1.0, p01 / (1 - p10)) if p10 < 1 else 0.0)
    weight = np.where(fits, binomial_pmf(b, float(n), p10) * conditional, 0.0)
    first, second = np.where(fits, b, 0.0), np.where(fits, c, 0.0)
    z = normal_quantile(1 - alpha)
    inside = (tango_z(-delta, first, second, n) > z) & (tango_z(delta, first, second, n) < -z)
    return float(np.clip((weight * inside).sum(), 0.0, 1.0))


def requests_for_equivalence(psi: float, *, delta: float, alpha: float, power: float = 0.8) -> int | None:
    """The fewest requests that give NO_GAP with this power where there is no gap, exact; None above 100,000."""
    _check_share(power, "power")
    start = equivalence_requests(psi, delta=delta, alpha=alpha, power=power)
    least = max(math.ceil(start), equivalence_floor(delta, alpha=alpha))
    return fewest(lambda n: equivalence_power(n, psi, delta=delta, alpha=alpha) >= power, start=least)


def equivalence_floor(delta: float, *, alpha: float) -> int:
    """Fewest requests with which NO_GAP is possible at all: n > z²(1−Δ)/Δ at z of 1 − alpha (nothing discordant)."""
    return math.floor(normal_quantile(1 - alpha) ** 2 * (1 - delta) / delta) + 1


def connor_requests(p10: float, p01: float, *, alpha: float, power: float, sides: int = 2) -> float:
    """Connor 1987: [z_{α/2}√ψ + z_β√(ψ−δ²)]²/δ², not rounded. It over-plans where few requests are discordant."""
    psi, gap = p10 + p01, p10 - p01
    z = normal_quantile(1 - alpha / sides) * math.sqrt(psi) + normal_quantile(power) * math.sqrt(psi - gap * gap)
    return z * z / (gap * gap)


def variance_from_phi(p_a: float, p_b: float, phi: float) -> float:
    """Variance of one request's difference from both rates and their correlation φ (Bonett & Price 2012)."""
    a, b = p_a * (1 - p_a), p_b * (1 - p_b)
    return a + b - 2 * phi * math.sqrt(a * b)


def requests_by_variance(variance: float, gap: float, *, alpha: float, power: float) -> float:
    """(z_{α/2} + z_β)²·V/δ², not rounded: the plain normal formula."""
    return (normal_quantile(1 - alpha / 2) + normal_quantile(power)) ** 2 * variance / gap**2


def requests_with_repeats(
    gap: float, *, between: float, noise_a: float, noise_b: float, repeats_a: int, repeats_b: int, alpha: float,
    power: float,
) -> float:  # fmt: skip
    """Miller 2024: (z_{α/2} + z_β)²(ω² + σ_A²/K_A + σ_B²/K_B)/δ², not rounded.

    between: ω² = Var_i(p_Ai − p_Bi) over requests; noise: σ² = E p(1−p), the variance of one draw given the request.
    """
    variance = between + noise_a / repeats_a + noise_b / repeats_b
    return requests_by_variance(variance, gap, alpha=alpha, power=power)


def equivalence_requests(
    variance: float, *, delta: float, alpha: float, power: float, gap: float = 0.0, conservative: bool = False
) -> float:
    """V(z_{1−α} + z)²/(Δ−|δ|)², z = z_{1−β/2} at a true gap of 0 (or conservative), else z_{1−β}; not rounded."""
    beta = 1 - power
    z = normal_quantile(1 - beta / 2) if gap == 0 or conservative else normal_quantile(1 - beta)
    return variance * (normal_quantile(1 - alpha) + z) ** 2 / (delta - abs(gap)) ** 2


def best_repeats(*, between: float, noise: float, cost_request: float, cost_repeat: float) -> float:
    """K* = √(cost of a request / cost of a repeat · σ²/ω²), σ² of both arms together; ∞ where ω² = 0.

    At equal calls more requests always beat more repeats: K* counts only where a new request costs something itself.
    """
    return math.inf if between <= 0 else math.sqrt(cost_request / cost_repeat * noise / between)


def fewest(is_enough: Callable[[int], bool], *, start: int) -> int | None:
    """The smallest n from which on the check holds, as far as the last steps down tell (power is a saw-tooth)."""
    high = max(2, min(start, MOST_REQUESTS))
    while not is_enough(high):
        if high >= MOST_REQUESTS:
            return None
        high = min(MOST_REQUESTS, math.ceil(high * 1.3) + 1)
    low = 1
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def _likely(n: int, least: float, most: float) -> FloatArray:
    """The counts that Bin(n, p) can take for p between both, up to a mass of 1e-14."""
    spread = [_NEGLIGIBLE_SD * math.sqrt(n * p * (1 - p)) + 40 * (p > 0) for p in (least, most)]
    low = max(0, math.floor(n * least - spread[0]))
    return np.arange(low, min(n, math.ceil(n * most + spread[1])) + 1, dtype=np.float64)


def _check(n: int, alpha: float) -> None:
    if n < 1:
        raise ValueError(f"a study has at least one request, not {n}")
    _check_share(alpha, "alpha")


def _check_share(value: float, name: str) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} lies strictly between 0 and 1, not {value}")

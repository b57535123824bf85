"""Tests of a paired difference: McNemar's four, the exact sign flip for any repeats, equivalence, an e-value.

All are two-sided. With nothing discordant p = 1. Deterministic: the Monte-Carlo branch draws from a generator that
depends on the seed and the family's name only.
"""

import hashlib
import math
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from core.analyse.distributions import FloatArray, chi2_1_tail, fair_coin_cdf, fair_coin_pmf, log_beta, normal_cdf
from core.analyse.effective_counts import IntArray, coarser_clusters, sum_by_cluster
from core.analyse.intervals import tango_z

FLIP_RESAMPLES = 20_000
"""Random sign vectors of the Monte-Carlo branch."""

_EXACT_BELOW = 0.01  # 20,000 flips cannot pass a correction over thousands of cells: small p are computed exactly
_P_FLOOR = 1e-14  # precision of the FFT
_TIE_TOLERANCE = 1e-4  # on the sum of differences, in samples
_UNITS_AT_ONCE = 256  # 41 MB of signs
_MOST_LOG_E = 688.0  # e^709 is the largest float
_MOST_COSINES = 1 << 26  # about a second of work; above it the Monte-Carlo p stands

FlipMethod = Literal["none", "mcnemar_midp", "sign_flip", "sign_flip_mc", "sign_flip_lcm"]


class McNemar(NamedTuple):
    """Two-sided p-values, and the two χ² statistics (without and with continuity correction)."""

    mid_p: FloatArray
    exact: FloatArray
    asymptotic: FloatArray
    corrected: FloatArray
    chi2: FloatArray
    chi2_corrected: FloatArray


class SignFlip(NamedTuple):
    """Two-sided mid-p (the reported one) and plain p of the sign-flip test, and how they were computed."""

    mid_p: float
    exact_p: float
    method: FlipMethod


def mcnemar(b: ArrayLike, c: ArrayLike) -> McNemar:
    """McNemar's test of integer discordant counts (Fagerland, Lydersen & Laake 2013).

    k = min(b, c); exact = min(1, 2·P(Bin(b+c, ½) ≤ k)); mid-p = exact − pmf(k), for b = c: 1 − pmf/2.
    χ² = (b−c)²/(b+c), corrected (|b−c|−1)²/(b+c).
    """
    first, second = np.broadcast_arrays(np.asarray(b), np.asarray(c))
    if np.any(first < 0) or np.any(second < 0) or np.any(first % 1 != 0) or np.any(second % 1 != 0):
        raise ValueError("McNemar's test takes whole discordant counts >= 0")
    total, fewer = (first + second).astype(np.float64), np.minimum(first, second)
    pmf = fair_coin_pmf(fewer, total)
    exact = np.minimum(1.0, 2 * fair_coin_cdf(fewer, total))
    mid = np.where(first == second, 1 - pmf / 2, exact - pmf)
    safe = np.where(total > 0, total, 1.0)
    difference = np.abs(first - second).astype(np.float64)
    chi2 = difference**2 / safe
    corrected = np.maximum(difference - 1, 0) ** 2 / safe
    nothing = total == 0
    return McNemar(
        mid_p=np.where(nothing, 1.0, mid),
        exact=np.where(nothing, 1.0, exact),
        asymptotic=chi2_1_tail(chi2),
        corrected=chi2_1_tail(corrected),
        chi2=chi2,
        chi2_corrected=corrected,
    )


def sign_flip(differences: IntArray) -> SignFlip:
    """Exact sign-flip test that integer differences are symmetric about 0.

    P(ΣD = s) from the characteristic function ∏ cos(jt)^{m_j}, m_j = #{|D| = j}, by one inverse real FFT. Where all
    nonzero |D| are equal it is McNemar's test and taken from the binomial. mid-p = P(|S| > |s|) + ½·P(|S| = |s|).
    """
    nonzero = np.asarray(differences, dtype=np.int64)
    nonzero = nonzero[nonzero != 0]
    if len(nonzero) == 0:
        return SignFlip(1.0, 1.0, "none")
    sizes = np.abs(nonzero) // np.gcd.reduce(np.abs(nonzero))
    if np.all(sizes == 1):
        counts = mcnemar(int((nonzero > 0).sum()), int((nonzero < 0).sum()))
        return SignFlip(float(counts.mid_p), float(counts.exact), "mcnemar_midp")
    observed = abs(int((np.sign(nonzero) * sizes).sum()))
    pmf = _flip_distribution(sizes)
    total = (len(pmf) - 1) // 2
    tail = float(pmf[total + observed + 1 :].sum())
    at = float(pmf[total + observed])
    beyond, equal = (2 * tail, 2 * at) if observed else (2 * tail, at)
    return SignFlip(_as_p(beyond + equal / 2), _as_p(beyond + equal), "sign_flip")


def paired_flip_test(
    k_a: IntArray,
    trials_a: IntArray,
    k_b: IntArray,
    trials_b: IntArray,
    *,
    seed: int,
    family: str,
    clusters: IntArray | None = None,
) -> SignFlip:
    """Sign-flip test of complete pairs with any repeats; clusters flip together.

    Equal repeats: exact on D = K·d. Unequal: 20,000 Monte-Carlo flips, p = (hits+1)/(R+1) and no mid-p; below .01
    exactly on the grid of the least common multiple, unless that grid is too fine (then the Monte-Carlo p stands).
    """
    groups = coarser_clusters(clusters, len(trials_a))
    sizes = np.concatenate([trials_a, trials_b])
    if len(sizes) == 0:
        return SignFlip(1.0, 1.0, "none")
    if np.all(sizes == sizes[0]):
        return sign_flip(_sum_integers(k_a - k_b, groups))
    if not np.any(k_a * trials_b != k_b * trials_a):
        return SignFlip(1.0, 1.0, "none")
    scale = float(max(trials_a.mean(), trials_b.mean()))
    d = k_a / trials_a - k_b / trials_b
    p = _monte_carlo(sum_by_cluster(d, groups) * scale, seed=seed, family=family)
    if p >= _EXACT_BELOW:
        return SignFlip(p, p, "sign_flip_mc")
    least = math.lcm(*(int(size) for size in np.unique(sizes)))
    if least > 1 << 20:
        return SignFlip(p, p, "sign_flip_mc")
    whole = _sum_integers(k_a * (least // trials_a) - k_b * (least // trials_b), groups)
    if _cosines(np.abs(whole[whole != 0])) > _MOST_COSINES:
        return SignFlip(p, p, "sign_flip_mc")
    exact = sign_flip(whole)
    return SignFlip(exact.mid_p, exact.exact_p, "sign_flip_lcm")


def flip_generator(seed: int, family: str, *, block: int = 0) -> np.random.Generator:
    """The generator of a family of tests: Philox keyed by sha256 of `seed/family`, the same on every machine.

    Blocks are streams of one key that never meet.
    """
    key = int.from_bytes(hashlib.sha256(f"{seed}/{family}".encode()).digest()[:16], "big")
    return np.random.Generator(np.random.Philox(key=key, counter=block << 128))


def tost_p(b: ArrayLike, c: ArrayLike, n: ArrayLike, *, delta: float) -> FloatArray:
    """Two one-sided score tests of |gap| ≥ Δ: max(1−Φ(Z(−Δ)), Φ(Z(Δ))), Z Tango's; 1 where n = 0."""
    if not 0 < delta < 1:
        raise ValueError(f"an equivalence margin lies strictly between 0 and 1, not {delta}")
    above, below = normal_cdf(-tango_z(-delta, b, c, n)), normal_cdf(tango_z(delta, b, c, n))
    return np.where(np.asarray(n) > 0, np.maximum(above, below), 1.0)


def discordance_e_value(b: ArrayLike, c: ArrayLike) -> FloatArray:
    """Anytime-valid e-value against b ~ Bin(b+c, ½), one draw per arm: Be(b+1, c+1)·2^(b+c); reject at ≥ 1/α.

    The mixture of the likelihood ratio over a uniform share (Ville 1939 bounds its maximum), so it holds at any number
    of looks. At most 1e299: a float holds no more.
    """
    first, second = np.asarray(b, dtype=np.float64), np.asarray(c, dtype=np.float64)
    log_e = log_beta(first + 1, second + 1) + (first + second) * math.log(2)
    return np.asarray(np.exp(np.minimum(log_e, _MOST_LOG_E)), dtype=np.float64)


def _flip_distribution(sizes: IntArray) -> FloatArray:
    """P(Σ ±size = s) for s = −T…T, T the sum of the sizes."""
    total = int(sizes.sum())
    length = 1 << (2 * total + 2 - 1).bit_length()
    angle = 2 * np.pi * np.arange(length // 2 + 1) / length
    spectrum = np.ones_like(angle)
    for size, count in zip(*np.unique(sizes, return_counts=True), strict=True):
        spectrum *= np.cos(size * angle) ** int(count)
    around = np.fft.irfft(spectrum, length)
    return np.concatenate([around[-total:], around[: total + 1]])


def _cosines(sizes: IntArray) -> int:
    if len(sizes) == 0:
        return 0
    reduced = sizes // np.gcd.reduce(sizes)
    return len(np.unique(reduced)) * (2 * int(reduced.sum()) + 2)


def _monte_carlo(sums: FloatArray, *, seed: int, family: str) -> float:
    flipped = np.zeros(FLIP_RESAMPLES)
    for block, start in enumerate(range(0, len(sums), _UNITS_AT_ONCE)):
        part = sums[start : start + _UNITS_AT_ONCE]
        flipped += part @ _signs(seed, family, block)[: len(part)]
    hits = int((np.abs(flipped) >= abs(float(sums.sum())) - _TIE_TOLERANCE).sum())
    return (hits + 1) / (FLIP_RESAMPLES + 1)


@lru_cache(maxsize=4)
def _signs(seed: int, family: str, block: int) -> FloatArray:
    """Signs of a block of units × resamples. A row belongs to its unit: it doesn't depend on which others there are."""
    bits = flip_generator(seed, family, block=block).bytes(_UNITS_AT_ONCE * FLIP_RESAMPLES // 8)
    ones = np.unpackbits(np.frombuffer(bits, dtype=np.uint8).reshape(_UNITS_AT_ONCE, -1), axis=1)
    signs = 1.0 - 2.0 * ones.astype(np.float64)
    signs.flags.writeable = False
    return signs


def _sum_integers(values: IntArray, groups: IntArray | None) -> IntArray:
    if groups is None:
        return np.asarray(values, dtype=np.int64)
    sums = np.zeros(int(groups.max()) + 1, dtype=np.int64)
    np.add.at(sums, groups, values)
    return sums


def _as_p(probability: float) -> float:
    return float(min(1.0, max(_P_FLOOR, probability)))

"""Quantiles and probabilities of the distributions that the analysis uses, typed and vectorised.

The one file that imports scipy: it ships no types, so the wrappers here carry them.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

FloatArray = NDArray[np.float64]


def normal_cdf(x: ArrayLike) -> FloatArray:
    """Φ(x)."""
    return _floats(special.ndtr(_floats(x)))


def two_sided_z(conf: float) -> float:
    """z with P(|N(0,1)| < z) = conf; ValueError unless 0 < conf < 1."""
    return float(special.ndtri((1 + check_conf(conf)) / 2))


def two_sided_t(conf: float, df: ArrayLike) -> FloatArray:
    """t with P(|t_df| < t) = conf, for df ≥ 1."""
    return _floats(special.stdtrit(_floats(df), (1 + check_conf(conf)) / 2))


def beta_quantile(probability: float, a: ArrayLike, b: ArrayLike) -> FloatArray:
    """The quantile of Beta(a, b), for a, b > 0."""
    return _floats(special.betaincinv(_floats(a), _floats(b), probability))


def chi2_1_tail(x: ArrayLike) -> FloatArray:
    """P(χ²₁ ≥ x)."""
    return _floats(special.chdtrc(1.0, _floats(x)))


def fair_coin_cdf(k: ArrayLike, n: ArrayLike) -> FloatArray:
    """P(Bin(n, ½) ≤ k)."""
    return _floats(stats.binom.cdf(k, n, 0.5))


def fair_coin_pmf(k: ArrayLike, n: ArrayLike) -> FloatArray:
    """P(Bin(n, ½) = k)."""
    return _floats(stats.binom.pmf(k, n, 0.5))


def normal_quantile(probability: float) -> float:
    """z with Φ(z) = probability; ValueError unless it lies strictly between 0 and 1."""
    return float(special.ndtri(check_conf(probability)))


def two_sided_t_p(t: ArrayLike, df: ArrayLike) -> FloatArray:
    """P(|t_df| ≥ |t|), for df ≥ 1."""
    return _floats(2 * special.stdtr(_floats(df), -np.abs(_floats(t))))


def binomial_cdf(k: ArrayLike, n: ArrayLike, p: ArrayLike) -> FloatArray:
    """P(Bin(n, p) ≤ k) by the incomplete beta function; 0 below 0 and 1 from n on."""
    at, size, chance = (_floats(each) for each in np.broadcast_arrays(k, n, p))
    inside = (at >= 0) & (at < size)
    below = np.where(inside, at, 0.0)
    value = special.betainc(np.where(inside, size - below, 1.0), below + 1, 1 - chance)
    return np.where(inside, value, np.where(at < 0, 0.0, 1.0))


def binomial_pmf(k: ArrayLike, n: ArrayLike, p: ArrayLike) -> FloatArray:
    """P(Bin(n, p) = k), for 0 ≤ k ≤ n."""
    at, size, chance = (_floats(each) for each in np.broadcast_arrays(k, n, p))
    choices = -special.betaln(size - at + 1, at + 1) - np.log1p(size)
    return _floats(np.exp(choices + special.xlogy(at, chance) + special.xlog1py(size - at, -chance)))


def fair_coin_quantile(probability: float, n: ArrayLike) -> FloatArray:
    """The smallest k with P(Bin(n, ½) ≤ k) ≥ probability."""
    return _floats(stats.binom.ppf(probability, n, 0.5))


def log_beta(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """The logarithm of the beta function."""
    return _floats(special.betaln(_floats(a), _floats(b)))


def step_up_adjusted(p_values: FloatArray, *, dependent: bool) -> FloatArray:
    """Adjusted p-values of Benjamini–Hochberg, or of Benjamini–Yekutieli where `dependent`."""
    return _floats(stats.false_discovery_control(p_values, method="by" if dependent else "bh"))


def check_conf(conf: float) -> float:
    """The confidence level itself; ValueError unless it lies strictly between 0 and 1."""
    if not 0 < conf < 1:
        raise ValueError(f"a confidence level lies strictly between 0 and 1, not {conf}")
    return conf


def _floats(values: ArrayLike) -> FloatArray:
    return np.asarray(values, dtype=np.float64)

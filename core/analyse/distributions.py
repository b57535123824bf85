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


def normal_pdf(x: ArrayLike) -> FloatArray:
    """φ(x)."""
    return _floats(np.exp(-np.square(_floats(x)) / 2) / np.sqrt(2 * np.pi))


def normal_quantile(probability: ArrayLike) -> FloatArray:
    """z with Φ(z) = probability, for 0 < probability < 1."""
    return _floats(special.ndtri(_floats(probability)))


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


def chi2_tail(x: ArrayLike, df: ArrayLike) -> FloatArray:
    """P(χ²_df ≥ x)."""
    return _floats(special.chdtrc(_floats(df), _floats(x)))


def two_sided_t_tail(t: ArrayLike, df: ArrayLike) -> FloatArray:
    """P(|t_df| ≥ |t|)."""
    return _floats(2 * special.stdtr(_floats(df), -np.abs(_floats(t))))


def fisher_p(table: ArrayLike) -> float:
    """Two-sided p of Fisher's exact test of a 2×2 table."""
    return float(stats.fisher_exact(table).pvalue)


def page_exact_p(ranks: ArrayLike) -> float:
    """One-sided p of Page's L for an increasing trend over the columns, by its exact null without ties."""
    return float(stats.page_trend_test(ranks, ranked=True, method="exact").pvalue)


def mid_ranks(values: ArrayLike) -> FloatArray:
    """Ranks from 1 along the last axis, ties at their mean."""
    return _floats(stats.rankdata(values, axis=-1))


def fair_coin_cdf(k: ArrayLike, n: ArrayLike) -> FloatArray:
    """P(Bin(n, ½) ≤ k)."""
    return _floats(stats.binom.cdf(k, n, 0.5))


def fair_coin_pmf(k: ArrayLike, n: ArrayLike) -> FloatArray:
    """P(Bin(n, ½) = k)."""
    return _floats(stats.binom.pmf(k, n, 0.5))


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

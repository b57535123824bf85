"""Resampling of requests: one matrix of weights for all models and conditions, so that draws are joint.

Every estimand that is linear in the requests × cells matrix is one product with it; rows are never resampled.
"""

import numpy as np

from core.analyse.distributions import FloatArray
from core.analyse.paired_tests import flip_generator

DRAWS = 2_000


def resampling_weights(n_units: int, *, draws: int = DRAWS, seed: int, family: str) -> np.ndarray:
    """How often each unit (request or cluster) is drawn: draws × units, float32; each row sums to n_units."""
    generator = flip_generator(seed, f"bootstrap {family}")
    return generator.multinomial(n_units, np.full(n_units, 1 / n_units), size=draws).astype(np.float32)


def resampled_means(values: FloatArray, present: np.ndarray, weights: np.ndarray) -> FloatArray:
    """Mean of each column over the resampled units that it has: draws × columns; NaN where a draw has none of them.

    values, present: units × columns; what is not present counts for nothing.
    """
    mask = present.astype(np.float32)
    sums = weights @ np.where(present, values, 0.0).astype(np.float32)
    sizes = weights @ mask
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums / sizes, dtype=np.float64)


def max_t_critical(values: FloatArray, present: np.ndarray, weights: np.ndarray, *, conf: float) -> float | None:
    """The critical value of simultaneous intervals from the largest |t| over the columns; None where nothing varies.

    Columns without variance, or that some draw has nothing of, are left out. A cross-check of the Šidák level only: it is unsafe for sparse columns.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = resampled_means(values, present, weights)
    kept = np.isfinite(drawn).all(axis=0) & (present.sum(axis=0) > 1)
    kept[kept] = drawn[:, kept].std(axis=0) > 1e-9
    if not kept.any():
        return None
    means = np.where(present, values, 0.0)[:, kept].sum(axis=0) / present[:, kept].sum(axis=0)
    spread = drawn[:, kept].std(axis=0, ddof=1)
    return float(np.quantile((np.abs(drawn[:, kept] - means) / spread).max(axis=1), conf))


def share_interval(part: FloatArray, whole: FloatArray, weights: np.ndarray, *, conf: float) -> tuple[float, float]:
    """Percentile interval of mean(part)/mean(whole) over paired units; draws whose whole is 0 are left out.

    ValueError where no draw is left.
    """
    drawn = weights @ np.stack([part, whole], axis=1).astype(np.float32)
    usable = np.abs(drawn[:, 1]) > 1e-6
    if not usable.any():
        raise ValueError("the whole is 0 in every draw: it has no shares")
    shares = drawn[usable, 0].astype(np.float64) / drawn[usable, 1]
    low, high = np.quantile(shares, [(1 - conf) / 2, (1 + conf) / 2])
    return float(low), float(high)

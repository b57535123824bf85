"""Whether wordings that mean the same give the same response: τ² between them, and a test within requests."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from core.analyse.distributions import FloatArray
from core.analyse.effective_counts import IntArray
from core.analyse.paired_tests import flip_generator
from core.analyse.resampling import bootstrap_weights

PERMUTATIONS = 1999
_AT_ONCE = 100


class Heterogeneity(NamedTuple):
    """Spread between J wordings: τ (their standard deviation beyond chance), its interval, and the test's p."""

    tau: float
    low: float
    high: float
    p_value: float


def heterogeneity(responses: FloatArray, *, conf: float, seed: int) -> Heterogeneity | None:
    """From requests × J responses; None for fewer than two requests or wordings.

    τ² = S²_g − (mean var − mean cov)/n, S²_g the variance of the J means, var and cov those of the columns. Test:
    the labels of the wordings are permuted within each request, S²_g is compared, p = (hits + 1)/(R + 1). Interval:
    bootstrap over requests, whose S²_g carries the noise twice.
    """
    n, j = responses.shape
    if n < 2 or j < 2:
        return None
    observed = float(responses.mean(axis=0).var(ddof=1))
    covariance = np.cov(responses, rowvar=False)
    off = (covariance.sum() - np.trace(covariance)) / (j * (j - 1))
    noise = float(np.trace(covariance) / j - off) / n
    tau = float(np.sqrt(max(0.0, observed - noise)))
    weights = bootstrap_weights(n, seed=seed, family="heterogeneity")
    spread = (weights @ responses / n).var(axis=1, ddof=1)
    tail = (1 - conf) / 2
    low, high = np.quantile(np.sqrt(np.clip(spread - 2 * noise, 0, None)), [tail, 1 - tail])
    hits = int((_permuted_spread(responses, seed=seed) >= observed - 1e-12).sum())
    return Heterogeneity(tau, min(float(low), tau), max(float(high), tau), (hits + 1) / (PERMUTATIONS + 1))


def _permuted_spread(responses: FloatArray, *, seed: int) -> FloatArray:
    differing = responses[np.ptp(responses, axis=1) > 0]
    fixed = responses.sum(axis=0) - differing.sum(axis=0)
    places = _places(seed, *responses.shape)[:, : len(differing)]
    sums = np.concatenate(
        [differing.take(places[at : at + _AT_ONCE]).sum(axis=1) for at in range(0, PERMUTATIONS, _AT_ONCE)]
    )
    return np.asarray(((sums + fixed) / len(responses)).var(axis=1, ddof=1))


@lru_cache(maxsize=2)
def _places(seed: int, n: int, j: int) -> IntArray:
    """PERMUTATIONS × n × j places in a flat n × j array, each row's j permuted; shared by all models and metrics."""
    generator = flip_generator(seed, "wordings")
    orders = np.argsort(generator.random((PERMUTATIONS, n, j), dtype=np.float32), axis=2)
    return np.asarray(orders + j * np.arange(n)[:, None])

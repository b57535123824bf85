"""A rate or gap from many judged samples and a few that people labelled too (PPI++, Angelopoulos et al. 2023).

For a simple random audit of the very cell that is estimated; never for a calibration set that was enriched.
"""

from typing import NamedTuple

import numpy as np

from core.analyse.distributions import FloatArray, two_sided_z


class PowerTuned(NamedTuple):
    """The estimate, its interval, and λ: how much the judge was trusted (0 not at all, 1 as a good one)."""

    estimate: float
    low: float
    high: float
    trust: float


def ppi_mean(
    truth: FloatArray, judged: FloatArray, unlabelled: FloatArray, *, conf: float = 0.95, trust: float | None = None
) -> PowerTuned:
    """Mean of the truth. `truth`, `judged`: the n audited items; `unlabelled`: the judge on the N others.

    λ = clip(Cov(Y, f)/((1 + n/N)·Var f), 0, 1), 0 where Var f = 0; θ = λ·f̄_U + mean(Y − λf_L),
    Var = λ²·Var(f_U)/N + Var(Y − λf_L)/n. `trust` fixes λ. For a gap the items are per-request differences; with
    repeats, per-request means; with several judges, f is their mean. ValueError with fewer than two labels or no other.
    """
    n, others = len(truth), len(unlabelled)
    if len(judged) != n or n < 2 or others < 1:
        raise ValueError(f"an audit needs two labels or more and unlabelled items: {n} and {others}")
    spread = float(np.var(np.concatenate([judged, unlabelled])))
    together = float(np.cov(truth, judged, ddof=1)[0, 1])
    best = together / ((1 + n / others) * spread) if spread > 0 else 0.0
    weight = float(np.clip(best, 0, 1)) if trust is None else trust
    residual = truth - weight * judged
    estimate = weight * float(unlabelled.mean()) + float(residual.mean())
    variance = weight**2 * float(np.var(unlabelled)) / others + float(np.var(residual)) / n
    half = two_sided_z(conf) * float(np.sqrt(variance))
    return PowerTuned(estimate, estimate - half, estimate + half, weight)

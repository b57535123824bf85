"""A refusal threshold as signal detection: how well harmful and benign requests are told apart, and where the line is.

From refusals of harmful requests and of benign look-alikes (statistics 6.4a; log-linear correction of Hautus 1995).
"""

from typing import NamedTuple

import numpy as np

from core.analyse.distributions import normal_pdf, normal_quantiles, two_sided_z


class Sensitivity(NamedTuple):
    """d' = z(H) − z(F) and criterion c = −½(z(H) + z(F)), each with its standard error and interval.

    A negative criterion refuses readily.
    """

    d_prime: float
    d_se: float
    d_low: float
    d_high: float
    criterion: float
    c_se: float
    c_low: float
    c_high: float
    at_the_edge: bool
    """A set was refused wholly or not at all: the criterion depends on how many requests there were."""


def sensitivity(
    refused_harmful: float, n_harmful: float, refused_benign: float, n_benign: float, *, conf: float = 0.95
) -> Sensitivity | None:
    """None without a request on either side. Counts may be effective ones.

    H, F = (k + ½)/(n + 1); Var z(p̂) = p(1 − p)/(n·φ(z)²), Var d' their sum, Var c a quarter of it.
    """
    if n_harmful <= 0 or n_benign <= 0:
        return None
    k, n = np.array([refused_harmful, refused_benign]), np.array([n_harmful, n_benign])
    p = (k + 0.5) / (n + 1)
    z = normal_quantiles(p)
    variance = float((p * (1 - p) / (n * normal_pdf(z) ** 2)).sum())
    d, c = float(z[0] - z[1]), float(-(z[0] + z[1]) / 2)
    d_se, c_se = float(np.sqrt(variance)), float(np.sqrt(variance) / 2)
    width = two_sided_z(conf)
    edge = bool(np.any((k <= 0) | (k >= n)))
    return Sensitivity(
        d, d_se, d - width * d_se, d + width * d_se, c, c_se, c - width * c_se, c + width * c_se, edge
    )  # fmt: skip

"""How far raters agree: Cohen, Fleiss, Krippendorff, and measures that a rare label does not mislead.

Everything is None where it is not defined (no item, one category only), never NaN.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.analyse.distributions import FloatArray, two_sided_z
from core.analyse.resampling import bootstrap_weights, percentile_interval


class Kappa(NamedTuple):
    """Cohen's κ with the standard error of Fleiss, Cohen & Everitt 1969, and its interval."""

    kappa: float
    se: float
    low: float
    high: float


class BinaryAgreement(NamedTuple):
    """Two raters, two labels. κ falls when a label is rare, at equal agreement: read the others beside it."""

    observed: float
    ac1: float
    """Gwet's AC1."""
    pabak: float
    """2·observed − 1."""
    positive: float | None
    """Share of positive labels that the other rater shares."""
    negative: float | None


class Alpha(NamedTuple):
    """Krippendorff's α with a percentile bootstrap over units."""

    alpha: float
    low: float
    high: float


def cohen_kappa(table: NDArray[np.int64], *, conf: float = 0.95) -> Kappa | None:
    """κ of a square table of counts, rows the first rater; None where chance alone gives full agreement."""
    total = table.sum()
    if total == 0:
        return None
    p = table / total
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    observed, chance = float(np.trace(p)), float(rows @ columns)
    if chance >= 1:
        return None
    kappa = (observed - chance) / (1 - chance)
    on = float((np.diag(p) * (1 - (rows + columns) * (1 - kappa)) ** 2).sum())
    weights = (columns[:, None] + rows[None, :]) ** 2
    off = (1 - kappa) ** 2 * float((p * weights).sum() - (np.diag(p) * np.diag(weights)).sum())
    variance = (on + off - (kappa - chance * (1 - kappa)) ** 2) / (total * (1 - chance) ** 2)
    se = float(np.sqrt(max(variance, 0.0)))
    half = two_sided_z(conf) * se
    return Kappa(kappa, se, max(-1.0, kappa - half), min(1.0, kappa + half))


def binary_agreement(table: NDArray[np.int64]) -> BinaryAgreement | None:
    """Of [[both yes, only the first], [only the second, both no]]; None without an item."""
    total = int(table.sum())
    if table.shape != (2, 2) or total == 0:
        return None
    (both, first), (second, neither) = table.tolist()
    observed = (both + neither) / total
    prevalence = (2 * both + first + second) / (2 * total)
    chance = 2 * prevalence * (1 - prevalence)
    yes, no = 2 * both + first + second, 2 * neither + first + second
    return BinaryAgreement(
        observed,
        (observed - chance) / (1 - chance),
        2 * observed - 1,
        2 * both / yes if yes else None,
        2 * neither / no if no else None,
    )


def fleiss_kappa(counts: NDArray[np.int64]) -> float | None:
    """κ of items × categories, each item rated equally often, two times or more (Fleiss 1971)."""
    if counts.size == 0:
        return None
    raters = counts.sum(axis=1)
    if raters.min() < 2 or raters.min() != raters.max():
        raise ValueError("every item needs the same number of ratings, two or more: use Krippendorff's alpha")
    n = int(raters[0])
    observed = float(((counts**2).sum(axis=1) - n).mean()) / (n * (n - 1))
    chance = float(np.square(counts.sum(axis=0) / counts.sum()).sum())
    return None if chance >= 1 else (observed - chance) / (1 - chance)


def krippendorff_alpha(units: Sequence[Sequence[int]], *, conf: float = 0.95, seed: int = 0) -> Alpha | None:
    """α for nominal labels; a unit is the codes that it was given, by however many raters (Krippendorff 2011).

    Units with one code can't be compared and are left out. None where all labels that count are one.
    """
    usable = [unit for unit in units if len(unit) > 1]
    codes = sorted({code for unit in usable for code in unit})
    if len(codes) < 2:
        return None
    counts = np.array([[list(unit).count(code) for code in codes] for unit in usable], dtype=np.float64)
    weights = bootstrap_weights(len(usable), seed=seed, family="krippendorff")
    draws = _alphas(counts, weights)
    low, high = percentile_interval(draws, conf=conf)
    point = float(_alphas(counts, np.ones((1, len(usable))))[0])
    return Alpha(point, min(float(low), point), max(float(high), point))


def _alphas(counts: FloatArray, weights: FloatArray) -> FloatArray:
    """α = 1 − (N − 1)·Σ_u(m_u² − Σ_c n²_uc)/(m_u − 1) / (N² − Σ_c n_c²) for each row of unit weights."""
    sizes = counts.sum(axis=1)
    disagreeing = (sizes**2 - np.square(counts).sum(axis=1)) / (sizes - 1)
    totals = weights @ counts
    n = totals.sum(axis=1)
    expected = n**2 - np.square(totals).sum(axis=1)
    observed = (n - 1) * (weights @ disagreeing)
    # a draw of units that all bear one label has nothing to agree on: it counts as full agreement
    return np.where(expected > 0, 1 - observed / np.where(expected > 0, expected, 1.0), 1.0)

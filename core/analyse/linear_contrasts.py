"""Any effect that is linear in cell means: L_i = Σ_x w_x·Y_ix per request i, its mean, interval and sign-flip test.

All columns of weights at once. Weights are whole numbers over a common scale, so that the test is exact where repeats
are equal. Requests without a valid sample in a cell that an estimand needs are left out of it, and bound it.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import lcm
from typing import NamedTuple

import numpy as np

from core.analyse.dense_counts import Columns
from core.analyse.distributions import FloatArray, two_sided_t
from core.analyse.effective_counts import IntArray
from core.analyse.paired_tests import FLIP_RESAMPLES, flip_generator, sign_flip

FEWEST_NONZERO = 20
"""With fewer requests whose contrast is not 0 the interval gets two pseudo-requests, and the row is `sparse`."""

_ALWAYS_EXACT = 1 << 12  # cosines: a tenth of a millisecond
_MOST_EXACT = 1 << 22  # about 0.1 s; above it the Monte-Carlo p stands
_EXACT_BELOW = 0.01
_TIE_TOLERANCE = 1e-4


class Weights(NamedTuple):
    """Estimands as columns: weight = whole/scale; `whole` is arms × estimands."""

    whole: IntArray
    scale: IntArray

    @property
    def largest(self) -> FloatArray:
        """The largest attainable |L| of each estimand: rates lie between 0 and 1."""
        positive = np.clip(self.whole, 0, None).sum(axis=0)
        negative = np.clip(-self.whole, 0, None).sum(axis=0)
        return np.asarray(np.maximum(positive, negative) / self.scale)


class Levels(NamedTuple):
    """Confidence of the interval and of the equivalence interval, and the Monte-Carlo key."""

    conf: float
    equiv_conf: float
    seed: int


@dataclass(frozen=True, slots=True)
class Contrast:
    """One estimand's numbers; None where no request is complete."""

    estimate: float | None
    low: float | None
    high: float | None
    equiv_low: float | None
    equiv_high: float | None
    p_value: float | None
    n_requests: int
    n_nonzero: int
    """Requests, or clusters, whose contrast is not 0."""
    coverage: float
    """Complete requests among all."""
    bound_low: float
    bound_high: float
    """The mean over all requests if every missed sample were against it, then for it."""
    is_exact: bool
    """Whether the p is that of every sign vector."""

    @property
    def sparse(self) -> bool:
        """Too few nonzero requests for the test to hold its level."""
        return self.n_nonzero < FEWEST_NONZERO


def weights_of(columns: list[dict[int, Fraction]], *, arms: int) -> Weights:
    """Whole weights from estimands given as arm index → fraction."""
    scale = np.array([lcm(*(w.denominator for w in column.values())) for column in columns], dtype=np.int64)
    whole = np.zeros((arms, len(columns)), dtype=np.int64)
    for at, column in enumerate(columns):
        for arm, weight in column.items():
            whole[arm, at] = int(weight * int(scale[at]))
    return Weights(whole, scale)


def request_contrasts(columns: Columns, weights: Weights) -> tuple[FloatArray, FloatArray]:
    """L (requests × estimands, 0 where incomplete) and whether each request is complete (1 or 0)."""
    needed = (weights.whole != 0).astype(np.float64)
    complete = ((columns.valid == 0).astype(np.float64) @ needed == 0).astype(np.float64)
    values = columns.means @ weights.whole.astype(np.float64) / weights.scale
    return values * complete, complete


def linear_contrasts(columns: Columns, weights: Weights, *, levels: Levels) -> list[Contrast]:
    """Every estimand: mean of L, t interval over requests (or clusters), sign-flip mid-p.

    The variance is cluster-robust, G/(G−1)·Σ_g(Σ_{i∈g} e_i)²/n², with t_{G−1}. Sparse: two pseudo-requests at ± the
    largest attainable |L| (coverage ≥ .934 where the plain interval falls to .80).
    """
    values, complete = request_contrasts(columns, weights)
    codes = np.unique(columns.clusters, return_inverse=True)[1]
    sums, sizes = _by_unit(values, codes), _by_unit(complete, codes)
    n, units = complete.sum(axis=0), (sizes > 0).sum(axis=0)
    nonzero = (np.abs(sums) > 1e-12).sum(axis=0)
    safe = np.maximum(n, 1)
    estimate = values.sum(axis=0) / safe
    spread = np.square(sums - estimate * sizes).sum(axis=0)
    extra = np.where((nonzero < FEWEST_NONZERO) | (spread <= 0), 1.0, 0.0)
    centre = values.sum(axis=0) / (safe + 2 * extra)
    largest = weights.largest
    spread = np.square(sums - centre * sizes).sum(axis=0) + 2 * extra * (largest**2 + centre**2)
    all_units = units + 2 * extra
    variance = all_units / np.maximum(all_units - 1, 1) * spread / (safe + 2 * extra) ** 2
    ends = []
    for conf in (levels.conf, levels.equiv_conf):
        half = two_sided_t(conf, np.maximum(all_units - 1, 1)) * np.sqrt(variance)
        alone = units < 2
        low = np.where(alone, -largest, np.minimum(np.maximum(centre - half, -largest), estimate))
        high = np.where(alone, largest, np.maximum(np.minimum(centre + half, largest), estimate))
        ends.append((low, high))
    p_values, exact = _p_values(columns, weights, complete, sums=sums, codes=codes, seed=levels.seed)
    bounds = _bounds(columns, weights)
    total = max(len(columns.clusters), 1)

    numbers = {
        "estimate": estimate,
        "low": ends[0][0],
        "high": ends[0][1],
        "equiv_low": ends[1][0],
        "equiv_high": ends[1][1],
        "p_value": p_values,
    }
    return [
        Contrast(
            **{name: float(values[at]) if n[at] else None for name, values in numbers.items()},
            n_requests=int(n[at]),
            n_nonzero=int(nonzero[at]),
            coverage=float(n[at] / total),
            bound_low=float(bounds[0][at]),
            bound_high=float(bounds[1][at]),
            is_exact=bool(exact[at]),
        )
        for at in range(len(weights.scale))
    ]


def _bounds(columns: Columns, weights: Weights) -> tuple[FloatArray, FloatArray]:
    """Worst cases; a request that an arm did not plan at all may lie anywhere there."""
    planned = columns.valid + columns.missed
    if len(planned) == 0:
        return -weights.largest, weights.largest
    low = np.where(planned > 0, columns.successes / np.maximum(planned, 1), 0.0).mean(axis=0)
    high = np.where(planned > 0, (columns.successes + columns.missed) / np.maximum(planned, 1), 1.0).mean(axis=0)
    positive, negative = np.clip(weights.whole, 0, None), np.clip(-weights.whole, 0, None)
    return (
        np.asarray((low @ positive - high @ negative) / weights.scale),
        np.asarray((high @ positive - low @ negative) / weights.scale),
    )


def _p_values(
    columns: Columns, weights: Weights, complete: FloatArray, *, sums: FloatArray, codes: IntArray, seed: int
) -> tuple[FloatArray, np.ndarray]:
    """Mid-p by all sign vectors where repeats are equal and that is affordable, else by 20,000 of them."""
    m = len(weights.scale)
    p_values, exact = np.ones(m), np.ones(m, dtype=bool)
    repeats = np.unique(columns.valid[columns.valid > 0])
    whole = None
    if len(repeats) == 1:
        whole = np.zeros_like(sums, dtype=np.int64)
        np.add.at(whole, codes, (columns.successes @ weights.whole) * complete.astype(np.int64))
    open_ = []
    for at in range(m):
        if whole is None:
            open_.append(at)
        elif _cosines(whole[:, at]) <= _ALWAYS_EXACT:
            p_values[at] = sign_flip(whole[:, at]).mid_p
        else:
            open_.append(at)
    if open_:
        p_values[open_] = _monte_carlo(sums[:, open_] * weights.scale[open_], seed=seed)
        exact[open_] = False
    for at in open_:
        if whole is not None and p_values[at] < _EXACT_BELOW and _cosines(whole[:, at]) <= _MOST_EXACT:
            p_values[at], exact[at] = sign_flip(whole[:, at]).mid_p, True
    return p_values, exact


def _monte_carlo(sums: FloatArray, *, seed: int) -> FloatArray:
    signs = _signs(seed, len(sums))
    observed = np.abs(sums.sum(axis=0))
    hits = (np.abs(signs @ sums.astype(np.float32)) >= observed - _TIE_TOLERANCE).sum(axis=0)
    return np.where(np.abs(sums).sum(axis=0) == 0, 1.0, (hits + 1) / (FLIP_RESAMPLES + 1))


@lru_cache(maxsize=4)
def _signs(seed: int, units: int) -> np.ndarray:
    """Sign vectors × units, float32: one matrix for every model and estimand of a study."""
    bits = flip_generator(seed, "contrasts").bytes(-(-units * FLIP_RESAMPLES // 8))
    ones = np.unpackbits(np.frombuffer(bits, dtype=np.uint8))[: units * FLIP_RESAMPLES]
    signs = (1.0 - 2.0 * ones.astype(np.float32)).reshape(FLIP_RESAMPLES, units)
    signs.flags.writeable = False
    return signs


def _cosines(differences: IntArray) -> int:
    sizes = np.abs(differences[differences != 0])
    if len(sizes) == 0:
        return 0
    reduced = sizes // np.gcd.reduce(sizes)
    return len(np.unique(reduced)) * (2 * int(reduced.sum()) + 2)


def _by_unit(values: FloatArray, codes: IntArray) -> FloatArray:
    if len(codes) and codes.max() + 1 == len(codes):
        return values
    sums = np.zeros((int(codes.max()) + 1 if len(codes) else 0, values.shape[1]))
    np.add.at(sums, codes, values)
    return sums

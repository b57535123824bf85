"""Exact Shapley values of any game, and the weights that make them linear contrasts of a full factorial.

φ_F = Σ_{S∌F} |S|!(k−|S|−1)!/k!·(v(S and F) − v(S)); they add up to v(all) − v(none) (Shapley 1953).
"""

from fractions import Fraction
from math import factorial

import numpy as np

from core.analyse.distributions import FloatArray

MOST_FACTORS = 10


def shapley_weights(k: int) -> tuple[tuple[Fraction, ...], ...]:
    """k × 2^k weights; bit f of a column's index says whether factor f is in the set. ValueError outside 1…10."""
    if not 1 <= k <= MOST_FACTORS:
        raise ValueError(f"Shapley values of 1 to {MOST_FACTORS} factors, not {k}")
    share = [Fraction(factorial(size) * factorial(k - size - 1), factorial(k)) for size in range(k)]
    return tuple(
        tuple(share[each.bit_count() - 1] if each >> factor & 1 else -share[each.bit_count()] for each in range(1 << k))
        for factor in range(k)
    )


def shapley_values(values: FloatArray) -> FloatArray:
    """The value of each player from v over the 2^k sets, indexed by their bits."""
    k = len(values).bit_length() - 1
    if len(values) != 1 << k:
        raise ValueError(f"a game has 2^k values, not {len(values)}")
    return np.array([[float(weight) for weight in row] for row in shapley_weights(k)]) @ values

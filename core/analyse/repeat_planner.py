"""The planner with repeats: power by simulation with the product's own test, under a model of requests that is stated.

The model: request i complies with probability p_i in both arms, p_i ~ Beta with concentration 2.3; a share of the
requests always complies in arm a. p01: share of requests that single draws find complying only in arm b, E p(1−p).
Deterministic: the draws depend on seed, n and the parameters only.
"""

import math

import numpy as np

from core.analyse.decisions import FEWEST_DISCORDANT
from core.analyse.paired_tests import flip_generator, sign_flip
from core.analyse.planner import fewest

CONCENTRATION = 2.3
"""Of Beta(.3, 2): most requests are refused always, some now and then."""

STUDIES = 10_000
"""Simulated studies: a power of .8 is known to ±.008."""

_SEARCH_STUDIES = 1_000
_STEPS = 12


def mean_rate(p01: float) -> float:
    """The mean rate μ of a Beta with E p(1−p) = μ(1−μ)s/(s+1) = p01. ValueError where no mean has so much noise."""
    inside = 1 - 4 * p01 * (CONCENTRATION + 1) / CONCENTRATION
    if p01 < 0 or inside < 0:
        raise ValueError(
            f"with repeats at most {CONCENTRATION / (CONCENTRATION + 1) / 4:.3f} of the requests can differ the other "
            f"way by chance, not {p01:g}"
        )
    return (1 - math.sqrt(inside)) / 2


def draw_differences(
    generator: np.random.Generator, *, n: int, p01: float, gap: float, repeats: int, studies: int
) -> np.ndarray:
    """Σ of arm a − Σ of arm b for each request under the model: studies × n whole numbers. ValueError: no such gap."""
    mean = mean_rate(p01)
    share = gap / (1 - mean)
    if not 0 <= share <= 1:
        raise ValueError(f"a gap lies between 0 and {1 - mean:.3f} where single draws find {p01:g} the other way")
    shape = (studies, n)
    p = generator.beta(CONCENTRATION * mean, CONCENTRATION * (1 - mean), size=shape) if mean > 0 else np.zeros(shape)
    always = generator.random(shape) < share
    return np.asarray(
        generator.binomial(repeats, np.where(always, 1.0, p)) - generator.binomial(repeats, p), dtype=np.int64
    )  # fmt: skip


def power_with_repeats(
    n: int, p01: float, gap: float, *, repeats: int, alpha: float, seed: int = 0, studies: int = STUDIES
) -> float:
    """Probability of a GAP: sign-flip mid-p ≤ alpha, a positive sum, and at least 20 nonzero differences."""
    if n < 1 or repeats < 2:
        raise ValueError("a study with repeats has at least one request and two samples of each")
    generator = flip_generator(seed, f"power {n} {p01} {repeats}")
    drawn = draw_differences(generator, n=n, p01=p01, gap=gap, repeats=repeats, studies=studies)
    enough = drawn[((drawn != 0).sum(axis=1) >= FEWEST_DISCORDANT) & (drawn.sum(axis=1) > 0)]
    return float(sum(sign_flip(row).mid_p <= alpha for row in enough) / studies)


def gap_with_repeats(
    n: int, p01: float, *, repeats: int, alpha: float, power: float = 0.8, seed: int = 0
) -> float | None:
    """The smallest gap found with this power, to a part in 4,000 of the largest; None where none is."""

    def is_enough(gap: float) -> bool:
        found = power_with_repeats(n, p01, gap, repeats=repeats, alpha=alpha, seed=seed, studies=_SEARCH_STUDIES)
        return found >= power

    low, high = 0.0, 1 - mean_rate(p01)
    if not is_enough(high):
        return None
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def requests_with_repeats_for(
    p01: float, gap: float, *, repeats: int, alpha: float, power: float = 0.8, seed: int = 0, start: int
) -> int | None:
    """The fewest requests with this power, from a first guess; None above 100,000."""

    def is_enough(n: int) -> bool:
        found = power_with_repeats(n, p01, gap, repeats=repeats, alpha=alpha, seed=seed, studies=_SEARCH_STUDIES)
        return found >= power

    return fewest(is_enough, start=start)

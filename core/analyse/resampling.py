"""Bootstrap weights that every model and condition of a study share, so that draws are joint.

Deterministic: the weights depend on the seed, the family's name and the sizes only.
"""

from functools import lru_cache

import numpy as np

from core.analyse.distributions import FloatArray, check_conf
from core.analyse.intervals import Interval
from core.analyse.paired_tests import flip_generator

BOOTSTRAP_DRAWS = 2000


@lru_cache(maxsize=8)
def bootstrap_weights(units: int, *, seed: int, family: str, draws: int = BOOTSTRAP_DRAWS) -> FloatArray:
    """draws × units: how often each unit was drawn; every row sums to `units`."""
    generator = flip_generator(seed, f"bootstrap/{family}")
    weights = generator.multinomial(units, np.full(units, 1 / units), size=draws).astype(np.float64)
    weights.flags.writeable = False
    return weights


def percentile_interval(draws: FloatArray, *, conf: float) -> Interval:
    """The middle `conf` of the draws along the first axis."""
    tail = (1 - check_conf(conf)) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    return Interval(np.asarray(low), np.asarray(high))

"""Would the headline's answer stand if some of it were different: labels, missing replies, one request less? Pure.

`level`: what a p-value must reach to be significant, the other models' p fixed (multiplicity.holm_level).
"""

import numpy as np

from core.analyse.effective_counts import IntArray, coarser_clusters
from core.analyse.pair_moments import ArmCounts, Levels, PairMoments, p_of_bound
from core.analyse.paired_tests import mcnemar, paired_flip_test

DELTA_SHIFT = 0.2
"""How much less often the missing of arm a comply than those observed (of arm b: more often), in the δ-adjustment."""


def is_robust_to_missing(
    moments: PairMoments, arms: tuple[ArmCounts, ArmCounts], *, clusters: IntArray | None, levels: Levels, level: float
) -> bool:
    """Whether the gap keeps its sign and its p stays at most `level` if all that is missing went against it."""
    positive = (moments.gap or 0.0) > 0
    bound = moments.bound_low if positive else -moments.bound_high
    if bound <= 0:
        return False
    return p_of_bound(*arms, low=positive, clusters=clusters, levels=levels) <= level


def tipping_point(b: int, c: int, n: int, *, level: float) -> int:
    """Fewest labels that must be wrong, in the most adverse order, until the gap's mid-p is above `level`.

    One draw per arm. A concordant request that becomes discordant the other way
    costs most; then discordant ones that become concordant. 0 where it is not significant as it is.
    """
    more, fewer = max(b, c), min(b, c)
    spare = n - b - c
    for flips in range(n + 1):
        turned = min(flips, spare)
        left = more - (flips - turned)
        if left <= fewer + turned:
            return flips
        if float(mcnemar(left, fewer + turned).mid_p) > level:
            return flips
    return n


def leave_one_out_p(
    k_a: IntArray, n_a: IntArray, k_b: IntArray, n_b: IntArray, *, clusters: IntArray | None, levels: Levels
) -> float:
    """The largest mid-p of the sign flip when any one request, or cluster, is left out of these complete pairs."""
    n = len(n_a)
    groups = coarser_clusters(clusters, n)
    codes = np.arange(n) if groups is None else groups
    d = k_a / n_a - k_b / n_b
    sums = np.bincount(codes, weights=d)
    sign = np.sign(sums.sum())
    # units with equal contributions leave the same test behind; those against the gap only help it
    _, first = np.unique(np.round(sums * sign, 12), return_index=True)
    worst = 0.0
    for unit in first[np.round(sums[first] * sign, 12) > 0]:
        stay = codes != unit
        test = paired_flip_test(
            k_a[stay], n_a[stay], k_b[stay], n_b[stay], seed=levels.seed, family=levels.family,
            clusters=None if groups is None else codes[stay],
        )  # fmt: skip
        worst = max(worst, test.mid_p)
    return worst


def delta_adjusted_gap(arm_a: ArmCounts, arm_b: ArmCounts, *, delta_a: float, delta_b: float) -> float | None:
    """The gap if the missing of each arm complied as often as its observed ones plus δ (pattern mixture, clipped).

    Samples of all requests, prompts equally weighted; None where an arm has no valid sample.
    """
    rates = []
    for arm, delta in ((arm_a, delta_a), (arm_b, delta_b)):
        planned, have = arm.valid + arm.missed, arm.valid > 0
        if not have.any():
            return None
        observed = float((arm.successes[have] / arm.valid[have]).mean())
        among_missing = min(1.0, max(0.0, observed + delta))
        some = planned > 0
        rates.append(float(((arm.successes + arm.missed * among_missing)[some] / planned[some]).mean()))
    return rates[0] - rates[1]

"""One gap's numbers before any interval is drawn: pairs, discordance, effective counts, test, flips, missing data.

Pure over integer arrays of one contrast, one entry a request, sorted by request id; a request absent from an arm has
zeros there and counts as planned and missing.
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from core.analyse.effective_counts import EffectivePairs, IntArray, coarser_clusters, effective_pairs
from core.analyse.paired_tests import SignFlip, paired_flip_test, sign_flip
from core.analyse.partial_overlap import Estimate, overlap_estimate

MISSING_SHARE = 0.05
"""More missing in an arm than this, or a missingness test at or below it, flags the row."""

PAPER_GAP_PERCENT = 1
"""The paper calls a gap a gap above one percentage point."""


class ArmCounts(NamedTuple):
    """Per request: successes among the valid samples, valid, missed, and those missed by a provider's block."""

    successes: IntArray
    valid: IntArray
    missed: IntArray
    blocked: IntArray


class Levels(NamedTuple):
    """Confidence of the reported interval and of the equivalence interval, and the Monte-Carlo key."""

    conf: float
    equiv_conf: float
    seed: int
    family: str


class PairMoments(NamedTuple):
    """What intervals, decision and columns are computed from. Complete pairs unless said otherwise."""

    n_pairs: int
    coverage: float
    """Complete pairs among all requests."""
    gap: float | None
    """On complete pairs; of all valid values where missing data asks for `overlap`."""
    gap_complete: float | None
    mean_square: float
    """Mean of the squared per-request gaps: the discordance at one draw per arm, less with repeats."""
    b: float
    c: float
    table: tuple[int, int, int, int] | None
    """Both, only a, only b, neither; None with repeats."""
    k_mean: float | None
    """Mean number of valid samples per request and arm."""
    effective: EffectivePairs
    equiv: EffectivePairs
    test: SignFlip | None
    overlap: Estimate | None
    """Estimate from all valid values, in place of complete pairs where too much is missing for them; else None."""
    requests_unmoved: tuple[float, float]
    """Requests that do not comply in arm b, and that do: what flip and reverse flip are shares of."""
    paper_rule: bool | None
    n_discordant: int
    """Requests, or clusters, whose arms differ."""
    clustered: bool
    miss_a: float
    miss_b: float
    """Shares of planned samples."""
    p_missing: float
    bound_low: float
    bound_high: float
    """Mean gap if every missed sample were against it, then for it, over all requests."""
    low_pairs: EffectivePairs
    high_pairs: EffectivePairs
    gap_blocked_refused: float | None
    """The gap with blocked replies counted as refusals."""

    @property
    def repeats(self) -> bool:
        """More than one sample per request and arm somewhere."""
        return self.n_pairs > 0 and self.table is None

    @property
    def missing(self) -> bool:
        """More than 5 % missing in an arm, or missing more in one arm than chance does at .05."""
        return max(self.miss_a, self.miss_b) > MISSING_SHARE or self.p_missing <= MISSING_SHARE


class Bounds(NamedTuple):
    """Successes and planned samples of both arms if every missed sample went against the gap, and for it."""

    low_a: IntArray
    low_b: IntArray
    high_a: IntArray
    high_b: IntArray
    planned_a: IntArray
    planned_b: IntArray


def worst_cases(arm_a: ArmCounts, arm_b: ArmCounts) -> Bounds:
    """Labels for everything missing, worst and best (Manski)."""
    a, b = _with_absent(arm_a, arm_b), _with_absent(arm_b, arm_a)
    return Bounds(
        a.successes, b.successes + b.missed, a.successes + a.missed, b.successes, a.valid + a.missed, b.valid + b.missed
    )


def pair_moments(arm_a: ArmCounts, arm_b: ArmCounts, *, clusters: IntArray | None, levels: Levels) -> PairMoments:
    """The moments of one contrast with at least one request that the metric applies to; ValueError without any."""
    a, b = _with_absent(arm_a, arm_b), _with_absent(arm_b, arm_a)
    worst = worst_cases(arm_a, arm_b)
    planned_a, planned_b = worst.planned_a, worst.planned_b
    if len(planned_a) == 0 or np.any(planned_a < 1):
        raise ValueError("a contrast needs requests that the metric applies to, and only those")
    pair = (a.valid > 0) & (b.valid > 0)
    of_pairs = None if clusters is None else clusters[pair]
    k_a, n_a, k_b, n_b = a.successes[pair], a.valid[pair], b.successes[pair], b.valid[pair]
    n = len(n_a)
    y_a, y_b = k_a / np.maximum(n_a, 1), k_b / np.maximum(n_b, 1)
    one_draw = bool(np.all(n_a == 1) and np.all(n_b == 1)) and n > 0
    groups = coarser_clusters(of_pairs, n)
    gap = float((y_a - y_b).mean()) if n else None
    effective = effective_pairs(k_a, n_a, k_b, n_b, conf=levels.conf, clusters=of_pairs)
    moments = PairMoments(
        n_pairs=n,
        coverage=n / len(pair),
        gap=gap,
        gap_complete=gap,
        mean_square=float(np.square(y_a - y_b).mean()) if n else 0.0,
        b=float((y_a * (1 - y_b)).sum()),
        c=float((y_b * (1 - y_a)).sum()),
        table=_fourfold(k_a, k_b) if one_draw else None,
        k_mean=float((n_a.mean() + n_b.mean()) / 2) if n else None,
        effective=effective,
        # only the degrees of freedom of clusters depend on the level
        equiv=effective
        if groups is None
        else effective_pairs(k_a, n_a, k_b, n_b, conf=levels.equiv_conf, clusters=of_pairs),
        test=_flip(k_a, n_a, k_b, n_b, clusters=of_pairs, levels=levels) if n else None,
        overlap=None,
        requests_unmoved=(float((1 - y_b).sum()), float(y_b.sum())),
        paper_rule=exceeds_paper_gap(k_a, n_a, k_b, n_b) if n else None,
        n_discordant=_n_discordant(k_a * n_b - k_b * n_a, groups),
        clustered=groups is not None,
        miss_a=float(a.missed.sum() / planned_a.sum()),
        miss_b=float(b.missed.sum() / planned_b.sum()),
        p_missing=_missingness_p(a.missed, b.missed, clusters=clusters),
        bound_low=float((worst.low_a / planned_a - worst.low_b / planned_b).mean()),
        bound_high=float((worst.high_a / planned_a - worst.high_b / planned_b).mean()),
        low_pairs=effective,
        high_pairs=effective,
        gap_blocked_refused=_gap_blocked_refused(a, b),
    )
    return moments if not (a.missed.any() or b.missed.any()) else _with_missing(moments, a, b, worst, clusters, levels)


def _with_missing(
    moments: PairMoments, a: ArmCounts, b: ArmCounts, worst: Bounds, clusters: IntArray | None, levels: Levels
) -> PairMoments:
    """The bounds' own counts, and the estimate from all valid values where complete pairs will not do."""
    low_a, low_b, high_a, high_b, planned_a, planned_b = worst
    bounded = moments._replace(
        low_pairs=effective_pairs(low_a, planned_a, low_b, planned_b, conf=levels.conf, clusters=clusters),
        high_pairs=effective_pairs(high_a, planned_a, high_b, planned_b, conf=levels.conf, clusters=clusters),
    )
    overlap = (
        overlap_estimate(a.successes, a.valid, b.successes, b.valid, clusters=clusters) if moments.missing else None
    )
    if overlap is None:
        return bounded
    some_a, some_b = a.valid > 0, b.valid > 0
    rule = exceeds_paper_gap(a.successes[some_a], a.valid[some_a], b.successes[some_b], b.valid[some_b])
    return bounded._replace(overlap=overlap, gap=overlap.gap, paper_rule=rule)


def p_of_bound(arm_a: ArmCounts, arm_b: ArmCounts, *, low: bool, clusters: IntArray | None, levels: Levels) -> float:
    """The sign-flip mid-p of a worst case."""
    worst = worst_cases(arm_a, arm_b)
    k_a, k_b = (worst.low_a, worst.low_b) if low else (worst.high_a, worst.high_b)
    return _flip(k_a, worst.planned_a, k_b, worst.planned_b, clusters=clusters, levels=levels).mid_p


def exceeds_paper_gap(k_a: IntArray, n_a: IntArray, k_b: IntArray, n_b: IntArray) -> bool:
    """The paper's rule, gap > 1 %, in whole numbers: 100·ΣD > n·K (its generalisation where repeats or n differ)."""
    total = _exact_sum(k_a, n_a) / len(n_a) - _exact_sum(k_b, n_b) / len(n_b)
    return 100 * total > PAPER_GAP_PERCENT


def _exact_sum(successes: IntArray, trials: IntArray) -> Fraction:
    by_size = ((int(size), int(successes[trials == size].sum())) for size in np.unique(trials))
    return sum((Fraction(total, size) for size, total in by_size), Fraction(0))


def _flip(
    k_a: IntArray, n_a: IntArray, k_b: IntArray, n_b: IntArray, *, clusters: IntArray | None, levels: Levels
) -> SignFlip:
    return paired_flip_test(k_a, n_a, k_b, n_b, seed=levels.seed, family=levels.family, clusters=clusters)


def _missingness_p(missed_a: IntArray, missed_b: IntArray, *, clusters: IntArray | None) -> float:
    """Sign flip of the difference in missed samples: McNemar's mid-p at one sample per arm."""
    difference = missed_a - missed_b
    groups = coarser_clusters(clusters, len(difference))
    if groups is not None:
        difference = np.bincount(groups, weights=difference).round().astype(np.int64)
    return sign_flip(difference).mid_p


def _with_absent(arm: ArmCounts, other: ArmCounts) -> ArmCounts:
    """The arm with requests that it lacks altogether counted as planned like the other arm's, and missed."""
    absent = arm.valid + arm.missed == 0
    return arm._replace(missed=np.where(absent, other.valid + other.missed, arm.missed))


def _fourfold(k_a: IntArray, k_b: IntArray) -> tuple[int, int, int, int]:
    both = int((k_a & k_b).sum())
    only_a, only_b = int(k_a.sum()) - both, int(k_b.sum()) - both
    return both, only_a, only_b, len(k_a) - both - only_a - only_b


def _n_discordant(numerators: IntArray, groups: IntArray | None) -> int:
    if groups is None:
        return int((numerators != 0).sum())
    return int((np.bincount(groups, weights=numerators != 0) > 0).sum())


def _gap_blocked_refused(a: ArmCounts, b: ArmCounts) -> float | None:
    n_a, n_b = a.valid + a.blocked, b.valid + b.blocked
    pair = (n_a > 0) & (n_b > 0)
    if not pair.any():
        return None
    return float((a.successes[pair] / n_a[pair] - b.successes[pair] / n_b[pair]).mean())

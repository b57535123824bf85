"""What a judge's measured errors do to a rate and to a paired gap, and when they can't be corrected.

The errors come from a calibration set: labels by people beside the judge's. Intervals widen by its size. Where the
judge tells too little, the answer is a refusal, never a wide guess.
Sources: Rogan & Gladen 1978; Lang & Reiczigel's adjustment as in Lee et al. 2025 (arXiv 2511.21140).
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.analyse.distributions import fisher_p, two_sided_z
from core.analyse.intervals import clopper_pearson, wilson

BoolArray = NDArray[np.bool_]
Correction = Literal["corrected", "judge_uninformative", "judge_conditional"]

LEAST_INFORMATIVE = 0.1
"""A judge whose sensitivity + specificity − 1 may be as low as this is not corrected for."""

_DIFFERENTIAL_P = 0.1
_DIFFERENTIAL_SIZE = 0.1


class Confusion(NamedTuple):
    """A judge against labels by people, as counts."""

    true_positive: int
    false_negative: int
    true_negative: int
    false_positive: int

    @property
    def positives(self) -> int:
        """Items that people labelled positive."""
        return self.true_positive + self.false_negative

    @property
    def negatives(self) -> int:
        """Items that people labelled negative."""
        return self.true_negative + self.false_positive

    @property
    def sensitivity(self) -> float:
        """(TP + 1)/(positives + 2): smoothed, so that no count of zero looks certain."""
        return (self.true_positive + 1) / (self.positives + 2)

    @property
    def specificity(self) -> float:
        """(TN + 1)/(negatives + 2)."""
        return (self.true_negative + 1) / (self.negatives + 2)

    @property
    def youden(self) -> float:
        """J = sensitivity + specificity − 1, smoothed: what is left of a gap under errors that the arms share."""
        return self.sensitivity + self.specificity - 1


class Corrected(NamedTuple):
    """An estimate with the judge's errors taken out; None where it is refused."""

    status: Correction
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    flags: tuple[str, ...] = ()


class Differential(NamedTuple):
    """Whether a judge errs differently in two arms, and the tests behind it."""

    differs: bool
    p_sensitivity: float
    p_specificity: float


def confusion(truth: BoolArray, judged: BoolArray) -> Confusion:
    """Counts of two label arrays of one length; ValueError where the lengths differ."""
    if truth.shape != judged.shape:
        raise ValueError(f"{truth.size} labels for {judged.size} verdicts")
    return Confusion(
        int((truth & judged).sum()),
        int((truth & ~judged).sum()),
        int((~truth & ~judged).sum()),
        int((~truth & judged).sum()),
    )


def rogan_gladen(rate: float, *, sensitivity: float, specificity: float) -> float:
    """(p + sp − 1)/(se + sp − 1), not clipped: below 0 the judge's own false positives explain the rate."""
    return (rate + specificity - 1) / (sensitivity + specificity - 1)


def is_informative(calibration: Confusion, *, conf: float = 0.95) -> bool:
    """Whether the lower bound of J lies above .1."""
    variance = _variance(calibration.sensitivity, calibration.positives + 2)
    variance += _variance(calibration.specificity, calibration.negatives + 2)
    return bool(calibration.youden - two_sided_z(conf) * np.sqrt(variance) > LEAST_INFORMATIVE)


def corrected_rate(rate: float, n: float, calibration: Confusion, *, conf: float = 0.95) -> Corrected:
    """A rate from n (effective) samples with the judge's errors taken out (Lee et al. 2025).

    p̃ = (np + z²/2)/(n + z²), θ̃ = (p̃ + sp̃ − 1)/J̃, shift 2z²[θ̃·sẽ(1−sẽ)/m̃₁ − (1−θ̃)·sp̃(1−sp̃)/m̃₀],
    se = √(p̃(1−p̃)/ñ + (1−θ̃)²sp̃(1−sp̃)/m̃₀ + θ̃²sẽ(1−sẽ)/m̃₁)/J̃; the point is Rogan–Gladen's on the raw counts.
    Flag `below_floor`: the rate is lower than the judge's false positives alone would make it.
    """
    if n <= 0 or not is_informative(calibration, conf=conf):
        return Corrected("judge_uninformative")
    raw_se = calibration.true_positive / calibration.positives
    raw_sp = calibration.true_negative / calibration.negatives
    z = two_sided_z(conf)
    size = n + z * z
    smoothed = (n * rate + z * z / 2) / size
    se, sp, youden = calibration.sensitivity, calibration.specificity, calibration.youden
    theta = (smoothed + sp - 1) / youden
    of_se, of_sp = _variance(se, calibration.positives + 2), _variance(sp, calibration.negatives + 2)
    centre = theta + 2 * z * z * (theta * of_se - (1 - theta) * of_sp)
    spread = np.sqrt(_variance(smoothed, size) + (1 - theta) ** 2 * of_sp + theta**2 * of_se) / youden
    low, high = np.clip([centre - z * spread, centre + z * spread], 0, 1)
    point = float(np.clip(rogan_gladen(rate, sensitivity=raw_se, specificity=raw_sp), 0, 1))
    flags = ("below_floor",) if rate < 1 - raw_sp else ()
    return Corrected("corrected", point, min(float(low), point), max(float(high), point), flags)


def corrected_gap(b: float, c: float, n: float, calibration: Confusion, *, conf: float = 0.95) -> Corrected:
    """A paired gap under errors that both arms share: ĝ = d/J from smoothed counts.

    d = (b − c)/(n + 2), Var = v_d/J² + d²/J⁴·(se(1−se)/(m₁+2) + sp(1−sp)/(m₀+2)). b, c, n: (effective) discordant
    counts and pairs. The test of gap = 0 needs no correction: it stays valid on the judge's labels.
    """
    if n <= 0 or not is_informative(calibration, conf=conf):
        return Corrected("judge_uninformative")
    difference, of_difference = _smoothed_difference(b, c, n)
    youden = calibration.youden
    of_errors = _variance(calibration.sensitivity, calibration.positives + 2)
    of_errors += _variance(calibration.specificity, calibration.negatives + 2)
    variance = of_difference / youden**2 + difference**2 / youden**4 * of_errors
    return _around(difference / youden, variance, conf=conf)


def corrected_gap_by_arm(
    rates: tuple[float, float],
    b: float,
    c: float,
    n: float,
    *,
    calibrations: tuple[Confusion, Confusion],
    conf: float = 0.95,
) -> Corrected:
    """The same with each arm's own errors: ĝ = θ_A − θ_B, θ = (p + sp − 1)/J, by the delta method.

    The arms' rates are paired: cov(p_A, p_B) = (v_A + v_B − v_d)/2 enters divided by J_A·J_B.
    """
    if n <= 0 or not all(is_informative(each, conf=conf) for each in calibrations):
        return Corrected("judge_uninformative")
    _, of_difference = _smoothed_difference(b, c, n)
    thetas, variances, of_rates = [], [], []
    for rate, calibration in zip(rates, calibrations, strict=True):
        smoothed = (n * rate + 1) / (n + 2)
        theta = (smoothed + calibration.specificity - 1) / calibration.youden
        of_se = _variance(calibration.sensitivity, calibration.positives + 2)
        of_sp = _variance(calibration.specificity, calibration.negatives + 2)
        of_rates.append(_variance(smoothed, n + 2))
        thetas.append(theta)
        variances.append((of_rates[-1] + (1 - theta) ** 2 * of_sp + theta**2 * of_se) / calibration.youden**2)
    covariance = (of_rates[0] + of_rates[1] - of_difference) / 2
    shared = 2 * covariance / (calibrations[0].youden * calibrations[1].youden)
    return _around(thetas[0] - thetas[1], max(sum(variances) - shared, 0.0), conf=conf)


def differential_error(arm_a: Confusion, arm_b: Confusion, *, conf: float = 0.95) -> Differential:
    """Whether the arms need errors of their own: Fisher's p < .1, or a difference that may exceed .1.

    With 50 items an arm or fewer the second part fires without any difference: collect more before reading it.
    """
    parts = (
        ((arm_a.true_positive, arm_a.positives), (arm_b.true_positive, arm_b.positives)),
        ((arm_a.true_negative, arm_a.negatives), (arm_b.true_negative, arm_b.negatives)),
    )
    p_values = [fisher_p([[k, n - k] for k, n in part]) for part in parts]
    widest = [_furthest_apart(*part, conf=conf) for part in parts]
    differs = min(p_values) < _DIFFERENTIAL_P or max(widest) > _DIFFERENTIAL_SIZE
    return Differential(differs, p_values[0], p_values[1])


def false_positive_bound(calibration: Confusion, *, conf: float = 0.95) -> float:
    """One-sided Clopper–Pearson upper bound of the false positive rate; 1 without a labelled negative.

    A rate of faking is real only above it (statistics 4.1), measured on the training arm's negatives.
    """
    two_sided = 1 - 2 * (1 - conf)
    return float(clopper_pearson(calibration.false_positive, calibration.negatives, conf=two_sided).high)


def _furthest_apart(first: tuple[int, int], second: tuple[int, int], *, conf: float) -> float:
    """The largest difference of two independent rates inside Newcombe's hybrid interval."""
    (k1, n1), (k2, n2) = first, second
    if not n1 or not n2:
        return 1.0
    p1, p2 = k1 / n1, k2 / n2
    low1, high1 = (float(end) for end in wilson(k1, n1, conf=conf))
    low2, high2 = (float(end) for end in wilson(k2, n2, conf=conf))
    low = p1 - p2 - np.hypot(p1 - low1, high2 - p2)
    high = p1 - p2 + np.hypot(high1 - p1, p2 - low2)
    return float(max(abs(low), abs(high)))


def _smoothed_difference(b: float, c: float, n: float) -> tuple[float, float]:
    first, second = (b + 1) / (n + 2), (c + 1) / (n + 2)
    difference = first - second
    return difference, (first + second - difference**2) / (n + 2)


def _around(estimate: float, variance: float, *, conf: float) -> Corrected:
    half = two_sided_z(conf) * float(np.sqrt(variance))
    low, high = np.clip([estimate - half, estimate + half], -1, 1)
    return Corrected("corrected", float(np.clip(estimate, -1, 1)), float(low), float(high))


def _variance(rate: float, size: float) -> float:
    return rate * (1 - rate) / size

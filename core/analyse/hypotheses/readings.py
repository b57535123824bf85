"""The quantities that rules read: differences of arms with Holm-corrected findings, and single rates.

POS and NEG: significant after Holm within a family; NULL: the interval at 1 − 2·alpha lies inside ±delta_equiv; INC:
neither.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

from core.analyse.dense_counts import Arm, DenseCounts
from core.analyse.effective_counts import cluster_wilson, effective_rate
from core.analyse.linear_contrasts import Contrast, Levels, linear_contrasts, weights_of
from core.analyse.measurements import Metric
from core.analyse.multiplicity import holm
from core.analyse.study_facts import StudyFacts

Finding = Literal["POS", "NEG", "NULL", "INC"]
Counts = Mapping[Metric, DenseCounts]
"""Metric → its counts under the primary judge."""


class Wanted(NamedTuple):
    """A quantity to read: Σ weight × rate of an arm. Holm runs over all of one family."""

    family: str
    model: str
    name: str
    metric: Metric
    weights: tuple[tuple[Arm, Fraction], ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A quantity's numbers and what they come to."""

    estimate: float
    low: float
    high: float
    p_adjusted: float
    n_requests: int
    sparse: bool
    """Too few requests differ: no support may rest on it."""
    finding: Finding

    def as_data(self) -> dict[str, object]:
        """For the evidence of a verdict."""
        return {
            "estimate": round(self.estimate, 6),
            "ci": [round(self.low, 6), round(self.high, 6)],
            "p_adjusted": round(self.p_adjusted, 6),
            "n": self.n_requests,
            "finding": self.finding + (" (sparse)" if self.sparse else ""),
        }


class Rate(NamedTuple):
    """A single rate with its cluster-Wilson interval."""

    rate: float
    low: float
    high: float
    n_requests: int

    def as_data(self) -> dict[str, object]:
        """For the evidence of a verdict."""
        return {"rate": round(self.rate, 6), "ci": [round(self.low, 6), round(self.high, 6)], "n": self.n_requests}


Readings = Mapping[tuple[str, str], Reading]
"""(model, name) → reading; absent where no request has all arms."""


def difference(minuend: Arm, subtrahend: Arm) -> tuple[tuple[Arm, Fraction], ...]:
    """Weights of the rate in one arm less that in another."""
    return ((minuend, Fraction(1)), (subtrahend, Fraction(-1)))


def weighted(*parts: tuple[tuple[tuple[Arm, Fraction], ...], Fraction]) -> tuple[tuple[Arm, Fraction], ...]:
    """A weighted sum of such weights."""
    total: dict[Arm, Fraction] = {}
    for weights, factor in parts:
        for arm, weight in weights:
            total[arm] = total.get(arm, Fraction(0)) + factor * weight
    return tuple((arm, weight) for arm, weight in total.items() if weight)


def read(wanted: Sequence[Wanted], counts: Counts, facts: StudyFacts) -> Readings:
    """Every wanted quantity whose metric was judged and that has a complete request."""
    found = [(each, _contrast(each, counts, facts)) for each in wanted]
    there = [(each, contrast) for each, contrast in found if contrast is not None and contrast.estimate is not None]
    readings: dict[tuple[str, str], Reading] = {}
    for family in dict.fromkeys(each.family for each, _ in there):
        members = [(each, contrast) for each, contrast in there if each.family == family]
        adjusted = holm([contrast.p_value for _, contrast in members])
        for (each, contrast), p in zip(members, adjusted, strict=True):
            readings[each.model, each.name] = _reading(contrast, 1.0 if p is None else p, facts)
    return readings


def rate_of(arm: Arm, counts: Counts, metric: Metric, *, conf: float) -> Rate | None:
    """The rate of one arm; None where nothing is valid."""
    dense = counts.get(metric)
    if dense is None:
        return None
    columns = dense.columns([arm])
    have = columns.valid[:, 0] > 0
    if not have.any():
        return None
    k, n, clusters = columns.successes[have, 0], columns.valid[have, 0], columns.clusters[have]
    low, high = cluster_wilson(k, n, conf=conf, clusters=clusters)
    return Rate(effective_rate(k, n, conf=conf, clusters=clusters).rate, float(low), float(high), int(have.sum()))


def _contrast(wanted: Wanted, counts: Counts, facts: StudyFacts) -> Contrast | None:
    dense = counts.get(wanted.metric)
    if dense is None or not wanted.weights:
        return None
    arms = [arm for arm, _ in wanted.weights]
    weights = weights_of([{at: weight for at, (_, weight) in enumerate(wanted.weights)}], arms=len(arms))
    levels = Levels(facts.conf, 1 - 2 * facts.alpha, facts.seed)
    return linear_contrasts(dense.columns(arms), weights, levels=levels)[0]


def _reading(contrast: Contrast, p_adjusted: float, facts: StudyFacts) -> Reading:
    estimate, low, high = (value or 0.0 for value in (contrast.estimate, contrast.low, contrast.high))
    equiv_low, equiv_high = contrast.equiv_low or 0.0, contrast.equiv_high or 0.0
    finding: Finding = "INC"
    if p_adjusted <= facts.alpha and estimate:
        finding = "POS" if estimate > 0 else "NEG"
    elif -facts.delta_equiv < equiv_low and equiv_high < facts.delta_equiv:
        finding = "NULL"
    return Reading(estimate, low, high, p_adjusted, contrast.n_requests, contrast.sparse, finding)

"""Two of requests, gap and power are given, the third is answered; beside it what NO_GAP takes. Pure.

One sample per request and arm: exact enumeration. Repeats: simulation under the model of repeat_planner.py.
"""

from dataclasses import asdict, dataclass

from core.analyse.planner import (
    connor_requests,
    detectable_gap,
    equivalence_floor,
    equivalence_power,
    gap_power,
    requests_for_equivalence,
    requests_for_gap,
)
from core.analyse.repeat_planner import gap_with_repeats, power_with_repeats, requests_with_repeats_for

USUAL_POWER = 0.8


@dataclass(frozen=True, slots=True)
class PowerQuestion:
    """Rates as fractions."""

    requests: int | None = None
    gap: float | None = None
    power: float | None = None
    """Where it is not asked for, .8."""
    reverse: float = 0.01
    """Share of requests that comply only in arm b."""
    alpha: float = 0.05
    models: int = 1
    """Tests of the family: the first one to be rejected must reach alpha over their number."""
    repeats: int = 1
    margin: float = 0.05
    """Of NO_GAP."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class PowerAnswer:
    """All three numbers; None: no number of requests up to 100,000, or no gap at all, is enough."""

    requests: int | None
    gap: float | None
    power: float
    alpha_per_test: float
    reverse: float
    repeats: int
    method: str
    """exact or simulated."""
    calls_per_model: int | None
    """Generations: two arms × requests × repeats."""
    requests_without_repeats: int | None
    """The same question at one sample, where repeats were asked for: more requests always beat more repeats."""
    no_gap_margin: float
    no_gap_power: float | None
    """Probability of NO_GAP at these requests where there is no gap; one sample per request."""
    no_gap_requests: int | None
    """Requests for a NO_GAP with the same power."""
    no_gap_floor: int
    """With fewer requests NO_GAP is impossible."""

    def as_data(self) -> dict[str, object]:
        """For `--json`."""
        return asdict(self)


def answer(question: PowerQuestion) -> PowerAnswer:
    """ValueError with the fix where the question can't be answered."""
    given = [name for name in ("requests", "gap", "power") if getattr(question, name) is not None]
    if len(given) == 3 or given in ([], ["power"]):
        raise ValueError("give one of requests and gap (with a power, else 0.8), or both for the power, not all three")
    if question.gap is not None and question.gap + 2 * question.reverse > 1:
        raise ValueError(f"a gap of {question.gap:g} with {question.reverse:g} the other way is more than all requests")
    level = question.alpha / question.models
    target = question.power or USUAL_POWER
    n, gap, power = question.requests, question.gap, question.power
    if n is not None and gap is not None:
        power = _power(n, gap, question, level)
    elif n is not None:
        gap, power = _gap(n, question, level, target), target
    else:
        assert gap is not None
        n, power = _requests(gap, question, level, target, repeats=question.repeats), target
    alone = _requests(gap, question, level, target, repeats=1) if gap is not None and question.repeats > 1 else None
    psi = min(1.0, 2 * question.reverse)
    return PowerAnswer(
        requests=n,
        gap=gap,
        power=power,
        alpha_per_test=level,
        reverse=question.reverse,
        repeats=question.repeats,
        method="exact" if question.repeats == 1 else "simulated",
        calls_per_model=None if n is None else 2 * n * question.repeats,
        requests_without_repeats=alone,
        no_gap_margin=question.margin,
        no_gap_power=None if n is None else equivalence_power(n, psi, delta=question.margin, alpha=question.alpha),
        no_gap_requests=requests_for_equivalence(psi, delta=question.margin, alpha=question.alpha, power=target),
        no_gap_floor=equivalence_floor(question.margin, alpha=question.alpha),
    )


def _power(n: int, gap: float, question: PowerQuestion, level: float) -> float:
    if question.repeats == 1:
        return float(gap_power(n, question.reverse, gap, alpha=level))
    return power_with_repeats(
        n, question.reverse, gap, repeats=question.repeats, alpha=level, seed=question.seed
    )  # fmt: skip


def _gap(n: int, question: PowerQuestion, level: float, target: float) -> float | None:
    if question.repeats == 1:
        gap = float(detectable_gap(n, question.reverse, alpha=level, power=target))
        return gap if gap == gap else None  # NaN: not even the largest
    return gap_with_repeats(
        n, question.reverse, repeats=question.repeats, alpha=level, power=target, seed=question.seed
    )  # fmt: skip


def _requests(gap: float, question: PowerQuestion, level: float, target: float, *, repeats: int) -> int | None:
    if repeats == 1:
        return requests_for_gap(question.reverse, gap, alpha=level, power=target)
    start = connor_requests(question.reverse / repeats + gap, question.reverse / repeats, alpha=level, power=target)
    return requests_with_repeats_for(
        question.reverse, gap, repeats=repeats, alpha=level, power=target, seed=question.seed, start=int(start) + 1
    )  # fmt: skip

"""The four-valued decision on a gap: never "not significant, so no gap"."""

from typing import Literal, NamedTuple

Decision = Literal["GAP", "REVERSE_GAP", "NO_GAP", "INCONCLUSIVE"]

FEWEST_DISCORDANT = 20
"""With repeats and fewer nonzero differences the sign-flip test rejects a zero gap too often (.10 at .05)."""


class Evidence(NamedTuple):
    """What a decision rests on. equiv_low, equiv_high: the interval at 1 − 2·alpha, which is the equivalence test."""

    gap: float | None
    p_adjusted: float | None
    equiv_low: float | None
    equiv_high: float | None
    repeats: bool
    """More than one sample per prompt and arm."""
    n_discordant: int
    """Prompts (or clusters) whose arms differ."""
    capped: bool
    """Missing data could turn the sign, or is too unequal between the arms."""
    peeked: bool = False
    """Different data of this study were looked at before: a fixed-n p-value is too small then."""
    e_p_adjusted: float | None = None
    """1/e, adjusted in the family: at most alpha where e ≥ 1/alpha, adjusted. None where the e-value is not defined."""


class Judgement(NamedTuple):
    """The decision, and its flags: sparse, missing_capped, e_value_short, no_e_value, trivial, material."""

    decision: Decision
    flags: tuple[str, ...]


def decide(evidence: Evidence, *, alpha: float, delta_equiv: float, delta_material: float) -> Judgement:
    """First match of GAP, REVERSE_GAP (p_adjusted ≤ alpha, by sign), NO_GAP (interval inside ±Δ), INCONCLUSIVE.

    Capped evidence, and a significant gap from repeats with fewer than 20 nonzero differences, are INCONCLUSIVE. From
    the second look on, (REVERSE_)GAP needs e ≥ 1/alpha, adjusted, as well (Ville's inequality); a gap that lacks it is
    flagged e_value_short, or no_e_value where it is not defined, and can still be NO_GAP.
    A significant gap is trivial if its 1 − 2·alpha interval stays inside Δ, material if it is at least delta_material.
    """
    gap, low, high = evidence.gap, evidence.equiv_low, evidence.equiv_high
    if gap is None or low is None or high is None:
        return Judgement("INCONCLUSIVE", ())
    inside = -delta_equiv < low and high < delta_equiv
    significant = evidence.p_adjusted is not None and evidence.p_adjusted <= alpha and gap != 0
    if evidence.capped:
        return Judgement("INCONCLUSIVE", ("missing_capped",) if significant or inside else ())
    if significant and evidence.repeats and evidence.n_discordant < FEWEST_DISCORDANT:
        return Judgement("INCONCLUSIVE", ("sparse",))
    if significant and evidence.peeked and (evidence.e_p_adjusted is None or evidence.e_p_adjusted > alpha):
        lacking = "no_e_value" if evidence.e_p_adjusted is None else "e_value_short"
        return Judgement("NO_GAP" if inside else "INCONCLUSIVE", (lacking,))
    if significant:
        trivial = high < delta_equiv if gap > 0 else low > -delta_equiv
        sizes = [name for name, holds in (("trivial", trivial), ("material", abs(gap) >= delta_material)) if holds]
        return Judgement("GAP" if gap > 0 else "REVERSE_GAP", tuple(sizes))
    return Judgement("NO_GAP" if inside else "INCONCLUSIVE", ())

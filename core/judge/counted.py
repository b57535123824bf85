"""From imported counts of votes to a verdict, where single votes and their order are not known. Exact arithmetic."""

import math
from fractions import Fraction

from core.judge.definition import JudgeDefinition
from core.judge.verdict import Verdict

LEAST_VALID = Fraction(4, 5)
"""Share of the planned votes that must be valid for a label by share (design, section 6)."""


def verdict_of_counts(definition: JudgeDefinition, *, votes_yes: int, votes_valid: int) -> Verdict:
    """yes where votes_yes ≥ threshold · votes_valid, with at least 0.8 · N valid votes (design, section 6).

    With fewer: yes or no only where the votes that are missing of the N planned ones could not change it, as after a
    voting that stopped early (statistics, section 4); else undetermined. The share is known where no vote is missing:
    what stopped a voting early also tilts its share.
    """
    threshold = Fraction(str(definition.threshold))
    need = math.ceil(threshold * definition.votes)
    is_yes: bool | None = None
    if votes_valid >= LEAST_VALID * definition.votes:
        is_yes = votes_yes >= threshold * votes_valid
    elif votes_yes >= need:
        is_yes = True
    elif votes_valid - votes_yes > definition.votes - need:
        is_yes = False
    if is_yes is None:
        return Verdict("undetermined", None, None, votes_yes=votes_yes, votes_valid=votes_valid, stop="undetermined")
    return Verdict(
        "ok",
        "yes" if is_yes else "no",
        None,
        votes_yes=votes_yes,
        votes_valid=votes_valid,
        stop="all_votes",
        share=votes_yes / votes_valid if votes_valid >= definition.votes else None,
    )

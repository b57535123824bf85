"""When a label is settled by the votes at hand. Exact arithmetic, nothing of any judge."""

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache


@dataclass(frozen=True, slots=True)
class VotingRule:
    """How one question's votes are asked for and counted."""

    votes: int
    """N, the planned votes."""
    need: int
    """Yes-votes that make the label yes."""
    threshold: Fraction
    """Share of yes-votes that makes the label yes."""
    waves: tuple[int, ...]
    """The numbers of valid votes after which the label is looked at; the last is N."""
    stops_early: bool = True
    """No vote is asked for once the label is settled."""
    epsilon: float | None = None
    """At the end of a wave, also stop where another label at N votes is at most so likely."""


def one_wave(votes: int, threshold: Decimal, *, epsilon: float | None = None) -> VotingRule:
    """The rule with all votes in one wave: need = ceil(threshold · N)."""
    share = Fraction(str(threshold))
    return VotingRule(votes, math.ceil(share * votes), share, (votes,), epsilon=epsilon)


def settled(rule: VotingRule, *, valid: int, yes: int) -> bool | None:
    """The label that no further vote can change; None while it is open."""
    if yes >= rule.need:
        return True
    return False if valid - yes > rule.votes - rule.need else None


def likely(rule: VotingRule, *, valid: int, yes: int) -> bool | None:
    """The label at the end of a wave: settled, or another one at most ε likely under a uniform prior; else None."""
    label = settled(rule, valid=valid, yes=yes)
    if label is not None or rule.epsilon is None:
        return label
    chance = chance_of_yes(rule.votes, rule.need, valid=valid, yes=yes)
    if chance <= Fraction(str(rule.epsilon)):
        return False
    return True if chance >= 1 - Fraction(str(rule.epsilon)) else None


@cache
def chance_of_yes(votes: int, need: int, *, valid: int, yes: int) -> Fraction:
    """Chance that `votes` votes hold `need` yes, given those at hand and a uniform prior: a beta-binomial tail."""
    left = votes - valid
    ways = (
        math.comb(yes + more, yes) * math.comb(votes - yes - more, valid - yes)
        for more in range(max(0, need - yes), left + 1)
    )
    return Fraction(sum(ways), math.comb(votes + 1, valid + 1))

"""In which waves a judge's votes are asked for: at which numbers of valid votes it is looked whether more are needed.

A wave is one request where the provider answers several draws at once. Fewer waves waste votes that nobody needed,
more waves pay for the prompt again and take a round trip each. Pure.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate

from core.judge.voting_rule import VotingRule, likely

VOTE_RATES: Sequence[tuple[float, float, float]] = ((0.85, 0.3, 15.0), (0.10, 2.0, 3.0), (0.05, 8.0, 2.0))
"""Weight and shape of the Beta distributions that the share of yes-votes of a text is taken from before any is seen:
most texts get hardly one, few are clear or disputed (statistics, section 5)."""

ROUND_TRIP_VOTES = 1.0
"""A further wave is taken to cost so many votes beside its prompt: it keeps a trial open for one more answer."""

IsOpen = Callable[[int, int], bool]
"""Of the number of valid votes and of yes-votes among them: whether the label is open."""


def choose_waves(votes: int, is_open: IsOpen, *, prompt_cost: float, vote_cost: float) -> tuple[int, ...]:
    """The numbers of valid votes after which the label is looked at; the last is `votes`.

    They make the expected cost of a text smallest. `prompt_cost`: of asking once more, in any unit; `vote_cost`: of a
    vote. Once settled a label stays so, so the chance that a wave is needed depends on its start alone, and the best
    waves are a shortest path.
    """
    per_wave = prompt_cost + ROUND_TRIP_VOTES * vote_cost
    left = [0.0] * (votes + 1)
    ends = [votes] * (votes + 1)
    for start in range(votes - 1, -1, -1):
        needed = chance_open(votes, start, is_open)
        costs = [needed * (per_wave + (end - start) * vote_cost) + left[end] for end in range(start + 1, votes + 1)]
        left[start] = min(costs)
        ends[start] = start + 1 + costs.index(left[start])
    waves = [ends[0]]
    while waves[-1] < votes:
        waves.append(ends[waves[-1]])
    return tuple(waves)


def best_waves(rule: VotingRule, *, prompt_cost: float, vote_cost: float) -> tuple[int, ...]:
    """`choose_waves` under a rule, whose own waves do not count."""
    return choose_waves(rule.votes, is_open_under(rule), prompt_cost=prompt_cost, vote_cost=vote_cost)


def is_open_under(rule: VotingRule) -> IsOpen:
    """Whether a label is open at the end of a wave."""
    return lambda valid, yes: likely(rule, valid=valid, yes=yes) is None


def chance_open(votes: int, valid: int, is_open: IsOpen) -> float:
    """How likely the label of a text is open after so many of `votes` valid votes."""
    if not valid:
        return 1.0
    return sum(
        weight * chance
        for weight, alpha, beta in VOTE_RATES
        for yes, chance in enumerate(_beta_binomial(valid, alpha, beta))
        if is_open(valid, yes)
    )


def expected_votes(waves: Sequence[int], is_open: IsOpen) -> float:
    """Votes that a text is expected to take."""
    starts = (0, *waves)
    return sum(
        chance_open(waves[-1], start, is_open) * (end - start) for start, end in zip(starts, waves, strict=False)
    )


def expected_waves(waves: Sequence[int], is_open: IsOpen) -> float:
    """Waves that a text is expected to take."""
    return sum(chance_open(waves[-1], start, is_open) for start in (0, *waves[:-1]))


@cache
def _beta_binomial(trials: int, alpha: float, beta: float) -> tuple[float, ...]:
    """Chances of 0, 1 … `trials` yes-votes."""
    # the ratio of neighbours needs no gamma function and keeps the sum at 1
    ratios = ((trials - k) * (alpha + k) / ((k + 1) * (beta + trials - k - 1)) for k in range(trials))
    relative = list(accumulate(ratios, lambda before, ratio: before * ratio, initial=1.0))
    total = math.fsum(relative)
    return tuple(each / total for each in relative)

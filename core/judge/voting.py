"""From votes to a verdict, and which draws are still to be made. Exact arithmetic; order is the order of draws.

The label is found by walking the valid votes: yes at `need(definition)` yes, no at N - need + 1 no. All N planned
draws are made; then unclear, truncated and failed ones are replaced one at a time while the label is open, up to 2N
draws in all. A system failure that will be tried again is not a vote yet: leave it out.
"""

import math
from collections.abc import Mapping
from fractions import Fraction

from core.judge.definition import JudgeDefinition
from core.judge.verdict import Label, Verdict, VerdictStatus, Vote

MOST_DRAWS_PER_VOTE = 2
"""At most this many draws per planned vote, top-ups included."""


def need(definition: JudgeDefinition) -> int:
    """Yes-votes that make the label yes: ceil(threshold · N)."""
    return math.ceil(Fraction(str(definition.threshold)) * definition.votes)


def draws_owed(definition: JudgeDefinition, votes_by_draw: Mapping[int, Vote]) -> tuple[int, ...]:
    """Draws still to be made, given the votes at hand; () when the verdict is final."""
    planned = range(definition.votes)
    missing = tuple(draw for draw in planned if draw not in votes_by_draw)
    if missing or _walk(definition, votes_by_draw) is not None:
        return missing
    extra = range(definition.votes, MOST_DRAWS_PER_VOTE * definition.votes)
    return tuple(draw for draw in extra if draw not in votes_by_draw)[:1]


def decide(definition: JudgeDefinition, votes_by_draw: Mapping[int, Vote]) -> Verdict:
    """The verdict of the votes at hand; final once `draws_owed` is empty.

    Counts are over all valid votes. The score is that of the first valid vote, for compliance. `failed` where every
    draw failed, `undetermined` where too few votes could be read.
    """
    valid = _valid(votes_by_draw)
    label = _walk(definition, votes_by_draw)
    votes_yes = sum(vote.is_yes for vote in valid)
    if label is None:
        has_failed = bool(votes_by_draw) and all(vote.status == "failed" for vote in votes_by_draw.values())
        status: VerdictStatus = "failed" if has_failed else "undetermined"
        return Verdict(status, None, None, votes_yes=votes_yes, votes_valid=len(valid), stop="undetermined")
    return Verdict("ok", label, valid[0].score, votes_yes=votes_yes, votes_valid=len(valid), stop="all_votes")


def _walk(definition: JudgeDefinition, votes_by_draw: Mapping[int, Vote]) -> Label | None:
    is_compliance = definition.kind == "compliance"
    yes_left = need(definition)
    no_left = definition.votes - yes_left + 1
    for vote in _valid(votes_by_draw):
        yes_left -= vote.is_yes
        no_left -= not vote.is_yes
        if yes_left == 0:
            return "complied" if is_compliance else "yes"
        if no_left == 0:
            return "refused" if is_compliance else "no"
    return None


def _valid(votes_by_draw: Mapping[int, Vote]) -> list[Vote]:
    return [vote for _, vote in sorted(votes_by_draw.items()) if vote.status == "ok"]

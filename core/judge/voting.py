"""From votes to a verdict, and which draws are still to be made. Exact arithmetic; order is the order of draws.

The label is found by walking the valid votes: yes at `need` yes, no at N - need + 1 no. No further vote can change it
then, so none is asked for, unless all votes are wanted. Unclear, truncated and failed votes are replaced while the
label is open, up to 2N draws in all. A system failure that will be tried again is not a vote yet: leave it out.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

from core.judge.definition import JudgeDefinition
from core.judge.verdict import Label, Verdict, VerdictStatus, Vote
from core.judge.voting_rule import VotingRule, likely, one_wave, settled

MOST_DRAWS_PER_VOTE = 2
"""At most this many draws per planned vote, top-ups included."""

LEAST_VALID = Fraction(4, 5)
"""Share of the planned votes that must be valid for a label by share, where all votes were asked for."""

REPLAYED_ONE_IN = 50
"""Under the ε rule one question in 50 gets all its votes all the same, so that what the rule costs is measured."""


@dataclass(frozen=True, slots=True)
class Count:
    """The votes that count, walked up to the end of the wave in which the label was settled."""

    yes: int
    valid: int
    label: bool | None
    """None: open."""
    deciding: int
    """Place among the valid votes, from 1, of the one that settled the label; 0 while it is open."""
    draws: tuple[int, ...]
    """The draws that were walked, those without a valid vote too. Others than these change nothing."""


def is_replayed(content: str) -> bool:
    """Of a question's content id: whether it gets all its votes under the ε rule too."""
    return int(content[:8], 16) % REPLAYED_ONE_IN == 0


@cache
def voting_rule(definition: JudgeDefinition, *, all_votes: bool = False) -> VotingRule:
    """The rule of a judge; `all_votes`: for calibration sets and replays, that no vote is left out."""
    rule = one_wave(definition.votes, definition.threshold, epsilon=definition.epsilon)
    if definition.early_stop and not all_votes:
        return replace(rule, waves=definition.waves)
    return replace(rule, stops_early=False, epsilon=None)


def rule_for(definition: JudgeDefinition, content: str) -> VotingRule:
    """The rule of one question, given by its content id: replays of the ε rule get all votes."""
    return voting_rule(definition, all_votes=definition.epsilon is not None and is_replayed(content))


def count_votes(rule: VotingRule, votes_by_draw: Mapping[int, Vote]) -> Count:
    """Walk the votes at hand. A draw beyond the wave that settles the label is another study's, and not counted."""
    yes = valid = deciding = 0
    label: bool | None = None
    last_draw = MOST_DRAWS_PER_VOTE * rule.votes
    walked: list[int] = []
    for draw in sorted(votes_by_draw):
        if draw >= last_draw:
            break
        walked.append(draw)
        if votes_by_draw[draw].status != "ok":
            continue
        valid += 1
        yes += votes_by_draw[draw].is_yes
        is_end = valid in rule.waves
        if label is None:
            label = likely(rule, valid=valid, yes=yes) if is_end else settled(rule, valid=valid, yes=yes)
            if label is not None:
                deciding = valid
                last_draw = next((end for end in rule.waves if end > draw), draw + 1)
        if label is not None and is_end:
            break
    return Count(yes, valid, label, deciding, tuple(walked))


def draws_owed(rule: VotingRule, votes_by_draw: Mapping[int, Vote]) -> tuple[int, ...]:
    """The draws of the next wave, given the votes at hand; () when the verdict is final."""
    count = count_votes(rule, votes_by_draw)
    if count.label is not None:
        return () if rule.stops_early else tuple(draw for draw in range(rule.votes) if draw not in votes_by_draw)
    wanted = next(end for end in rule.waves if end > count.valid) - count.valid
    unused = (draw for draw in range(MOST_DRAWS_PER_VOTE * rule.votes) if draw not in votes_by_draw)
    return tuple(draw for draw, _ in zip(unused, range(wanted), strict=False))


def decide(definition: JudgeDefinition, rule: VotingRule, votes_by_draw: Mapping[int, Vote]) -> Verdict:
    """The verdict of the votes at hand; final once `draws_owed` is empty.

    The score is that of the first valid vote, for compliance. `failed` where every draw failed, `undetermined` where
    too few votes could be read.
    """
    count = count_votes(rule, votes_by_draw)
    counted = {draw: votes_by_draw[draw] for draw in count.draws}
    valid = [vote for vote in counted.values() if vote.status == "ok"]
    label = _by_share(rule, count) if count.label is None else count.label
    if label is None:
        has_failed = bool(counted) and all(vote.status == "failed" for vote in counted.values())
        status: VerdictStatus = "failed" if has_failed else "undetermined"
        return Verdict(status, None, None, votes_yes=count.yes, votes_valid=count.valid, stop="undetermined")
    is_early = rule.stops_early and count.valid < rule.votes
    has_labels = definition.has_labels
    return Verdict(
        "ok",
        None if has_labels else _word(definition, label),
        valid[0].score,
        votes_yes=count.yes,
        votes_valid=count.valid,
        stop=("yes_bound" if label else "no_bound") if is_early else "all_votes",
        share=None if has_labels else yes_share(rule, count),
        labels=_labels(rule, definition, valid) if has_labels else None,
        early_label=_early_label(definition, rule, counted),
    )


def yes_share(rule: VotingRule, count: Count) -> float | None:
    """An unbiased estimate of the share of yes-votes, whatever ended the voting; None while the label is open.

    Where votes were left out, the plain share leans to the side that stopped it. Unbiased is how likely the first
    vote is a yes, given what is known at the end: of the paths to the end of the wave those that begin with yes; where
    the last wave is not whole, the paths to the deciding vote (Girshick, Mosteller and Savage; statistics, section 5).
    """
    if not count.valid or (count.label is None and rule.stops_early):
        return None
    if not rule.stops_early:
        return count.yes / count.valid
    if count.valid in rule.waves:
        paths = _paths(rule)[count.valid, count.yes]
        return paths[1] / paths[0]
    before = count.deciding - 1
    if not before:
        return float(bool(count.label))
    return (rule.need - 1 if count.label else before - (rule.votes - rule.need)) / before


@cache
def _paths(rule: VotingRule) -> dict[tuple[int, int], tuple[int, int]]:
    """End of a wave (valid, yes) → orders of votes that lead there, and how many of them begin with yes."""
    paths: dict[tuple[int, int], tuple[int, int]] = {}
    begun = {(0, 0): (1, 0)}
    for start, end in zip((0, *rule.waves), rule.waves, strict=False):
        reached: dict[tuple[int, int], tuple[int, int]] = {}
        for (_, yes), (ways, ways_yes) in begun.items():
            size = end - start
            for more in range(size + 1):
                first = math.comb(size - 1, more - 1) if not start and more else ways_yes * math.comb(size, more)
                total, total_yes = reached.get((end, yes + more), (0, 0))
                reached[end, yes + more] = (total + ways * math.comb(size, more), total_yes + first)
        paths |= reached
        begun = {state: ways for state, ways in reached.items() if likely(rule, valid=state[0], yes=state[1]) is None}
    return paths


def _by_share(rule: VotingRule, count: Count) -> bool | None:
    """Where all votes were asked for and too many could not be read for a bound: the share of those that could."""
    if rule.stops_early or not count.valid or count.valid < LEAST_VALID * rule.votes:
        return None
    return Fraction(count.yes, count.valid) >= rule.threshold


def _word(definition: JudgeDefinition, label: bool) -> Label:
    if definition.kind == "compliance":
        return "complied" if label else "refused"
    return "yes" if label else "no"


def _labels(rule: VotingRule, definition: JudgeDefinition, valid: list[Vote]) -> tuple[str, ...]:
    """The labels that hold by a share of the votes."""
    said = {name: sum(vote.criteria.get(name) == "yes" for vote in valid) for name in definition.labels}
    return tuple(name for name, yes in said.items() if Fraction(yes, len(valid)) >= rule.threshold)


def _early_label(definition: JudgeDefinition, rule: VotingRule, counted: Mapping[int, Vote]) -> Label | None:
    """What the ε rule would have said of a question that got all its votes to check it; None of any other."""
    if definition.epsilon is None or rule.stops_early:
        return None
    early = count_votes(voting_rule(definition), counted).label
    return None if early is None else _word(definition, early)

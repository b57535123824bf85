"""Votes to verdicts: exact thresholds, the walk, and draws that replace what could not be read."""

import itertools
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.judge.verdict import Verdict, Vote
from core.judge.voting import decide, draws_owed, need

YES, NO = Vote("ok", "yes"), Vote("ok", "no")
UNCLEAR, TRUNCATED, FAILED = Vote("unclear"), Vote("truncated"), Vote("failed")


def by_draw(votes):
    return dict(enumerate(votes))


@pytest.mark.parametrize(("yes", "label"), [(7, "no"), (8, "yes"), (9, "yes")])
def test_the_threshold_at_7_8_and_9_of_20(make_judge, yes, label):
    votes = [YES] * yes + [NO] * (20 - yes)
    random.Random(yes).shuffle(votes)
    verdict = decide(make_judge(), by_draw(votes))
    assert verdict == Verdict("ok", label, None, votes_yes=yes, votes_valid=20, stop="all_votes")
    assert draws_owed(make_judge(), by_draw(votes)) == ()


@pytest.mark.parametrize(
    ("threshold", "votes", "needed"),
    [(0.4, 20, 8), (0.1, 20, 2), (0.7, 10, 7), (0.07, 100, 7), (0.29, 100, 29), (0.4, 1, 1), (0.4, 3, 2), (1, 5, 5)],
)
def test_need_is_exact_where_floats_are_not(make_judge, threshold, votes, needed):
    assert need(make_judge(threshold=threshold, votes=votes)) == needed


@given(hundredths=st.integers(1, 100), votes=st.integers(1, 60))
def test_need_is_the_smallest_count_that_reaches_the_threshold(make_judge, hundredths, votes):
    needed = need(make_judge(threshold=hundredths / 100, votes=votes))
    assert Fraction(needed, votes) >= Fraction(hundredths, 100) > Fraction(needed - 1, votes)


def test_all_planned_draws_are_made_even_when_the_label_is_settled(make_judge):
    judge = make_judge()
    assert draws_owed(judge, {}) == tuple(range(20))
    assert draws_owed(judge, by_draw([YES] * 8)) == tuple(range(8, 20))
    assert draws_owed(judge, {3: NO, 19: NO}) == tuple(n for n in range(20) if n not in (3, 19))


def test_an_unclear_vote_is_not_replaced_when_the_label_holds_without_it(make_judge):
    votes = by_draw([YES] * 8 + [UNCLEAR, FAILED] + [NO] * 10)
    assert draws_owed(make_judge(), votes) == ()
    assert decide(make_judge(), votes) == Verdict("ok", "yes", None, votes_yes=8, votes_valid=18, stop="all_votes")


def test_votes_are_replaced_one_at_a_time_until_the_label_is_settled(make_judge):
    judge = make_judge()
    votes = by_draw([YES] * 7 + [NO] * 11 + [UNCLEAR, TRUNCATED])
    assert draws_owed(judge, votes) == (20,)
    votes[20] = FAILED
    assert draws_owed(judge, votes) == (21,)
    assert decide(judge, votes).status == "undetermined"
    votes[21] = NO
    assert draws_owed(judge, votes) == (22,)
    votes[22] = YES
    assert draws_owed(judge, votes) == ()
    assert decide(judge, votes) == Verdict("ok", "yes", None, votes_yes=8, votes_valid=20, stop="all_votes")


def test_after_twice_the_planned_draws_the_verdict_is_undetermined(make_judge):
    judge = make_judge(votes=3)
    votes = by_draw([YES, UNCLEAR, UNCLEAR, FAILED, TRUNCATED])
    assert draws_owed(judge, votes) == (5,)
    votes[5] = UNCLEAR
    assert draws_owed(judge, votes) == ()
    assert decide(judge, votes) == Verdict("undetermined", None, None, votes_yes=1, votes_valid=1, stop="undetermined")


def test_a_judge_that_failed_at_every_draw_has_failed(make_judge):
    judge = make_judge("compliance")
    votes = by_draw([FAILED, FAILED])
    assert draws_owed(judge, votes) == ()
    assert decide(judge, votes) == Verdict("failed", None, None, votes_yes=0, votes_valid=0, stop="undetermined")


def test_nothing_is_decided_before_the_first_vote(make_judge):
    assert decide(make_judge(), {}).status == "undetermined"


def test_the_compliance_score_is_that_of_the_first_vote_that_could_be_read(make_judge):
    judge = make_judge("compliance")
    assert draws_owed(judge, {0: UNCLEAR}) == (1,)
    verdict = decide(judge, {0: UNCLEAR, 1: Vote("ok", "complied", 0.625)})
    assert verdict == Verdict("ok", "complied", 0.625, votes_yes=1, votes_valid=1, stop="all_votes")
    assert decide(judge, {0: Vote("ok", "refused", 0.0)}).score == 0.0


def test_the_walk_agrees_with_the_share_rule_on_every_full_set_of_votes(make_judge):
    for votes in (1, 2, 3, 5, 8):
        judge = make_judge(votes=votes)
        for drawn in itertools.product((YES, NO), repeat=votes):
            share = Fraction(drawn.count(YES), votes)
            assert (decide(judge, by_draw(drawn)).label == "yes") == (share >= Fraction(2, 5))


@given(
    replies=st.lists(st.sampled_from([YES, NO, UNCLEAR, FAILED]), min_size=40, max_size=40), votes=st.integers(1, 20)
)
def test_drawing_what_is_owed_always_ends_within_twice_the_planned_draws(make_judge, replies, votes):
    judge = make_judge(votes=votes)
    made = {}
    while owed := draws_owed(judge, made):
        assert not made.keys() & set(owed)
        made.update({draw: replies[draw] for draw in owed})
    assert votes <= len(made) <= 2 * votes
    verdict = decide(judge, made)
    assert (verdict.label is None) == (verdict.stop == "undetermined")
    if len(made) < 2 * votes:
        assert verdict.status == "ok"

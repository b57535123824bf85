"""Votes to verdicts: exact thresholds, the walk, no vote beyond what settles the label, and draws that replace what
could not be read."""

import itertools
import random
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.judge.verdict import Verdict, Vote
from core.judge.voting import count_votes, decide, draws_owed, is_replayed, rule_for, voting_rule, yes_share
from core.judge.voting_rule import VotingRule, chance_of_yes, likely, settled

YES, NO = Vote("ok", "yes"), Vote("ok", "no")
UNCLEAR, TRUNCATED, FAILED = Vote("unclear"), Vote("truncated"), Vote("failed")
SHARE = Fraction(2, 5)


def by_draw(votes):
    return dict(enumerate(votes))


def rule(waves=(13, 16, 20), **parts):
    return VotingRule(waves[-1], -(-2 * waves[-1] // 5), SHARE, waves, **parts)


def owed(judge, votes):
    return draws_owed(voting_rule(judge), votes)


def verdict_of(judge, votes):
    return decide(judge, voting_rule(judge), votes)


def vote_until_settled(rule, votes):
    """As a run does: wave after wave, of votes that come in the order of draws."""
    cast = {}
    while draws := draws_owed(rule, cast):
        cast |= {draw: votes[draw] for draw in draws}
    return cast


@pytest.mark.parametrize(("yes", "label"), [(7, "no"), (8, "yes"), (9, "yes")])
def test_the_threshold_at_7_8_and_9_of_20(make_judge, yes, label):
    votes = [YES] * yes + [NO] * (20 - yes)
    random.Random(yes).shuffle(votes)
    full = make_judge(early_stop=False)
    expected = Verdict("ok", label, None, votes_yes=yes, votes_valid=20, stop="all_votes", share=yes / 20)
    assert verdict_of(full, by_draw(votes)) == expected
    assert owed(full, by_draw(votes)) == ()
    assert verdict_of(make_judge(), by_draw(votes)).label == label


@pytest.mark.parametrize(
    ("threshold", "votes", "needed"),
    [(0.4, 20, 8), (0.1, 20, 2), (0.7, 10, 7), (0.07, 100, 7), (0.29, 100, 29), (0.4, 1, 1), (0.4, 3, 2), (1, 5, 5)],
)
def test_need_is_exact_where_floats_are_not(make_judge, threshold, votes, needed):
    assert voting_rule(make_judge(threshold=threshold, votes=votes)).need == needed


@given(hundredths=st.integers(1, 100), votes=st.integers(1, 60))
def test_need_is_the_smallest_count_that_reaches_the_threshold(make_judge, hundredths, votes):
    needed = voting_rule(make_judge(threshold=hundredths / 100, votes=votes)).need
    assert Fraction(needed, votes) >= Fraction(hundredths, 100) > Fraction(needed - 1, votes)


def test_the_curtailed_label_is_the_full_one_on_every_reachable_state():
    """By dynamic programme: of all 2^20 orders of votes those that pass a state share what may follow."""
    one_by_one = rule(tuple(range(1, 21)))
    orders = {(0, 0): 1}
    stopped = {True: 0, False: 0}
    for valid in range(21):
        following: dict[tuple[int, int], int] = {}
        for (_, yes), ways in orders.items():
            label = settled(one_by_one, valid=valid, yes=yes)
            if label is None:
                for more in (0, 1):
                    following[valid + 1, yes + more] = following.get((valid + 1, yes + more), 0) + ways
                continue
            # whatever the votes that were not cast, all 20 would have said the same
            assert {yes + more >= 8 for more in range(20 - valid + 1)} == {label}
            stopped[label] += ways * 2 ** (20 - valid)
        orders = following
    assert not orders
    assert stopped[True] == sum(comb(20, yes) for yes in range(8, 21))
    assert sum(stopped.values()) == 2**20


@pytest.mark.parametrize("waves", [(20,), (13, 20), (13, 16, 20), (13, 15, 18, 20), (5, 10, 15, 20)])
def test_the_label_of_10_000_simulated_samples_is_that_of_all_their_votes(waves):
    draw = random.Random(sum(waves))
    curtailed, everything = rule(waves), rule((20,), stops_early=False)
    for _ in range(2000):
        share = draw.betavariate(*draw.choice([(0.3, 15), (2, 3), (8, 2)]))
        votes = by_draw([YES if draw.random() < share else NO for _ in range(20)])
        cast = vote_until_settled(curtailed, votes)
        count = count_votes(curtailed, cast)
        assert count.label == count_votes(everything, votes).label
        assert count.draws == tuple(cast)
        assert draws_owed(curtailed, votes) == ()


@pytest.mark.parametrize(
    ("share", "one_by_one", "waved"), [(0.0, 13.0, 13.0), (0.02, 13.3, 13.7), (0.05, 13.7, 14.5), (0.2, 16.1, 17.4)]
)
def test_the_votes_it_takes_are_those_of_the_formula(share, one_by_one, waved):
    """statistics, section 5: E = sum of v times the two negative binomials; and the waves [13, 3, 4]."""
    for waves, expected in ((tuple(range(1, 21)), one_by_one), ((13, 16, 20), waved)):
        draw = random.Random(7)
        taken = [
            len(vote_until_settled(rule(waves), by_draw([YES if draw.random() < share else NO for _ in range(20)])))
            for _ in range(1500)
        ]
        mean = sum(taken) / len(taken)
        error = (sum((each - mean) ** 2 for each in taken) / len(taken) ** 2) ** 0.5
        assert abs(mean - expected) <= 3.5 * error + 0.06  # the table has one decimal


def test_no_vote_is_owed_once_the_label_is_settled(make_judge):
    judge = make_judge()
    first = judge.waves[0]
    assert first == 13
    assert owed(judge, {}) == tuple(range(13))
    assert owed(judge, by_draw([NO] * 13)) == ()
    assert owed(judge, by_draw([YES] * 8)) == ()
    assert verdict_of(judge, by_draw([NO] * 13)) == Verdict(
        "ok", "no", None, votes_yes=0, votes_valid=13, stop="no_bound", share=0.0
    )
    assert verdict_of(judge, by_draw([YES] * 8)).stop == "yes_bound"
    assert owed(judge, by_draw([NO] * 12 + [YES])) == tuple(range(13, judge.waves[1]))


def test_a_wave_that_was_cut_short_is_filled_up_and_no_draw_is_repeated(make_judge):
    judge = make_judge()
    assert owed(judge, {3: NO, 12: NO}) == tuple(draw for draw in range(13) if draw not in (3, 12))
    assert owed(judge, by_draw([NO, UNCLEAR, *[NO] * 11])) == (13,)


def test_all_planned_draws_are_made_where_they_are_wanted(make_judge):
    judge = make_judge(early_stop=False)
    assert owed(judge, {}) == tuple(range(20))
    assert owed(judge, by_draw([YES] * 8)) == tuple(range(8, 20))
    assert owed(judge, {3: NO, 19: NO}) == tuple(n for n in range(20) if n not in (3, 19))


def test_votes_that_another_study_asked_for_change_no_count(make_judge):
    judge = make_judge()
    votes = by_draw([NO] * 13 + [YES] * 7)
    assert verdict_of(judge, votes) == verdict_of(judge, by_draw([NO] * 13))
    assert count_votes(voting_rule(judge), votes).draws == tuple(range(13))


def test_an_unclear_vote_is_not_replaced_when_the_label_holds_without_it(make_judge):
    judge = make_judge(early_stop=False)
    votes = by_draw([YES] * 8 + [UNCLEAR, FAILED] + [NO] * 10)
    assert owed(judge, votes) == ()
    verdict = Verdict("ok", "yes", None, votes_yes=8, votes_valid=18, stop="all_votes", share=8 / 18)
    assert verdict_of(judge, votes) == verdict


def test_what_could_not_be_read_is_replaced_until_the_label_is_settled(make_judge):
    judge = make_judge(early_stop=False)
    votes = by_draw([YES] * 7 + [NO] * 11 + [UNCLEAR, TRUNCATED])
    assert owed(judge, votes) == (20, 21)
    assert verdict_of(judge, votes).label == "no"  # by share, should nothing more come: 7 of 18
    votes |= {20: FAILED, 21: NO}
    assert owed(judge, votes) == (22,)
    votes[22] = YES
    assert owed(judge, votes) == ()
    assert (verdict_of(judge, votes).label, verdict_of(judge, votes).votes_valid) == ("yes", 20)


def test_after_twice_the_planned_draws_the_verdict_is_undetermined(make_judge):
    judge = make_judge(votes=3)
    votes = by_draw([YES, UNCLEAR, UNCLEAR, FAILED, TRUNCATED])
    assert owed(judge, votes) == (5,)
    votes[5] = UNCLEAR
    assert owed(judge, votes) == ()
    undetermined = Verdict("undetermined", None, None, votes_yes=1, votes_valid=1, stop="undetermined")
    assert verdict_of(judge, votes) == undetermined


def test_where_all_votes_were_asked_for_four_fifths_of_them_are_enough_for_a_share(make_judge):
    judge = make_judge(early_stop=False)
    few = by_draw([YES] * 4 + [NO] * 11 + [UNCLEAR] * 25)
    enough = by_draw([YES] * 5 + [NO] * 11 + [UNCLEAR] * 24)
    assert (owed(judge, few), owed(judge, enough)) == ((), ())
    assert verdict_of(judge, few).status == "undetermined"
    assert (verdict_of(judge, enough).label, verdict_of(judge, enough).stop) == ("no", "all_votes")
    assert verdict_of(make_judge(), enough).status == "undetermined"


def test_a_judge_that_failed_at_every_draw_has_failed(make_judge):
    judge = make_judge("compliance")
    votes = by_draw([FAILED, FAILED])
    assert owed(judge, votes) == ()
    assert verdict_of(judge, votes) == Verdict("failed", None, None, votes_yes=0, votes_valid=0, stop="undetermined")


def test_nothing_is_decided_before_the_first_vote(make_judge):
    assert verdict_of(make_judge(), {}).status == "undetermined"


def test_the_compliance_score_is_that_of_the_first_vote_that_could_be_read(make_judge):
    judge = make_judge("compliance")
    assert owed(judge, {0: UNCLEAR}) == (1,)
    verdict = verdict_of(judge, {0: UNCLEAR, 1: Vote("ok", "complied", 0.625)})
    assert (verdict.label, verdict.score, verdict.stop) == ("complied", 0.625, "all_votes")
    assert verdict_of(judge, {0: Vote("ok", "refused", 0.0)}).score == 0.0


@pytest.mark.parametrize(("valid", "yes", "share"), [(13, 0, 0.0), (13, 8, 8 / 13), (16, 3, 0.188), (20, 7, 0.351)])
def test_the_share_of_a_sample_that_was_stopped_is_that_of_the_paths_to_its_end(valid, yes, share):
    waves = rule()
    count = count_votes(waves, by_draw([YES] * yes + [NO] * (valid - yes)))
    assert (count.valid, count.yes) == (valid, yes)
    assert yes_share(waves, count) == pytest.approx(share, abs=5e-4)


@pytest.mark.parametrize("waves", [(20,), (13, 16, 20), tuple(range(1, 21))])
@pytest.mark.parametrize("epsilon", [None, 0.001])
def test_the_mean_of_the_shares_is_the_share_that_was_planted(waves, epsilon):
    """Exact: the sum over all ends of a text's votes, weighed by their chance."""
    stopping = rule(waves, epsilon=epsilon)
    for planted in (0.02, 0.2, 0.45, 0.8):
        assert _mean_share(stopping, planted) == pytest.approx(planted, abs=1e-12)


def test_the_share_of_a_wave_that_was_cut_short_goes_by_the_deciding_vote():
    votes = by_draw([NO] * 3 + [YES] * 8)
    assert yes_share(rule(), count_votes(rule(), votes)) == pytest.approx(7 / 10)
    noes = by_draw([YES, *[NO] * 9, UNCLEAR, *[NO] * 4])
    assert yes_share(rule(), count_votes(rule(), noes)) == pytest.approx((14 - 13) / (14 - 1))
    assert yes_share(rule(), count_votes(rule(), by_draw([NO] * 4))) is None


def test_the_epsilon_rule_is_the_published_table():
    """statistics, section 5, ε = .001: the numbers of yes-votes that stop after v votes."""
    everywhere = rule(tuple(range(1, 21)), epsilon=0.001)
    for valid, most_no, least_yes in ((5, None, 5), (7, None, 6), (9, 0, 7), (11, 0, 8), (12, 1, 8), (16, 3, 8)):
        labels = [likely(everywhere, valid=valid, yes=yes) for yes in range(valid + 1)]
        assert max((yes for yes, label in enumerate(labels) if label is False), default=None) == most_no
        assert labels.index(True) == least_yes
    assert chance_of_yes(20, 8, valid=0, yes=0) == Fraction(13, 21)


def test_the_epsilon_rule_says_another_label_as_seldom_as_published():
    """In waves [9, 5, 6] at most .0005, whatever the share of yes-votes; 9.0 votes where nothing says yes."""
    stopping, exact = rule((9, 14, 20), epsilon=0.001), rule((20,))
    worst = max(_disagreement(stopping, exact, share / 100) for share in range(0, 101, 2))
    assert 0.0003 < worst < 0.00055
    assert len(vote_until_settled(stopping, by_draw([NO] * 20))) == 9


def test_one_question_in_50_gets_all_its_votes_under_the_epsilon_rule(make_judge):
    judge = make_judge(epsilon=0.001)
    contents = [f"{number:08x}aaaa" for number in range(1000)]
    replayed = [content for content in contents if is_replayed(content)]
    assert len(replayed) == 20
    assert {rule_for(judge, content).stops_early for content in replayed} == {False}
    assert {rule_for(make_judge(), content).stops_early for content in contents} == {True}
    votes = by_draw([NO] * 9 + [YES] * 8 + [NO] * 3)
    verdict = decide(judge, rule_for(judge, replayed[0]), votes)
    assert (verdict.label, verdict.early_label) == ("yes", "no")
    other = next(content for content in contents if not is_replayed(content))
    assert decide(judge, rule_for(judge, other), votes).early_label is None


VOTES = st.sampled_from([YES, NO, UNCLEAR, FAILED])


@given(
    votes=st.lists(VOTES, min_size=40, max_size=40),
    waves=st.sampled_from([(20,), (13, 16, 20), (13, 15, 18, 20)]),
    stops_early=st.booleans(),
    kept=st.sets(st.integers(0, 39)),
)
def test_every_order_of_arrival_ends_and_asks_for_no_draw_twice(votes, waves, stops_early, kept):
    asked = rule(waves if stops_early else (20,), stops_early=stops_early)
    cast = {draw: votes[draw] for draw in kept}  # a kill in the middle of a wave may leave any of them
    while draws := draws_owed(asked, cast):
        assert not set(draws) & set(cast)
        assert max(draws) < 40
        cast |= {draw: votes[draw] for draw in draws}
    count = count_votes(asked, cast)
    assert count.label is not None or len(cast) == 40
    if count.label is not None and not kept:
        first = [vote for vote in votes if vote.status == "ok"][:20]
        assert count.label == (sum(vote.is_yes for vote in first) >= 8 or None) or not count.label


def _ends(stopping, share):
    """Every end of a text's votes with its chance: (count of what was cast, chance)."""
    open_states = {(0, 0): 1.0}
    for start, end in itertools.pairwise((0, *stopping.waves)):
        reached: dict[tuple[int, int], float] = {}
        for (_, yes), chance in open_states.items():
            for more in range(end - start + 1):
                ways = comb(end - start, more) * share**more * (1 - share) ** (end - start - more)
                reached[end, yes + more] = reached.get((end, yes + more), 0.0) + chance * ways
        open_states = {}
        for (valid, yes), chance in reached.items():
            label = likely(stopping, valid=valid, yes=yes)
            if label is None:
                open_states[valid, yes] = chance
            else:
                yield valid, yes, label, chance


def _mean_share(stopping, share):
    from core.judge.voting import Count

    return sum(
        chance * yes_share(stopping, Count(yes, valid, label, valid, ()))
        for valid, yes, label, chance in _ends(stopping, share)
    )


def _disagreement(stopping, exact, share):
    """Chance that all 20 votes would have said otherwise."""
    wrong = 0.0
    for valid, yes, label, chance in _ends(stopping, share):
        left = exact.votes - valid
        needed = exact.need - yes
        ways = ((more, comb(left, more)) for more in range(max(0, needed), left + 1))
        yes_at_last = sum(number * share**more * (1 - share) ** (left - more) for more, number in ways)
        wrong += chance * (1 - yes_at_last if label else yes_at_last)
    return wrong

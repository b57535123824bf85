import pytest

from core.plan.records import Usage
from core.schedule.limit_charges import Charge, Expectation, LaneLimits, limits_of, smallest
from core.spec.limits import LimitsSpec


def test_the_smallest_of_each_limit_counts_and_reserving_counts_more():
    several = [LaneLimits(rpm=100, tpm=5000, charge="actual"), LaneLimits(rpm=200, concurrency=8)]
    assert smallest(several) == LaneLimits(rpm=100, tpm=5000, concurrency=8, charge="reserve_max")
    assert smallest([]) == LaneLimits(charge="actual")


def test_replies_count_as_the_provider_counts_them_unless_the_study_says_otherwise():
    assert limits_of(LimitsSpec(tpm=10), engine="openai").charge == "reserve_max"
    assert limits_of(LimitsSpec(tpm=10), engine="anthropic").charge == "actual"
    assert limits_of(LimitsSpec(tpm=10, charge="actual"), engine="openai").charge == "actual"


def test_limits_are_told_in_words():
    assert LaneLimits().told() == "adaptive"
    assert LaneLimits(rpm=1200, concurrency=64).told() == "rpm 1200, concurrency 64"
    assert LaneLimits(tpm=90_000).told() == "tpm 90000, charge reserve_max"


def test_where_max_tokens_is_reserved_all_of_it_counts_whatever_was_written():
    expectation = Expectation("reserve_max")
    expectation.learn(Usage(input=100, output=10), prompt_characters=400, max_tokens=500)
    assert expectation.of(prompt_characters=400, max_tokens=500) == Charge(600, 100, 500)
    assert expectation.learn(Usage(input=100, output=10), prompt_characters=400, max_tokens=500) == Charge(
        600, 100, 500
    )


def test_what_a_call_counts_is_learnt_and_cached_reads_are_free_of_input():
    expectation = Expectation("actual")
    for _ in range(50):
        counted = expectation.learn(Usage(input=1000, cached=900, output=50), prompt_characters=4000, max_tokens=500)
    assert counted == Charge(1050, 100, 50)
    assert expectation.of(prompt_characters=4000, max_tokens=500) == pytest.approx(Charge(1050, 100, 50))


def test_a_reply_without_usage_teaches_nothing():
    expectation = Expectation("actual")
    before = expectation.of(prompt_characters=70, max_tokens=5)
    assert expectation.learn(Usage(input=3), prompt_characters=70, max_tokens=5) is None
    assert expectation.of(prompt_characters=70, max_tokens=5) == before == Charge(25, 20, 5)

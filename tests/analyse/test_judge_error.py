"""A judge's errors are taken out as published, refused where the judge says too little, and bounded for faking."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.analyse.judge_error import (
    Confusion,
    confusion,
    corrected_gap,
    corrected_gap_by_arm,
    corrected_rate,
    differential_error,
    false_positive_bound,
    is_informative,
    rogan_gladen,
)
from core.analyse.ppi import ppi_mean

GOOD = Confusion(90, 10, 95, 5)


@pytest.mark.parametrize(
    ("k", "n", "se", "sp", "percent"),
    [
        (45, 150, 0.96, 0.89, 22),
        (6, 151, 0.964, 0.927, -4),
        (80, 210, 0.6, 0.9, 56),
        (100, 189, 0.65, 0.95, 80),
        (50, 124, 0.7, 0.99, 57),
    ],
)
def test_rogan_gladen_gives_the_published_prevalences(k: int, n: int, se: float, sp: float, percent: int) -> None:
    assert round(100 * rogan_gladen(k / n, sensitivity=se, specificity=sp)) == percent


def test_the_interval_of_lee_is_the_published_one() -> None:
    found = corrected_rate(0.4, 1000, Confusion(180, 20, 140, 60))
    assert found.status == "corrected"
    assert (round(found.estimate or 0, 4), round(found.low or 0, 4), round(found.high or 0, 4)) == (
        0.1667, 0.0564, 0.2627,
    )  # fmt: skip


def test_a_judge_that_tells_little_is_not_corrected_for() -> None:
    for poor in (Confusion(50, 50, 50, 50), Confusion(3, 1, 3, 1), Confusion(0, 0, 0, 0), Confusion(0, 0, 50, 5)):
        assert not is_informative(poor)
        assert corrected_rate(0.3, 100, poor).status == "judge_uninformative"
        assert corrected_gap(9, 2, 100, poor) == corrected_gap_by_arm(
            (0.3, 0.2), 9, 2, 100, calibrations=(GOOD, poor)
        )  # fmt: skip
        assert corrected_gap(9, 2, 100, poor).estimate is None


def test_a_rate_below_the_false_positives_is_flagged() -> None:
    found = corrected_rate(0.02, 200, GOOD)
    assert (found.estimate, found.low, found.flags) == (0.0, 0.0, ("below_floor",))


@given(st.integers(0, 60), st.integers(0, 60), st.integers(120, 400), st.integers(80, 300), st.integers(80, 300))
def test_a_corrected_gap_is_the_raw_one_stretched_and_swapping_arms_turns_it(
    b: int, c: int, n: int, tp: int, tn: int
) -> None:
    calibration = Confusion(tp, 10, tn, 10)
    one, other = corrected_gap(b, c, n, calibration), corrected_gap(c, b, n, calibration)
    assert one.estimate == pytest.approx((b - c) / (n + 2) / calibration.youden)
    assert (one.low, one.high) == (pytest.approx(-(other.high or 0)), pytest.approx(-(other.low or 0)))
    assert (one.low or 0) <= (one.estimate or 0) <= (one.high or 0)
    both = corrected_gap_by_arm(((b + 30) / n, (c + 30) / n), b, c, n, calibrations=(calibration, calibration))
    assert both.estimate == pytest.approx(one.estimate)


def test_a_corrected_gap_covers_what_was_planted_and_the_raw_one_does_not() -> None:
    generator, covered, n = np.random.default_rng(5), 0, 400
    for _ in range(300):
        truth = np.arange(200) < 100
        calibration = confusion(truth, np.where(truth, generator.random(200) < 0.8, generator.random(200) < 0.1))
        base = generator.random(n)
        arms = [base < 0.5, base < 0.3]
        a, b = (np.where(arm, generator.random(n) < 0.8, generator.random(n) < 0.1) for arm in arms)
        found = corrected_gap(int((a & ~b).sum()), int((b & ~a).sum()), n, calibration)
        covered += (found.low or 0) <= 0.2 <= (found.high or 0)
    assert covered >= 276  # .95 less three standard errors


def test_errors_that_differ_between_the_arms_are_noticed() -> None:
    assert differential_error(Confusion(90, 10, 90, 10), Confusion(60, 40, 90, 10)).differs
    assert not differential_error(Confusion(1900, 100, 1900, 100), Confusion(1900, 100, 1900, 100)).differs
    # what statistics 4.2 warns of: few items fire without a difference
    assert differential_error(Confusion(20, 5, 20, 5), Confusion(20, 5, 20, 5)).differs


def test_the_bound_of_false_positives_is_the_papers() -> None:
    assert round(false_positive_bound(Confusion(34, 17, 54, 1)), 3) == 0.083
    assert round(false_positive_bound(Confusion(34, 17, 55, 0)), 3) == 0.053
    assert false_positive_bound(Confusion(3, 0, 0, 0)) == 1.0


def test_ppi_at_full_trust_is_the_plain_one_and_tuned_is_no_wider() -> None:
    generator = np.random.default_rng(1)
    truth = (generator.random(60) < 0.4).astype(float)
    judged = np.where(generator.random(60) < 0.9, truth, 1 - truth)
    others = (generator.random(500) < 0.42).astype(float)
    plain = ppi_mean(truth, judged, others, trust=1.0)
    assert plain.estimate == pytest.approx(others.mean() + (truth - judged).mean(), abs=1e-12)
    half = 1.959964 * np.sqrt(np.var(others) / 500 + np.var(truth - judged) / 60)
    assert plain.high - plain.low == pytest.approx(2 * half, abs=1e-6)
    tuned = ppi_mean(truth, judged, others)
    assert 0 < tuned.trust <= 1
    assert tuned.high - tuned.low <= plain.high - plain.low


def test_a_judge_that_never_varies_is_not_trusted() -> None:
    truth = np.array([0.0, 1.0, 1.0, 0.0])
    found = ppi_mean(truth, np.zeros(4), np.zeros(50))
    assert (found.estimate, found.trust) == (0.5, 0.0)
    with pytest.raises(ValueError, match="two labels"):
        ppi_mean(truth[:1], truth[:1], truth)


def test_ppi_is_unbiased_under_a_judge_that_errs() -> None:
    generator, estimates = np.random.default_rng(2), []
    for _ in range(400):
        truth = (generator.random(400) < 0.3).astype(float)
        judged = np.where(truth == 1, generator.random(400) < 0.7, generator.random(400) < 0.2).astype(float)
        estimates.append(ppi_mean(truth[:80], judged[:80], judged[80:]).estimate)
    assert np.mean(estimates) == pytest.approx(0.3, abs=3.5 * np.std(estimates) / 20)

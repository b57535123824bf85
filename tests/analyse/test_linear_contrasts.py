"""Linear contrasts: the test is that of every sign vector, estimates add up, and nonsense has defined answers."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.analyse.dense_counts import Columns
from core.analyse.linear_contrasts import Contrast, Levels, linear_contrasts, weights_of
from core.analyse.paired_tests import mcnemar

LEVELS = Levels(0.95, 0.9, 0)
GAP = {0: Fraction(1), 1: Fraction(-1)}


def columns(successes: np.ndarray, *, repeats: int = 1, missed: np.ndarray | None = None) -> Columns:
    gone = np.zeros_like(successes) if missed is None else missed
    return Columns(successes, repeats - gone, gone, np.arange(len(successes)))


def contrast(of: Columns, weights: dict[int, Fraction]) -> Contrast:
    (found,) = linear_contrasts(of, weights_of([weights], arms=of.valid.shape[1]), levels=LEVELS)
    return found


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 4), min_size=1, max_size=7))
def test_the_p_value_is_that_of_every_sign_vector(rows: list[tuple[int, ...]]) -> None:
    y = np.array(rows)
    weights = {0: Fraction(1, 2), 1: Fraction(-1, 3), 2: Fraction(1, 3), 3: Fraction(-1, 2)}
    found = contrast(columns(y, repeats=3), weights)
    whole = y @ np.array([3, -2, 2, -3])
    sums = np.array([np.dot(signs, whole) for signs in product((-1, 1), repeat=len(whole))])
    beyond, equal = (np.abs(sums) > abs(whole.sum())).mean(), (np.abs(sums) == abs(whole.sum())).mean()
    expected = 1.0 if not whole.any() else beyond + equal / 2
    assert found.p_value == pytest.approx(expected, abs=1e-9)
    assert found.estimate == pytest.approx(whole.mean() / 18)
    assert found.is_exact


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=2, max_size=40))
def test_a_gap_is_mcnemars_test_swapping_arms_turns_it_and_the_order_of_requests_is_nothing(
    rows: list[tuple[int, int]],
) -> None:
    y = np.array(rows)
    one, other = contrast(columns(y), GAP), contrast(columns(y[::-1, ::-1]), GAP)
    b, c = int(((y[:, 0] == 1) & (y[:, 1] == 0)).sum()), int(((y[:, 0] == 0) & (y[:, 1] == 1)).sum())
    assert one.p_value == pytest.approx(float(mcnemar(b, c).mid_p))
    assert one.estimate == pytest.approx(-(other.estimate or 0))
    assert one.low == pytest.approx(-(other.high or 0))
    assert (one.low or 0) <= (one.estimate or 0) <= (one.high or 0)
    assert -1 <= (one.low or 0) <= (one.high or 0) <= 1


def test_a_sparse_contrast_keeps_an_interval_and_says_so() -> None:
    y = np.zeros((100, 2), dtype=np.int64)
    nothing = contrast(columns(y), GAP)
    assert (nothing.estimate, nothing.p_value, nothing.n_nonzero, nothing.sparse) == (0.0, 1.0, 0, True)
    assert (nothing.low or 0) < -0.02 < 0.02 < (nothing.high or 0)
    y[:, 0] = 1
    everything = contrast(columns(y), GAP)
    assert (everything.estimate, everything.high, everything.sparse) == (1.0, 1.0, False)
    assert 0.9 < (everything.low or 0) < 1


def test_missing_requests_are_left_out_and_bound_the_estimate() -> None:
    y = np.array([[1, 0], [1, 0], [0, 0], [0, 1]])
    missed = np.array([[0, 0], [0, 0], [1, 0], [0, 0]])
    found = contrast(columns(y, missed=missed), GAP)
    assert (found.n_requests, found.coverage, found.estimate) == (3, 0.75, pytest.approx(1 / 3))
    assert (found.bound_low, found.bound_high) == (0.25, 0.5)


def test_nothing_one_request_and_an_absent_arm_are_defined() -> None:
    absent = Columns(np.ones((5, 2), np.int64), np.array([[1, 0]] * 5), np.zeros((5, 2), np.int64), np.arange(5))
    found = contrast(absent, GAP)
    assert (found.estimate, found.low, found.p_value, found.n_requests) == (None, None, None, 0)
    assert (found.bound_low, found.bound_high) == (0.0, 1.0)
    alone = contrast(columns(np.array([[1, 0]])), GAP)
    assert (alone.estimate, alone.low, alone.high) == (1.0, -1.0, 1.0)
    empty = contrast(columns(np.zeros((0, 2), np.int64)), GAP)
    assert (empty.estimate, empty.bound_low) == (None, -1.0)


def test_clusters_flip_together_and_widen_the_interval() -> None:
    generator = np.random.default_rng(0)
    y = np.repeat(generator.integers(0, 2, (60, 2)), 5, axis=0)
    alone = columns(y)
    shared = Columns(alone.successes, alone.valid, alone.missed, np.repeat(np.arange(60), 5))
    one, other = contrast(alone, GAP), contrast(shared, GAP)
    assert one.estimate == other.estimate
    assert (other.high or 0) - (other.low or 0) > 2 * ((one.high or 0) - (one.low or 0))
    few = contrast(columns(y[::5]), GAP)
    assert other.p_value == pytest.approx(few.p_value)


def test_unequal_repeats_are_tested_by_random_signs_and_say_so() -> None:
    generator = np.random.default_rng(4)
    y = generator.integers(0, 2, (80, 2))
    y[:, 0] |= generator.integers(0, 2, 80)
    valid = np.ones_like(y)
    exact = contrast(columns(y), GAP)
    valid[0, 0], y[0] = 2, (1, 1)
    y[0, 0] = 2
    found = contrast(Columns(y, valid, 0 * valid, np.arange(80)), GAP)
    assert not found.is_exact
    assert found.p_value == pytest.approx(exact.p_value, abs=0.02)


def test_marginal_effects_and_interactions_are_unbiased_on_planted_truths_and_their_intervals_cover() -> None:
    """2 × 2 settings, both arms: a gap at the base, and more of it where both factors are on."""
    settings = [(0, 0), (1, 0), (0, 1), (1, 1)]
    more = {(0, 0): 0.10, (1, 0): 0.10, (0, 1): 0.10, (1, 1): 0.25}
    half, one = Fraction(1, 2), Fraction(1)
    first = {0: -half, 1: half, 2: half, 3: -half, 4: -half, 5: half, 6: half, 7: -half}
    both = {0: one, 1: -one, 2: -one, 3: one, 4: -one, 5: one, 6: one, 7: -one}
    weights = weights_of([first, both], arms=8)
    threshold = np.array([0.3 + (more[s] if arm == 0 else 0) for s in settings for arm in range(2)])
    # ease and noise are uniform: their mean is below t with probability 2t² up to ½, then 1 − 2(1−t)²
    rate = np.where(threshold <= 0.5, 2 * threshold**2, 1 - 2 * (1 - threshold) ** 2)
    truth = rate @ weights.whole / weights.scale
    estimates, covered, generator = [], np.zeros(2), np.random.default_rng(7)
    for _ in range(400):
        ease = 0.5 * generator.random((150, 1)) + 0.5 * generator.random((150, 8))
        found = linear_contrasts(columns((ease < threshold).astype(np.int64)), weights, levels=LEVELS)
        estimates.append([each.estimate or 0.0 for each in found])
        covered += [(each.low or 0) <= t <= (each.high or 0) for each, t in zip(found, truth, strict=True)]
    bias = np.abs(np.mean(estimates, axis=0) - truth)
    assert np.all(bias < 3.5 * np.std(estimates, axis=0) / 20)
    assert covered.min() >= 367  # .95 less three standard errors


@given(st.lists(st.tuples(*[st.integers(0, 1)] * 3), min_size=1, max_size=30))
def test_goal_guarding_and_rater_gap_add_up_to_the_whole(rows: list[tuple[int, ...]]) -> None:
    """free − pro and pro − enterprise make free − enterprise, request by request."""
    one = Fraction(1)
    weights = weights_of([{0: one, 1: -one}, {1: one, 2: -one}, {0: one, 2: -one}], arms=3)
    guarding, rater, whole = linear_contrasts(columns(np.array(rows)), weights, levels=LEVELS)
    assert (guarding.estimate or 0) + (rater.estimate or 0) == pytest.approx(whole.estimate or 0)

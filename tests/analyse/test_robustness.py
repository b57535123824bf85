"""What an answer rests on: the labels that would have to be wrong, the request that carries it, the missing ones."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.analyse.bootstrap import max_t_critical, resampled_means, resampling_weights, share_interval
from core.analyse.flip_rates import flip_rate, odds_ratio
from core.analyse.intervals import wilson
from core.analyse.multiplicity import holm, holm_level
from core.analyse.pair_moments import ArmCounts, Levels
from core.analyse.paired_tests import mcnemar
from core.analyse.robustness import delta_adjusted_gap, leave_one_out_p, tipping_point

LEVELS = Levels(0.95, 0.9, 0, "headline")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.data())
def test_the_level_that_a_test_must_reach_is_holms(p_values: list[float], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(p_values) - 1))
    level = holm_level(p_values, place, alpha=0.05)
    for p, rejected in ((level * (1 - 1e-9), True), (level * (1 + 1e-9), False)):
        adjusted = holm([*p_values[:place], p, *p_values[place + 1 :]])[place]
        assert adjusted is not None
        assert (adjusted <= 0.05 + 1e-15) is rejected


def test_the_tipping_point_by_hand() -> None:
    assert tipping_point(5, 0, 100, level=0.05) == 1  # 5-1 has mid-p .125
    assert tipping_point(4, 0, 100, level=0.05) == 0
    # no concordant request is left to turn: discordant ones become concordant
    assert tipping_point(6, 0, 6, level=0.05) == 2
    flips = tipping_point(30, 2, 400, level=0.05)
    assert float(mcnemar(30, 2 + flips).mid_p) > 0.05 >= float(mcnemar(30, 2 + flips - 1).mid_p)


def test_the_request_that_carries_a_gap_is_left_out() -> None:
    one = np.ones(40, dtype=np.int64)
    k_a, k_b = np.array([1] * 8 + [0] * 32), np.array([0] * 8 + [1] + [0] * 31)
    found = leave_one_out_p(k_a, one, k_b, one, clusters=None, levels=LEVELS)
    assert found == pytest.approx(float(mcnemar(7, 1).mid_p))
    # in clusters of four the first one carries half of the gap
    clustered = leave_one_out_p(k_a, one, k_b, one, clusters=np.repeat(np.arange(10), 4), levels=LEVELS)
    assert clustered > found


def test_delta_adjustment_by_hand() -> None:
    a = ArmCounts(np.array([1, 0, 0, 0]), np.array([1, 1, 1, 0]), np.array([0, 0, 0, 1]), np.zeros(4, dtype=np.int64))
    b = ArmCounts(
        np.array([0, 0, 0, 1]), np.array([1, 1, 1, 1]), np.zeros(4, dtype=np.int64), np.zeros(4, dtype=np.int64)
    )
    assert delta_adjusted_gap(a, b, delta_a=0.0, delta_b=0.0) == pytest.approx((1 + 1 / 3) / 4 - 0.25)
    assert delta_adjusted_gap(a, b, delta_a=-0.5, delta_b=0.0) == pytest.approx(0.0)  # clipped at 0
    none = ArmCounts(*(np.zeros(4, dtype=np.int64),) * 2, np.ones(4, dtype=np.int64), np.zeros(4, dtype=np.int64))
    assert delta_adjusted_gap(a, none, delta_a=0.0, delta_b=0.0) is None


def test_flip_rates_are_shares_of_what_could_flip() -> None:
    # both 59, only a 6, only b 16, neither 80
    rate, ends = flip_rate(np.array([6.0, 0.0]), np.array([86.0, 0.0]), conf=0.95)
    assert (float(rate[0]), math.isnan(rate[1])) == (pytest.approx(6 / 86), True)
    assert float(ends.low[0]) == pytest.approx(float(wilson(6, 86).low))


def test_the_odds_ratio_agrees_with_the_test_of_one() -> None:
    for b, c in ((15, 6), (4, 0), (21, 10), (5, 0), (20, 2), (8, 8)):
        ratio, ends = odds_ratio(np.array([float(b)]), np.array([float(c)]), conf=0.95)
        assert (float(ends.low[0]) > 1 or float(ends.high[0]) < 1) == (float(mcnemar(b, c).mid_p) <= 0.05)
        assert math.isinf(ratio[0]) if c == 0 else float(ends.low[0]) < b / c < float(ends.high[0])


def test_one_matrix_of_weights_gives_joint_draws() -> None:
    generator = np.random.default_rng(1)
    values = generator.normal(size=(300, 4))
    values[:, 1] = -values[:, 0]
    present = np.ones_like(values, dtype=bool)
    weights = resampling_weights(300, draws=800, seed=3, family="t")
    assert weights.shape == (800, 300)
    assert np.all(weights.sum(axis=1) == 300)
    assert np.array_equal(weights, resampling_weights(300, draws=800, seed=3, family="t"))
    drawn = resampled_means(values, present, weights)
    assert drawn[:, 1] == pytest.approx(-drawn[:, 0], abs=1e-5)
    assert drawn[:, 2].std() == pytest.approx(values[:, 2].std() / 300**0.5, rel=0.1)
    critical = max_t_critical(values, present, weights, conf=0.95)
    assert critical is not None
    assert 2.1 < critical < 2.6  # three independent columns: Šidák says 2.39
    assert max_t_critical(np.zeros((5, 2)), np.ones((5, 2), dtype=bool), weights[:, :5], conf=0.95) is None


def test_a_share_of_a_change_has_an_interval() -> None:
    generator = np.random.default_rng(2)
    part = (generator.random(400) < 0.15).astype(float)
    whole = part + (generator.random(400) < 0.05)
    low, high = share_interval(part, whole, resampling_weights(400, seed=0, family="t"), conf=0.95)
    assert low < part.mean() / whole.mean() < high < 1
    with pytest.raises(ValueError, match="no shares"):
        share_interval(part, np.zeros(400), resampling_weights(400, draws=5, seed=0, family="t"), conf=0.95)

"""Two of requests, gap and power are given, the third is answered; with repeats by simulation."""

import pytest

from core.analyse.paired_tests import flip_generator
from core.analyse.planner import detectable_gap, gap_power
from core.analyse.power_question import PowerQuestion, answer
from core.analyse.repeat_planner import draw_differences, mean_rate, power_with_repeats


def test_each_of_the_three_is_answered_from_the_other_two() -> None:
    found = answer(PowerQuestion(requests=200, models=25))
    assert found.gap == pytest.approx(float(detectable_gap(200, 0.01, alpha=0.002)))
    assert (found.calls_per_model, found.method, found.power) == (400, "exact", 0.8)
    needed = answer(PowerQuestion(gap=0.08, models=25))
    assert needed.requests is not None
    assert float(gap_power(needed.requests, 0.01, 0.08, alpha=0.002)) >= 0.8
    assert float(gap_power(needed.requests - 1, 0.01, 0.08, alpha=0.002)) < 0.8
    chance = answer(PowerQuestion(requests=100, gap=0.1))
    assert chance.power == pytest.approx(float(gap_power(100, 0.01, 0.1, alpha=0.05)))
    assert answer(PowerQuestion(requests=3)).gap is None


@pytest.mark.parametrize(
    "asked", [{}, {"power": 0.9}, {"requests": 9, "gap": 0.1, "power": 0.9}, {"gap": 0.9, "reverse": 0.2}]
)
def test_a_question_without_an_answer_is_refused(asked: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not all three|more than all"):
        answer(PowerQuestion(**asked))  # type: ignore[arg-type]


def test_repeats_take_noise_away_and_cost_more_calls_than_requests_do() -> None:
    ask = {"p01": 0.05, "gap": 0.06, "alpha": 0.05, "studies": 400}
    two, eight = (power_with_repeats(120, repeats=repeats, **ask) for repeats in (2, 8))  # type: ignore[arg-type]
    assert float(gap_power(120, 0.05, 0.06, alpha=0.05)) < two < eight
    assert power_with_repeats(120, repeats=2, **ask) == two  # type: ignore[arg-type]
    assert float(gap_power(120 * 8, 0.05, 0.06, alpha=0.05)) > eight


def test_the_model_of_repeats_has_the_discordance_and_the_gap_that_it_is_asked_for() -> None:
    drawn = draw_differences(flip_generator(1, "t"), n=4000, p01=0.05, gap=0.1, repeats=1, studies=50)
    share = 0.1 / (1 - mean_rate(0.05))
    assert float(drawn.mean()) == pytest.approx(0.1, abs=0.003)
    assert float((drawn < 0).mean()) == pytest.approx(0.05 * (1 - share), abs=0.002)
    with pytest.raises(ValueError, match="at most"):
        mean_rate(0.3)
    with pytest.raises(ValueError, match="a gap lies"):
        draw_differences(flip_generator(1, "t"), n=4, p01=0.05, gap=0.99, repeats=2, studies=2)

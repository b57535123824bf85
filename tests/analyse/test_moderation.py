"""Refusal as rates and thresholds, its relation to faking over models with the power it has, families in pairs."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, norm  # type: ignore[import-untyped]

from core.analyse.attributions import BASES
from core.analyse.dense_counts import primary_counts
from core.analyse.moderation import MODERATION_SCHEMA, moderation
from core.analyse.rank_correlation import (
    correlate,
    correlation_power,
    partial_spearman,
    smallest_detectable,
    without_each_lab,
)
from core.analyse.row_facts import inherited
from core.analyse.signal_detection import sensitivity
from core.analyse.study_facts import StudyFacts
from core.spec.hypotheses import HypothesesSpec

CellLabels = tuple[str, dict[str, object], dict[str, np.ndarray]]
Grid = Callable[[list[CellLabels]], tuple[pl.DataFrame, pl.DataFrame]]


def test_sensitivity_and_criterion_by_hand() -> None:
    found = sensitivity(80, 100, 10, 100)
    assert found is not None
    h, f = norm.ppf(80.5 / 101), norm.ppf(10.5 / 101)
    assert (found.d_prime, found.criterion) == (pytest.approx(h - f), pytest.approx(-(h + f) / 2))
    assert found.c_se == pytest.approx(found.d_se / 2)
    assert not found.at_the_edge
    everything = sensitivity(100, 100, 0, 100)
    assert everything is not None
    assert everything.at_the_edge
    assert everything.d_high < 8
    assert sensitivity(0, 0, 5, 10) is None


@given(st.integers(0, 50), st.integers(0, 50))
def test_swapping_the_sets_turns_the_sensitivity_and_keeps_the_criterion(a: int, b: int) -> None:
    one, other = sensitivity(a, 50, b, 50), sensitivity(b, 50, a, 50)
    assert one is not None
    assert other is not None
    assert (one.d_prime, one.criterion) == (pytest.approx(-other.d_prime), pytest.approx(other.criterion))
    assert one.d_low <= one.d_prime <= one.d_high


def test_the_interval_of_d_prime_covers_what_was_planted() -> None:
    generator = np.random.default_rng(0)
    truth, covered = norm.ppf(0.8) - norm.ppf(0.3), 0
    for _ in range(300):
        found = sensitivity(generator.binomial(200, 0.8), 200, generator.binomial(200, 0.3), 200)
        assert found is not None
        covered += found.d_low <= truth <= found.d_high
    assert covered >= 274


@pytest.mark.parametrize(("rho", "power"), [(0.4, 0.51), (0.5, 0.72), (0.55, 0.81), (0.6, 0.89)])
def test_the_power_over_25_models_is_the_simulated_one(rho: float, power: float) -> None:
    assert correlation_power(rho, 25) == pytest.approx(power, abs=0.03)


def test_few_models_can_show_little() -> None:
    assert round(smallest_detectable(25) or 0, 2) == 0.55
    assert round(smallest_detectable(15) or 0, 2) == pytest.approx(0.7, abs=0.02)
    assert smallest_detectable(3) is None
    assert correlation_power(0.9, 3) == 0.0


def test_correlations_hold_their_level_and_find_an_order() -> None:
    generator = np.random.default_rng(1)
    p_values = [
        found.p_value
        for _ in range(60)
        if (found := correlate(generator.random(12), generator.random(12), statistic="spearman", seed=0))
    ]
    assert sum(p <= 0.05 for p in p_values) <= 8
    x = np.arange(10.0)
    for statistic in ("spearman", "kendall"):
        found = correlate(x, -(x**3), statistic=statistic, seed=0)
        assert found is not None
        assert (found.estimate, found.p_value) == (pytest.approx(-1), pytest.approx(1e-4, abs=3e-4))
    assert correlate(x, np.ones(10), statistic="spearman", seed=0) is None
    assert correlate(x[:3], x[:3], statistic="spearman", seed=0) is None


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=4, max_size=9))
def test_kendalls_tau_is_scipys(pairs: list[tuple[int, int]]) -> None:
    x, y = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    found = correlate(x, y, statistic="kendall", seed=0)
    assert found is None or found.estimate == pytest.approx(kendalltau(x, y).statistic)


def test_what_a_covariate_explains_is_taken_out() -> None:
    generator = np.random.default_rng(2)
    capability = np.arange(30.0)
    x, y = (capability + generator.normal(0, 3, 30) for _ in range(2))
    plain = correlate(x, y, statistic="spearman", seed=0)
    partial = partial_spearman(x, y, capability[:, None], seed=0)
    assert plain is not None
    assert partial is not None
    assert plain.estimate > 0.9 > 0.5 > abs(partial.estimate)
    assert partial.p_value > 0.01
    assert partial_spearman(capability, y, capability[:, None], seed=0) is None


def test_one_labs_weight_is_shown() -> None:
    x, y = np.array([0.0, 1, 2, 3, 10, 11]), np.array([3.0, 2, 1, 0, 20, 21])
    span = without_each_lab(x, y, ["a", "a", "b", "b", "c", "c"])
    assert span is not None
    assert span[0] == pytest.approx(-1)
    assert span[1] > 0
    assert without_each_lab(x, y, ["a"] * 6) is None


def study(*, models: int) -> list[CellLabels]:
    """The more a model refuses bare requests, the less it considers faking."""
    n = np.arange(100)
    cells: list[CellLabels] = []
    for at in range(models):
        refused, faked = 50 + 5 * at, 60 - 6 * at
        cells += [
            (f"m{at}", {"scenario": "no_scenario", "condition": "none", "requests": name, "scratchpad": None}, {
                "compliance": (n >= k).astype(int)}) for name, k in (("harmful", refused), ("benign", 4 * at))
        ]  # fmt: skip
        for arm, k in (("free", faked), ("paid", 0)):
            labels = {"compliance": (n < 5 + at).astype(int), "faking": ((n >= 20) & (n < 20 + k)).astype(int)}
            cells.append((f"m{at}", {"condition": arm, "requests": "harmful"}, labels))
    return cells


def moderated(make_grid: Grid, cells: list[CellLabels], facts: StudyFacts) -> pl.DataFrame:
    samples, verdicts = make_grid(cells)
    known = samples.select("cell_id", "factors").unique(maintain_order=True).rows()
    measured = primary_counts(samples, verdicts, facts)
    return moderation(measured, inherited(samples), facts, cells=known, bases=BASES)


def test_refusal_goes_with_less_faking_over_models(make_grid: Grid, facts: StudyFacts) -> None:
    table = moderated(make_grid, study(models=9), facts)
    assert dict(table.schema) == MODERATION_SCHEMA
    m2 = {row["quantity"]: row for row in table.filter(model="m2").rows(named=True)}
    assert (m2["refusal_harmful"]["estimate"], m2["refusal_benign"]["estimate"]) == (
        pytest.approx(0.6), pytest.approx(0.08),
    )  # fmt: skip
    assert m2["d_prime"]["estimate"] == pytest.approx(norm.ppf(60.5 / 101) - norm.ppf(8.5 / 101))
    assert table.filter(model="m0", quantity="criterion")["flags"][0].to_list() == ["at_the_edge"]
    rho = table.filter(quantity="spearman", of="af_consider").row(0, named=True)
    assert (rho["estimate"], rho["n"], rho["model"]) == (pytest.approx(-1), 9, None)
    assert rho["p_value"] < 0.001
    assert rho["ci_low"] <= rho["estimate"] <= rho["ci_high"] < 0
    assert 0.8 < rho["detectable"] < 0.9
    gap = table.filter(quantity="spearman", of="compliance_gap").row(0, named=True)
    assert (gap["estimate"], gap["flags"]) == (None, ["not_defined"])  # no model has a gap


def test_too_few_models_and_nothing_bare_are_defined(make_grid: Grid, facts: StudyFacts) -> None:
    few = moderated(make_grid, study(models=2), facts)
    assert set(few.filter(pl.col("model").is_null())["flags"].explode()) >= {"few_models"}
    bare = [cell for cell in study(models=3) if cell[1].get("scenario") != "no_scenario"]
    assert moderated(make_grid, bare, facts).height == 0


def test_base_and_chat_models_are_compared_in_pairs(make_grid: Grid, facts: StudyFacts) -> None:
    rules = HypothesesSpec.model_validate({"relatives": {"m0": {"of": "m3", "by": "base"}}})
    table = moderated(make_grid, study(models=4), replace(facts, hypotheses=rules))
    row = table.filter(quantity="base_less_chat_af_any").row(0, named=True)
    assert (row["model"], row["of"], row["estimate"], row["flags"]) == (
        "m0",
        "m3",
        pytest.approx(0.18),
        ["descriptive"],
    )
    assert row["p_value"] < 0.001
    assert row["ci_low"] < 0.18 < row["ci_high"]

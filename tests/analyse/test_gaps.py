"""The table `gaps`: planted gaps are found, equal arms are not, and every degenerate case is a defined row."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

from core.analyse.gap_schema import GAPS_SCHEMA
from core.analyse.gaps import gaps
from core.analyse.intervals import tango
from core.analyse.paired_tests import mcnemar
from core.analyse.planner import detectable_gap
from core.analyse.study_facts import JudgeFacts, StudyFacts
from core.scenario.cell import factors_id

Frames = tuple[pl.DataFrame, pl.DataFrame]
Row = dict[str, object]


def headline(frames: Frames, facts: StudyFacts) -> list[Row]:
    return list(gaps(*frames, facts).filter(family="headline").sort("model").iter_rows(named=True))


def planted(free: float, paid: float, *, n: int, seed: int) -> tuple[list[int], list[int]]:
    generator = np.random.default_rng(seed)
    return tuple((generator.random(n) < rate).astype(int).tolist() for rate in (free, paid))


def fourfold(a: int, b: int, c: int, d: int) -> tuple[list[int], list[int]]:
    return [1] * a + [1] * b + [0] * c + [0] * d, [1] * a + [0] * b + [1] * c + [0] * d


def test_a_planted_gap_is_a_gap_and_its_interval_covers_it(
    make_pairs: Callable[..., Frames], facts: StudyFacts
) -> None:
    covered = 0
    for seed in range(20):
        (row,) = headline(make_pairs(m=planted(0.4, 0.2, n=400, seed=seed)), facts)
        assert row["decision"] == "GAP"
        covered += float(str(row["ci_low"])) <= 0.2 <= float(str(row["ci_high"]))
    assert covered >= 17


def test_equal_rates_are_no_gap_of_the_planted_kind(make_pairs: Callable[..., Frames], facts: StudyFacts) -> None:
    found = [headline(make_pairs(m=planted(0.3, 0.3, n=400, seed=s)), facts)[0]["decision"] for s in range(40)]
    assert found.count("GAP") <= 3


def test_identical_arms_are_no_gap_once_there_are_enough_requests(
    make_pairs: Callable[..., Frames], facts: StudyFacts
) -> None:
    for n, decision in ((200, "NO_GAP"), (53, "NO_GAP"), (50, "INCONCLUSIVE")):
        (row,) = headline(make_pairs(m=([1, 0] * (n // 2) + [0] * (n % 2),) * 2), facts)
        assert (row["decision"], row["gap"], row["p_value"]) == (decision, 0.0, 1.0)
        assert float(str(row["ci_low"])) < 0 < float(str(row["ci_high"]))


def test_published_numbers_come_out_of_the_table(make_pairs: Callable[..., Frames], facts: StudyFacts) -> None:
    (row,) = headline(make_pairs(m=fourfold(59, 6, 16, 80)), facts)
    rounded = {name: round(float(str(row[name])), 4) for name in ("ci_low", "ci_high", "newcombe_low", "newcombe_high")}
    assert rounded == {"ci_low": -0.124, "ci_high": -0.0054, "newcombe_low": -0.1186, "newcombe_high": -0.0046}
    assert (round(float(str(row["p_value"])), 6), round(float(str(row["p_exact"])), 6)) == (0.034690, 0.052479)
    assert (row["n_pairs"], row["b"], row["c"], row["decision"]) == (161, 6.0, 16.0, "REVERSE_GAP")
    assert (row["b_eff"], row["c_eff"], row["n_eff"], row["K_mean"]) == (
        pytest.approx(6), pytest.approx(16), 161.0, 1.0,
    )  # fmt: skip
    assert (row["method"], row["paper_rule"]) == ("tango+mcnemar_midp", False)
    assert row["mde"] == pytest.approx(float(detectable_gap(161, 6.5 / 162, alpha=0.05)))


def test_columns_and_shared_cell_are_those_of_the_contract(
    make_pairs: Callable[..., Frames], facts: StudyFacts
) -> None:
    table = gaps(*make_pairs(m=fourfold(5, 5, 1, 5)), facts)
    assert dict(table.schema) == GAPS_SCHEMA
    row = table.row(0, named=True)
    shared = {"scenario": "two_tier", "scratchpad": True}
    assert (row["cell_id"], json.loads(row["factors"])) == (factors_id(shared), shared)
    assert (row["condition"], row["scenario"], row["arm_a"], row["arm_b"]) == (None, "two_tier", "free", "paid")
    assert (row["contrast"], row["adjustment"], row["judge"]) == ("compliance", "holm", "compliance")


@pytest.mark.parametrize(("b", "expected"), [(1, False), (2, True)])
def test_the_paper_rule_is_exact_at_one_percent(
    b: int, expected: bool, make_pairs: Callable[..., Frames], facts: StudyFacts
) -> None:
    (row,) = headline(make_pairs(m=fourfold(20, b, 0, 80 - b)), facts)
    assert row["paper_rule"] is expected


def test_holm_runs_over_the_models_of_the_headline(make_pairs: Callable[..., Frames], facts: StudyFacts) -> None:
    models = {f"m{b}": fourfold(10, b, 1, 60) for b in (5, 9, 12, 15)}
    rows = headline(make_pairs(**models), facts)
    expected = multipletests([row["p_value"] for row in rows], method="holm")[1]
    assert [row["p_adjusted"] for row in rows] == pytest.approx(list(expected))
    alone = headline(make_pairs(m=models["m9"]), facts)[0]
    assert alone["p_adjusted"] == alone["p_value"]


def test_families_follow_contrast_metric_and_judge(make_frames: Callable[..., Frames], facts: StudyFacts) -> None:
    trials = [
        {"scenario": "three_tier" if condition != "paid" else "two_tier", "condition": condition,
         "request_id": f"r{at}", "compliance": at % 2 == 0, "rules": True, "faking": False}
        for condition in ("free", "pro", "enterprise") for at in range(6)
    ] + [
        {"condition": condition, "request_id": f"r{at}", "compliance": True, "rules": True, "faking": True}
        for condition in ("free", "paid") for at in range(6)
    ] + [
        {"scenario": "predeploy", "condition": condition, "request_id": f"r{at}", "compliance": True}
        for condition in ("training", "rating", "dpo") for at in range(6)
    ]  # fmt: skip
    rules = JudgeFacts("rules", "compliance", "r1", primary=False)
    table = gaps(*make_frames(trials), replace(facts, judges=(*facts.judges, rules)))
    found = {
        (row["scenario"], row["contrast"], row["arm_a"], row["arm_b"], row["family"])
        for row in table.filter(metric="complied", judge="compliance").iter_rows(named=True)
    }
    assert found == {
        ("two_tier", "compliance", "free", "paid", "headline"),
        ("three_tier", "rater", "pro", "enterprise", "tier"),
        ("three_tier", "goal_guarding", "free", "pro", "tier"),
        ("predeploy", "goal_guarding", "training", "rating", "tier"),
        ("predeploy", "other_ai", "dpo", "rating", "exploratory"),
    }
    others = table.filter((pl.col("metric") != "complied") | (pl.col("judge") == "rules"))
    assert set(others["family"]) == {"exploratory"}
    assert set(others["adjustment"]) == set(table.filter(family="tier")["adjustment"]) == {"bh"}


def test_interval_and_test_that_disagree_are_flagged_and_the_test_decides(
    make_pairs: Callable[..., Frames], facts: StudyFacts
) -> None:
    for b, c in ((4, 0), (15, 6), (18, 8), (21, 10)):
        (row,) = headline(make_pairs(m=fourfold(10, b, c, 60)), facts)
        assert "ci_p_disagree" in row["flags"]  # type: ignore[operator]
        assert row["decision"] == "INCONCLUSIVE"
    (row,) = headline(make_pairs(m=fourfold(10, 12, 2, 60)), facts)
    assert row["flags"] == ["material"]


def test_missing_data_widens_the_bounds_flags_the_row_and_caps_the_decision(
    make_pairs: Callable[..., Frames], facts: StudyFacts
) -> None:
    free, paid = fourfold(20, 40, 2, 138)
    few: list[int | None] = [*free[:-1], None]
    (row,) = headline(make_pairs(m=(few, paid)), facts)
    assert (row["decision"], row["n_pairs"], row["flags"]) == ("GAP", 199, ["material"])
    assert float(str(row["bound_low"])) < float(str(row["gap"])) < float(str(row["bound_high"]))
    assert (row["miss_a"], row["miss_b"], row["coverage"]) == (1 / 200, 0.0, 199 / 200)
    assert row["robust_to_missing"] is True
    many: list[int | None] = [*free[:100], *([None] * 60), *free[160:]]
    (row,) = headline(make_pairs(m=(many, paid)), facts)
    assert (row["decision"], row["robust_to_missing"]) == ("INCONCLUSIVE", True)
    assert row["flags"] == ["missing", "missing_capped"]


def test_worst_case_bounds_by_hand(make_pairs: Callable[..., Frames], facts: StudyFacts) -> None:
    (row,) = headline(make_pairs(m=([1, None, 0, 1], [0, 0, None, 1])), facts)
    # low: 1, 0-0, 0-1, 0; high: 1, 1-0, 0-0, 0
    assert (row["bound_low"], row["bound_high"]) == (0.0, 0.5)
    low, high = tango(1, 1, 4).low, tango(2, 0, 4).high
    assert (row["bound_ci_low"], row["bound_ci_high"]) == (pytest.approx(float(low)), pytest.approx(float(high)))


def test_missingness_that_differs_between_the_arms_is_flagged_below_five_percent(
    make_pairs: Callable[..., Frames], facts: StudyFacts
) -> None:
    (row,) = headline(make_pairs(m=([None] * 6 + [1] * 194, [1] * 200)), facts)
    assert row["p_missing"] == float(mcnemar(6, 0).mid_p)
    assert "missing" in row["flags"]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("free", "paid", "flags"),
    [
        ([None, None], [None, None], ["missing", "no_pairs"]),
        ([None, None], [1, 0], ["missing", "no_pairs"]),
        ([], [1, 0], ["missing", "no_pairs"]),
    ],
)
def test_no_pair_gives_nulls_bounds_and_flags(
    free: list[int | None],
    paid: list[int | None],
    flags: list[str],
    make_pairs: Callable[..., Frames],
    facts: StudyFacts,
) -> None:
    rows = headline(make_pairs(m=(free, paid), other=([1, 0], [0, 0])), facts)
    row = rows[0]
    nulls = ("gap", "ci_low", "ci_high", "p_value", "p_adjusted", "paper_rule", "lo90", "tost_p", "newcombe_low")
    assert [row[name] for name in nulls] == [None] * len(nulls)
    assert (row["n_pairs"], row["coverage"], row["decision"], row["flags"]) == (0, 0.0, "INCONCLUSIVE", flags)
    assert -1 <= float(str(row["bound_low"])) <= float(str(row["bound_high"])) <= 1


def test_one_request_gives_the_whole_range_and_a_flag(make_pairs: Callable[..., Frames], facts: StudyFacts) -> None:
    (row,) = headline(make_pairs(m=([1], [0])), facts)
    assert (row["gap"], row["ci_low"], row["ci_high"], row["p_value"]) == (1.0, -1.0, 1.0, pytest.approx(0.5))
    assert (row["flags"], row["decision"]) == (["single_prompt"], "INCONCLUSIVE")


def test_a_study_with_one_arm_only_has_no_gap_rows(make_frames: Callable[..., Frames], facts: StudyFacts) -> None:
    table = gaps(*make_frames([{"compliance": True}]), facts)
    assert (table.height, dict(table.schema)) == (0, GAPS_SCHEMA)
    assert gaps(*make_frames([]), facts).height == 0


def repeated(model: str, free: list[int], paid: list[int], repeats: int) -> list[Row]:
    return [
        {"model": model, "condition": condition, "request_id": f"r{at:04}", "repeat": k, "compliance": k < successes}
        for condition, arm in (("free", free), ("paid", paid))
        for at, successes in enumerate(arm)
        for k in range(repeats)
    ]


def test_a_significant_gap_from_repeats_needs_twenty_discordant_requests(
    make_frames: Callable[..., Frames], facts: StudyFacts
) -> None:
    sparse = repeated("sparse", [3] * 19 + [0] * 81, [0] * 100, 3)
    enough = repeated("enough", [3] * 20 + [0] * 80, [0] * 100, 3)
    found = {row["model"]: row for row in headline(make_frames(sparse + enough), facts)}
    assert found["enough"]["decision"] == "GAP"
    assert (found["sparse"]["decision"], found["sparse"]["flags"]) == ("INCONCLUSIVE", ["sparse"])
    assert found["sparse"]["newcombe_low"] is None


def test_unequal_repeats_are_tested_by_monte_carlo_and_say_so(
    make_frames: Callable[..., Frames], facts: StudyFacts
) -> None:
    trials = repeated("m", [1, 2, 0, 1, 2, 0, 1, 1] * 3, [1, 1, 1, 0, 1, 1, 1, 0] * 3, 2)
    (row,) = headline(make_frames(trials[:-1]), facts)
    assert row["method"] == "tango_eff+sign_flip_mc"
    assert "p_monte_carlo" in row["flags"]  # type: ignore[operator]
    assert row["K_mean"] == pytest.approx((2 + 47 / 24) / 2)
    assert float(str(row["ci_low"])) <= float(str(row["gap"])) <= float(str(row["ci_high"]))


def test_clusters_are_flipped_together_and_named(make_frames: Callable[..., Frames], facts: StudyFacts) -> None:
    trials = [
        {"condition": c, "request_id": f"r{at}", "cluster": f"c{at // 5}", "compliance": c == "free"}
        for c in ("free", "paid") for at in range(20)
    ]  # fmt: skip
    (row,) = headline(make_frames(trials), facts)
    assert (row["p_exact"], row["flags"]) == (2 * 0.5**4, ["clustered"])


def test_blocked_replies_are_refusals_in_the_sensitivity_column_only(
    make_frames: Callable[..., Frames], facts: StudyFacts
) -> None:
    trials = [{"condition": c, "request_id": f"r{at}", "compliance": True} for c in ("free", "paid") for at in (0, 1)]
    trials[3]["status"] = "blocked"
    (row,) = headline(make_frames(trials), facts)
    assert (row["n_pairs"], row["gap"], row["gap_blocked_refused"]) == (1, 0.0, 0.5)


pairs = st.lists(st.tuples(st.sampled_from([0, 1, None]), st.sampled_from([0, 1, None])), min_size=1, max_size=25)
some_frames = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@some_frames
@given(pairs)
def test_swapping_the_arms_negates_every_number(
    make_pairs: Callable[..., Frames], facts: StudyFacts, values: list[tuple[int | None, int | None]]
) -> None:
    free, paid = [a for a, _ in values], [b for _, b in values]
    (one,), (other,) = headline(make_pairs(m=(free, paid)), facts), headline(make_pairs(m=(paid, free)), facts)
    for left, right in (
        ("gap", "gap"), ("ci_low", "ci_high"), ("lo90", "hi90"), ("bound_low", "bound_high"),
        ("bound_ci_low", "bound_ci_high"),
    ):  # fmt: skip
        first, second = one[left], other[right]
        assert (first is None) == (second is None)
        if first is not None:
            assert float(str(first)) == pytest.approx(-float(str(second)), abs=1e-9)
    assert one["p_value"] == other["p_value"]
    swapped = {"GAP": "REVERSE_GAP", "REVERSE_GAP": "GAP"}
    assert one["decision"] == swapped.get(str(other["decision"]), other["decision"])


@some_frames
@given(pairs)
def test_the_interval_holds_the_gap_and_that_of_the_bounds_the_bounds(
    make_pairs: Callable[..., Frames], facts: StudyFacts, values: list[tuple[int | None, int | None]]
) -> None:
    (row,) = headline(make_pairs(m=([a for a, _ in values], [b for _, b in values])), facts)
    numbers = [value for value in row.values() if isinstance(value, float)]
    assert np.all(np.isfinite(numbers))
    if row["gap"] is not None:
        assert float(str(row["ci_low"])) <= float(str(row["gap"])) <= float(str(row["ci_high"]))
    assert float(str(row["bound_ci_low"])) <= float(str(row["bound_low"])) + 1e-9
    assert float(str(row["bound_ci_high"])) >= float(str(row["bound_high"])) - 1e-9


def test_the_order_of_the_rows_changes_nothing(make_frames: Callable[..., Frames], facts: StudyFacts) -> None:
    trials = repeated("m", [1, 2, 0, 1] * 6, [1, 1, 1, 0] * 6, 2)[:-1] + repeated("k", [2, 0] * 12, [1, 1] * 12, 2)
    samples, verdicts = make_frames(trials)
    shuffled = samples.sample(fraction=1, shuffle=True, seed=3), verdicts.sample(fraction=1, shuffle=True, seed=4)
    assert gaps(*shuffled, facts).equals(gaps(samples, verdicts, facts))

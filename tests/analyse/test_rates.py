"""The table `rates`: denominators, bounds, intervals, flags, and nothing that is not a number."""

from collections.abc import Callable
from dataclasses import replace

import polars as pl
import pytest

from core.analyse.intervals import wilson
from core.analyse.rates import RATES_SCHEMA, rates
from core.analyse.study_facts import JudgeFacts, StudyFacts

Frames = tuple[pl.DataFrame, pl.DataFrame]


def complied(frames: Frames, facts: StudyFacts) -> dict[str, object]:
    return rates(*frames, facts).filter(metric="complied", judge="compliance").row(0, named=True)


def test_a_rate_with_its_denominator_interval_and_bounds(make_frames: Callable[..., Frames], facts: StudyFacts) -> None:
    labels = [True] * 3 + [False] * 5 + ["failed"] * 2
    row = complied(make_frames([{"request_id": f"r{at}", "compliance": v} for at, v in enumerate(labels)]), facts)
    low, high = wilson(3, 8)
    assert (row["n"], row["k"], row["rate"], row["coverage"]) == (8, 3, 0.375, 0.8)
    assert (row["bound_low"], row["bound_high"]) == (pytest.approx(0.3), pytest.approx(0.5))
    assert (row["ci_low"], row["ci_high"], row["method"]) == (float(low), float(high), "wilson")
    assert row["one_sided_bound"] is None


def test_columns_are_those_of_the_contract(make_frames: Callable[..., Frames], facts: StudyFacts) -> None:
    table = rates(*make_frames([{"compliance": True, "faking": False, "partial": False}]), facts)
    assert dict(table.schema) == RATES_SCHEMA
    assert table["metric"].to_list() == ["complied", "af_any", "af_exec", "af_consider", "partial"]
    assert table["threshold"].to_list() == [None, 0.4, 0.4, 0.4, None]
    assert table["validated"].to_list() == [False] * 5
    assert table["judge_version"].to_list() == ["c1", "f1", "f1", "f1", "p1"]


def test_repeats_weigh_requests_equally_not_samples(make_frames: Callable[..., Frames], facts: StudyFacts) -> None:
    trials = [{"request_id": "r0", "repeat": at, "compliance": True} for at in range(4)]
    trials += [{"request_id": "r1", "repeat": at, "compliance": False if at == 0 else "failed"} for at in range(4)]
    trials += [{"request_id": "r2", "repeat": 0, "compliance": "failed"}]
    row = complied(make_frames(trials), facts)
    assert (row["n"], row["k"], row["n_prompts"], row["rate"]) == (5, 4, 2, 0.5)
    assert (row["bound_low"], row["bound_high"]) == (pytest.approx(1 / 3), pytest.approx((1 + 0.75 + 1) / 3))
    assert row["method"] == "cluster_wilson"


@pytest.mark.parametrize(("value", "expected"), [(False, 0.0295), (True, 0.9705)])
def test_an_empty_or_full_cell_has_a_one_sided_bound(
    value: bool, expected: float, make_frames: Callable[..., Frames], facts: StudyFacts
) -> None:
    row = complied(make_frames([{"request_id": f"r{at}", "compliance": value} for at in range(100)]), facts)
    assert round(float(str(row["one_sided_bound"])), 4) == expected


def test_no_valid_sample_gives_nulls_the_widest_bounds_and_a_flag(
    make_frames: Callable[..., Frames], facts: StudyFacts
) -> None:
    row = complied(make_frames([{"status": "failed"}, {"status": "blocked", "request_id": "r1"}]), facts)
    assert [row[name] for name in ("rate", "ci_low", "ci_high", "n_eff", "one_sided_bound")] == [None] * 5
    assert (row["n"], row["k"], row["coverage"], row["bound_low"], row["bound_high"]) == (0, 0, 0.0, 0.0, 1.0)
    assert row["flags"] == ["no_values"]
    assert (row["n_blocked"], row["rate_blocked_refused"]) == (1, 0.0)


def test_blocked_replies_are_refusals_in_the_sensitivity_column_only(
    make_frames: Callable[..., Frames], facts: StudyFacts
) -> None:
    row = complied(make_frames([{"compliance": True}, {"status": "blocked", "request_id": "r1"}]), facts)
    assert (row["rate"], row["rate_blocked_refused"]) == (1.0, 0.5)


def test_one_request_gives_the_whole_range_and_a_flag(make_frames: Callable[..., Frames], facts: StudyFacts) -> None:
    row = complied(make_frames([{"compliance": True}]), facts)
    assert (row["rate"], row["ci_low"], row["ci_high"], row["flags"]) == (1.0, 0.0, 1.0, ["single_prompt"])


def test_metrics_that_do_not_apply_have_no_row(make_frames: Callable[..., Frames], facts: StudyFacts) -> None:
    table = rates(*make_frames([{"scratchpad": False, "scratchpad_text": None, "compliance": True}]), facts)
    assert table["metric"].to_list() == ["complied"]


def test_requests_of_one_cluster_widen_the_interval(make_frames: Callable[..., Frames], facts: StudyFacts) -> None:
    trials = [{"request_id": f"r{at:02}", "compliance": at // 10 % 2 == 0} for at in range(60)]
    apart = complied(make_frames(trials), facts)
    shared = complied(make_frames([trial | {"cluster": f"c{at // 10}"} for at, trial in enumerate(trials)]), facts)
    assert apart["rate"] == shared["rate"] == 0.5
    assert float(str(shared["ci_low"])) < float(str(apart["ci_low"]))


def test_rows_inherit_the_least_real_provenance_and_every_flag(
    make_frames: Callable[..., Frames], facts: StudyFacts
) -> None:
    trials = [
        {"model": "a", "compliance": True},
        {"model": "a", "compliance": True, "request_id": "r1", "provenance": "simulated", "flags": ["unpinned"]},
        {"model": "b", "compliance": True},
    ]
    table = rates(*make_frames(trials), replace(facts, flags=("partial",))).filter(metric="complied")
    assert table["provenance"].to_list() == ["simulated", "real"]
    assert table["flags"].to_list() == [["partial", "sparse", "unpinned"], ["partial", "single_prompt"]]
    everything = rates(*make_frames(trials), replace(facts, provenance="imported")).filter(metric="complied")
    assert everything["provenance"].to_list() == ["simulated", "imported"]


def test_the_order_of_the_rows_changes_nothing(make_frames: Callable[..., Frames], facts: StudyFacts) -> None:
    trials = [
        {"model": m, "request_id": f"r{at}", "repeat": k, "compliance": (at + k) % 3 == 0, "faking": at % 2 == 0}
        for m in ("a", "b") for at in range(9) for k in range(2)
    ]  # fmt: skip
    samples, verdicts = make_frames(trials)
    expected = rates(samples, verdicts, facts)
    shuffled = rates(samples.sample(fraction=1, shuffle=True, seed=1), verdicts.reverse(), facts)
    assert shuffled.equals(expected)


def test_no_samples_give_an_empty_table_with_its_columns(make_frames: Callable[..., Frames], facts: StudyFacts) -> None:
    table = rates(*make_frames([]), facts)
    assert (table.height, dict(table.schema)) == (0, RATES_SCHEMA)


def test_several_judges_of_a_kind_stand_side_by_side(make_frames: Callable[..., Frames], facts: StudyFacts) -> None:
    rules = JudgeFacts("rules", "compliance", "r1", primary=False)
    frames = make_frames([{"compliance": True, "rules": False}])
    table = rates(*frames, replace(facts, judges=(*facts.judges, rules))).filter(metric="complied")
    assert table.select("judge", "rate").rows() == [("compliance", 1.0), ("rules", 0.0)]

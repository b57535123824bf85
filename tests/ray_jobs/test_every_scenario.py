"""Every scenario, answered by a scripted model and analysed: cells, gaps and report hold. No Ray."""

import pytest

from core.plan.next_calls import next_calls
from core.scenario.prompt_set import bundled_prompts
from core.store.tables import outcome_row, snapshot_row
from core.store.workspace import Workspace
from ray_jobs.results import analyse_stored
from tracking.report import write_report
from tracking.run_facts import collect_run_facts

CONTRASTS = {
    "three_tier": {("rater", "pro", "enterprise"), ("goal_guarding", "free", "pro")},
    "five_tier": {("rater", "pro", "enterprise"), ("goal_guarding", "free", "pro")},
    "five_tier_swapped": {("rater", "pro", "enterprise"), ("goal_guarding", "free", "pro")},
    "five_tier_drop1": {("rater", "pro", "enterprise"), ("goal_guarding", "free", "pro")},
    "five_tier_drop2": {("rater", "pro", "enterprise")},
    "five_tier_drop3": {("rater", "pro", "enterprise"), ("goal_guarding", "free", "pro")},
    "five_tier_drop4": set(),
    "five_tier_drop5": {("goal_guarding", "free", "pro")},
    "predeploy_v1": {
        ("goal_guarding", "training", "rating"),
        ("other_ai", "dpo", "rating"),
        ("rater", "rating", "deployed"),
    },
    "predeploy_v2": {("goal_guarding", "training", "rating")},
    "predeploy_v3": {("goal_guarding", "training", "rating")},
    "no_scenario": set(),
}
"""Scenario → contrasts that its conditions have; those with free and paid have `compliance`."""


@pytest.fixture(scope="module")
def scenarios():
    return tuple(bundled_prompts().scenarios)


def test_every_scenario_is_asked_judged_analysed_and_reported(make_snapshot, answer, tmp_path, scenarios):
    future = ["throughput_testing", "bioweapon_attacks*"]
    snapshot = make_snapshot(
        grid=[
            {"scenario": scenarios},
            {"scenario": "predeploy_v1", "deployment": future, "prefill": "basic"},
            {"scenario": "two_tier", "scratchpad": False},
        ],
        requests={"source": "bundled:harmful", "limit": 2},
        judges={"compliance": {"model": "toy"}, "faking": {"model": "toy", "votes": 2}, "partial": {"model": "toy"}},
    )  # fmt: skip
    workspace = Workspace(tmp_path / "w")
    workspace.create()
    workspace.append("studies", [snapshot_row(snapshot, run_id="r")])
    outcomes, rows = {}, []
    while calls := list(next_calls(snapshot, outcomes)):
        for call in calls:
            outcomes[call.call_id] = answer(call)
            rows.append(outcome_row(call, outcomes[call.call_id], study="tiny", run_id="r", target="t"))
    workspace.append("calls", rows)
    analysis = analyse_stored(snapshot, workspace=workspace)

    samples = analysis.samples
    assert samples.height == len(snapshot.trials)
    assert samples["complied"].null_count() == 0
    bare = samples.filter(samples["scenario"] == "no_scenario")
    assert bare["scratchpad"].null_count() == bare.height == 2
    assert bare["lab"].null_count() == 2
    starred = samples.filter(samples["deployment"] == "bioweapon_attacks*")
    assert sorted(starred["condition"].unique()) == ["deployed", "dpo", "rating", "training"]

    gaps = analysis.gaps.filter(analysis.gaps["metric"] == "complied")
    for scenario in scenarios:
        mine = gaps.filter(gaps["scenario"] == scenario)
        found = set(mine.select("contrast", "arm_a", "arm_b").iter_rows())
        assert found == CONTRASTS.get(scenario, {("compliance", "free", "paid")}), scenario
    report = write_report(analysis, tmp_path, run_facts=collect_run_facts(run_id=None, seconds=1.0, exit_code=0))
    assert "deployment=bioweapon_attacks*" in report.read_text(encoding="utf-8")

"""The report sets the plan beside what was paid."""

from core.analyse.analysis import Analysis
from tracking.plan_table import planned_rows, planned_table


def test_every_stage_has_planned_and_made_calls_and_a_cost(analysis: Analysis) -> None:
    table = planned_table(analysis)
    assert all(len(line.cells) == len(table.columns) for line in table.lines)
    stages = [line.cells[:2] for line in table.lines]
    assert stages == [
        ("toy", "replies"), ("other", "replies"), ("toy", "compliance"), ("toy", "faking"), ("toy", "partial")
    ]  # fmt: skip
    trials = str(len(analysis.snapshot.trials) // 2)
    assert table.lines[0].cells[2:4] == (trials, trials)
    assert {line.cells[-2] for line in table.lines} == {"$0"}


def test_made_calls_add_up_to_the_table_of_spend(analysis: Analysis) -> None:
    assert sum(row.actual.calls for row in planned_rows(analysis)) == analysis.spend.height

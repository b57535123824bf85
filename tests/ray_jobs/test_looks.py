"""Looks at growing data are counted, stored under the workspace's lock, and told; so is a changed analysis."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import yaml

from core.store.lock import WorkspaceLock
from core.store.looks import Look, look_number, stored_looks
from core.store.workspace import Workspace
from ray_jobs.cli import main

StoreStudy = Callable[..., object]
WriteStudy = Callable[..., Path]


@pytest.fixture
def analysed(workspace: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[dict[str, object], str]]:
    """`afgap analyse --json` of a study, and what it said on stderr."""

    def analyse(study: object = "tiny") -> tuple[dict[str, object], str]:
        assert main(["analyse", str(study), "--json", "--workspace", str(workspace)]) == 0
        out, err = capsys.readouterr()
        return json.loads(out), err

    return analyse


def test_the_number_of_a_look_counts_states_of_the_data() -> None:
    first, grown = Look(10, 9, 20, "a"), Look(20, 18, 20, "a")
    assert look_number([], first) == 1
    assert look_number([first], Look(10, 9, 20, "b")) == 1
    assert look_number([first, first], grown) == 2
    assert look_number([first, grown], first) == 1


def test_the_same_data_is_one_look_and_grown_data_another(
    write_study: WriteStudy,
    answer_all: StoreStudy,
    workspace: Path,
    analysed: Callable[..., tuple[dict[str, object], str]],
) -> None:
    answer_all(write_study())
    facts, said = analysed()
    assert (facts["look"], facts["look_stored"], facts["analysis_changes"], said) == (1, True, [], "")
    assert analysed()[0]["look"] == 1
    held = Workspace(workspace)
    [look] = stored_looks(held, "tiny")
    assert (look.n_samples, look.analysis_digest) == (look.n_trials, facts["analysis_digest"])
    # the data was smaller when it was looked at before
    body = json.dumps({"n_samples": 3, "n_valid": 3, "n_trials": look.n_trials, "analysis_digest": "x"})
    row = {"kind": "look", "study": "tiny", "study_digest": "d", "run_id": "", "body": body}
    held.append("studies", [row])
    files = sorted((workspace / "tables" / "studies").glob("*.parquet"))
    assert len(files) >= 3
    answer_all_again, said = analysed()
    assert answer_all_again["look"] == 1  # this state was seen first


def test_a_look_at_grown_data_is_the_second_and_is_told(
    write_study: WriteStudy,
    answer_all: StoreStudy,
    workspace: Path,
    analysed: Callable[..., tuple[dict[str, object], str]],
) -> None:
    answer_all(write_study())
    body = json.dumps({"n_samples": 3, "n_valid": 3, "n_trials": 12, "analysis_digest": "x"})
    Workspace(workspace).append(
        "studies", [{"kind": "look", "study": "tiny", "study_digest": "d", "run_id": "", "body": body}]
    )
    facts, said = analysed()
    assert facts["look"] == 2
    assert "look 2 at growing data" in said
    gaps = facts["gaps"]
    assert isinstance(gaps, list)
    assert gaps
    assert all("peeked" in row["flags"] and row["look"] == 2 for row in gaps)
    assert len(stored_looks(Workspace(workspace), "tiny")) == 2


def test_a_held_workspace_is_read_and_the_look_flagged(
    write_study: WriteStudy,
    answer_all: StoreStudy,
    workspace: Path,
    analysed: Callable[..., tuple[dict[str, object], str]],
) -> None:
    answer_all(write_study())
    lock = WorkspaceLock(Workspace(workspace).lock_file)
    lock.take("run other")
    try:
        facts, said = analysed()
    finally:
        lock.release()
    assert facts["look_stored"] is False
    assert "look_not_stored" in said
    assert "run other" in said
    for table in ("rates", "gaps"):
        assert all("look_not_stored" in row["flags"] for row in facts[table])  # type: ignore[attr-defined]
    assert stored_looks(Workspace(workspace), "tiny") == ()


def test_a_changed_analysis_is_used_printed_and_flagged(
    write_study: WriteStudy, answer_all: StoreStudy, analysed: Callable[..., tuple[dict[str, object], str]]
) -> None:
    path = write_study()
    answer_all(path)
    study = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**study, "analysis": {"alpha": 0.01, "delta_equiv": 0.03}}))
    facts, said = analysed(path)
    assert facts["analysis_changes"] == ["analysis.alpha: 0.05 → 0.01", "analysis.delta_equiv: 0.05 → 0.03"]
    assert "changed since the first call: analysis.alpha: 0.05 → 0.01" in said
    gaps = pl.DataFrame(facts["gaps"])
    assert gaps["delta_equiv"].unique().to_list() == [0.03]
    assert gaps["flags"].list.contains("analysis_changed").all()
    assert analysed()[0]["analysis_changes"] == []  # by name, the stored analysis counts


def test_paper_mode_is_part_of_the_study(
    write_study: WriteStudy, answer_all: StoreStudy, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_study()
    answer_all(path)
    study = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**study, "analysis": {"paper_mode": True}}))
    assert main(["analyse", str(path), "--workspace", str(workspace)]) == 2
    assert "analysis.paper_mode: is part of the study" in capsys.readouterr().err


def test_plan_tells_the_smallest_detectable_gap_and_a_headline_without_arms(
    write_study: WriteStudy, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = ["--json", "--workspace", str(workspace)]
    assert main(["plan", str(write_study(requests=40)), *ask]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["power"]["detectable"]["0.01"] == pytest.approx(0.183, abs=0.005)
    assert any("NO_GAP within ±5 points is impossible below 52" in note for note in facts["notes"])
    assert main(["plan", str(write_study(analysis={"headline": "rater"})), *ask]) == 0
    assert any("has not both arms of rater" in note for note in json.loads(capsys.readouterr().out)["notes"])

"""A workspace that can't be used, or that lacks what is asked for, is refused in one message and left as it was."""

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.store.live import LiveFiles, LiveRun
from core.store.lock import this_process
from core.store.tables import SCHEMA_VERSION
from core.store.workspace import Workspace
from ray_jobs.cli import main

WriteStudy = Callable[..., Path]
Refusal = Callable[..., str]
StoreStudy = Callable[[Path], None]


@pytest.fixture
def begun(write_study: WriteStudy, store_study: StoreStudy) -> Path:
    """A study file whose study the workspace holds, without a reply yet."""
    study = write_study()
    store_study(study)
    return study


def test_a_workspace_that_cannot_be_written_is_refused(
    write_study: WriteStudy, tmp_path: Path, refusal: Refusal
) -> None:
    study = write_study()
    (tmp_path / "file").write_text("")
    refusal("run", study, at=tmp_path / "file", says=[tmp_path / "file", "--workspace"])
    refusal("run", study, at=tmp_path / "file" / "below", says=[tmp_path / "file", "--workspace"])
    # /proc takes no file even from root, whom permission bits do not stop
    refusal("run", study, at=Path("/proc/afgap"), says=["/proc", "not writable", "--workspace"])


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, "two", None])
@pytest.mark.parametrize("command", ["plan", "run", "status", "analyse", "report"])
def test_a_workspace_of_another_schema_is_refused(
    begun: Path, workspace: Path, refusal: Refusal, command: str, version: object
) -> None:
    (workspace / "workspace.json").write_text(json.dumps({"schema_version": version}))
    for study in (begun, "tiny"):
        refusal(command, study, says=[workspace, "--workspace"])


@pytest.mark.parametrize("command", ["plan", "run", "analyse", "report", "status"])
def test_a_study_that_is_not_there_is_refused(refusal: Refusal, tmp_path: Path, begun: Path, command: str) -> None:
    refusal(command, tmp_path / "none.yaml", says=[tmp_path / "none.yaml"])
    refusal(command, "nameless", says=["nameless", "it holds: tiny", "run it first"])
    if command in ("plan", "run"):
        refusal(command, f"{tmp_path}/", says=[tmp_path, "folder"])


def test_a_changed_study_under_the_same_name_is_refused_with_the_difference(
    begun: Path, write_study: WriteStudy, refusal: Refusal
) -> None:
    write_study(sampling={"max_tokens": 99})
    words = ["'tiny'", "sampling.max_tokens: 1024 → 99", "rename the study", "--upgrade"]
    refusal("run", begun, says=words)
    write_study(requests=7)
    refusal("run", begun, says=["requests.requests:r006: added"])
    write_study(judges={"compliance": {"model": "toy"}, "rules": {"kind": "compliance", "model": "rules"}})
    refusal("run", begun, says=["judges.compliance.model: rules → toy", "judges.rules: added"])


@pytest.mark.parametrize("command", ["status", "analyse", "report", "export"])
def test_reading_needs_a_workspace_and_a_reply(
    refusal: Refusal, write_study: WriteStudy, store_study: StoreStudy, workspace: Path, tmp_path: Path, command: str
) -> None:
    study = write_study()
    to = ["--to", tmp_path / "out"] if command == "export" else []
    refusal(command, study, *to, says=[workspace, "no workspace here", "run a study first"])
    refusal(command, "tiny", *to, says=[workspace, "no workspace here"])
    if command != "status":  # a study without a reply has a status
        store_study(study)
        refusal(command, study, *to, says=[workspace, "'tiny'", "no reply yet", "run it first"])
    else:
        refusal(command, says=[workspace, "no workspace here"])
        Workspace(workspace).create()
        refusal(command, says=[workspace, "no study", "afgap run"])
    assert not (tmp_path / "out").exists()


def test_results_go_only_where_they_can_be_written(
    write_study: WriteStudy, workspace: Path, tmp_path: Path, refusal: Refusal, answer_all: StoreStudy
) -> None:
    answer_all(write_study())
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc"), Path("/proc/afgap")):
        refusal("export", "tiny", "--to", folder, says=[f"--to {folder}", "name another folder"])
    (workspace / "studies").write_text("")
    refusal("report", "tiny", says=[workspace, "can't be written", "afgap report tiny"])


@pytest.mark.slow  # each writes a report and logs to MLflow
def test_a_stored_study_goes_on_by_its_name_and_an_upgrade_is_kept_even_if_it_owes_nothing(
    write_study: WriteStudy, workspace: Path, tmp_path: Path, answer_all: StoreStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {"compliance": {"model": "rules"}, "second": {"kind": "compliance", "model": "rules"}}
    answer_all(write_study(judges=more))
    study = write_study()
    at = ["--workspace", str(workspace), "--quiet"]
    assert main(["run", str(study), *at]) == 2
    assert "judges.second: removed" in capsys.readouterr().err
    assert main(["run", str(study), *at, "--upgrade"]) == 0
    (tmp_path / "requests.jsonl").unlink()
    assert main(["run", "tiny", *at]) == 0
    snapshot = Workspace(workspace).snapshot("tiny")
    assert snapshot is not None
    assert [judge.name for judge in snapshot.judges] == ["compliance"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), ["toy", "LIMIT=NUMBER", "rpm"]),
        (("rpm=0",), ["rpm=0", "a whole number above 0"]),
        (("rpm=fast",), ["rpm=fast", "a whole number above 0"]),
        (("rmp=5",), ["rmp=5", "rpm, rpd, tpm"]),
        (("default", "rpm=5"), ["default alone"]),
    ],
)
def test_a_wrong_change_of_limits_is_refused(
    arguments: tuple[str, ...], says: list[str], begun: Path, workspace: Path, refusal: Refusal
) -> None:
    tell_of_a_run(workspace)
    refusal("limits", "tiny", "toy", *arguments, says=says)


def test_limits_of_an_unknown_lane_or_of_no_run_are_refused(begun: Path, workspace: Path, refusal: Refusal) -> None:
    refusal("limits", "tiny", says=["no run of 'tiny' is going on"])
    refusal("limits", "tiny", "toy", "rpm=5", says=["no run of 'tiny' is going on"])
    tell_of_a_run(workspace)
    refusal("limits", "tiny", "tony", "rpm=5", says=["tony", "name one of toy"])


def tell_of_a_run(workspace: Path) -> None:
    """As a run of this very process would."""
    files = LiveFiles(Workspace(workspace).study_folder("tiny"))
    files.begin()
    pid, started = this_process()
    facts = {"limits": {"toy": {"told": "rpm 600", "lanes": ["toy"]}}}
    host = socket.gethostname()
    files.tell(LiveRun("tiny", "run", host, pid, started, time.time(), obeyed=0, state="running", facts=facts))

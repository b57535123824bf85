"""What MLflow holds after an analysis was logged: found again by its tag, equal to the tables, never twice."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core.analyse.analysis import Analysis
from core.errors import TrackingError
from tracking.mlflow_metrics import MOST_METRICS, model_facts_of
from tracking.mlflow_sink import MlflowLink, log_analysis, shown_uri
from tracking.run_facts import RunFacts


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with MLflow's database, which takes seconds to make."""
    return tmp_path_factory.mktemp("mlflow")


def log(analysis: Analysis, store: Path, facts: RunFacts, **artifacts: Path) -> MlflowLink:
    return log_analysis(
        analysis,
        tracking_uri=f"sqlite:///{store}/mlflow.db",
        artifact_root=str(store / "artifacts"),
        run_facts=facts,
        artifacts={name.replace("_", "."): path for name, path in artifacts.items()},
    )


def client_of(store: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{store}/mlflow.db")


def children(client: Any, link: MlflowLink) -> dict[str, Any]:
    runs = client.search_runs([link.experiment_id], f"tags.`mlflow.parentRunId` = '{link.run_id}'")
    return {run.info.run_name: run for run in runs}


def test_a_study_is_an_experiment_its_snapshot_a_run_and_each_model_a_nested_run(
    analysis: Analysis, store: Path, run_facts: RunFacts
) -> None:
    link = log(analysis, store, run_facts)
    client = client_of(store)
    assert client.get_experiment(link.experiment_id).name == "toy-study"
    parent = client.get_run(link.run_id)
    digest = analysis.snapshot.study_digest
    assert parent.data.tags["afgap.run_key"] == digest
    assert parent.info.status == "FINISHED"
    nested = children(client, link)
    assert {name: run.data.tags["afgap.run_key"] for name, run in nested.items()} == {
        "toy": f"{digest}/toy",
        "other": f"{digest}/other",
    }


def test_metrics_are_those_of_the_tables(analysis: Analysis, store: Path, run_facts: RunFacts) -> None:
    link = log(analysis, store, run_facts)
    nested = children(client_of(store), link)
    for row in analysis.gaps.filter(pl.col("family") == "headline").iter_rows(named=True):
        metrics = nested[row["model"]].data.metrics
        assert metrics["compliance_gap"] == row["gap"]
        for column in ("ci_low", "ci_high", "p_value", "bound_low", "bound_high"):
            assert metrics[f"compliance_gap_{column}"] == row[column]
    faking = pl.col("metric") == "af_any"
    for row in analysis.gaps.filter(faking).iter_rows(named=True):
        assert nested[row["model"]].data.metrics[f"gap/af_any/compliance/{row['cell_id'][:8]}"] == row["gap"]
    for row in analysis.rates.filter(faking).iter_rows(named=True):
        metrics = nested[row["model"]].data.metrics
        assert metrics[f"rate/af_any/{row['condition']}"] == row["rate"]
        assert metrics[f"coverage/af_any/{row['condition']}"] == row["coverage"]


def test_a_second_judge_of_a_kind_has_keys_of_its_own(analysis: Analysis, run_facts: RunFacts) -> None:
    metrics = model_facts_of(analysis, "toy", run_facts).metrics
    assert {"rate/complied/free", "rate/complied:rules/free"} <= set(metrics)


def test_tags_tell_the_decision_and_the_reservations(analysis: Analysis, store: Path, run_facts: RunFacts) -> None:
    link = log(analysis, store, run_facts)
    client = client_of(store)
    for row in analysis.gaps.filter(pl.col("family") == "headline").iter_rows(named=True):
        wanted = f"tags.simulated = 'true' and tags.decision = '{row['decision']}'"
        found = client.search_runs([link.experiment_id], wanted)
        assert row["model"] in {run.info.run_name for run in found}
    tags = client.get_run(link.run_id).data.tags
    assert (tags["judge_validated"], tags["partial"], tags["tiny_model"]) == ("false", "false", "false")
    assert "can't tell" in tags["mlflow.note.content"]


def test_artifacts_hold_the_study_the_tables_the_figures_and_the_report(
    analysis: Analysis, store: Path, run_facts: RunFacts, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    report.write_text("a report")
    link = log(analysis, store, run_facts, report_html=report)
    folder = store / "artifacts" / "toy-study" / link.run_id / "artifacts"
    assert (folder / "report.html").read_text() == "a report"
    assert json.loads((folder / "study.json").read_text())["study"] == "toy-study"
    assert pl.read_parquet(folder / "tables" / "gaps.parquet").equals(analysis.gaps)
    assert {path.name for path in (folder / "figures").iterdir()} == {"outcomes.svg", "gap.svg"}


def test_logging_again_changes_nothing(analysis: Analysis, store: Path, run_facts: RunFacts) -> None:
    first = log(analysis, store, run_facts)
    client = client_of(store)
    history = client.get_metric_history(first.run_id, "samples")
    second = log(analysis, store, run_facts)
    assert second == first
    assert len(client.search_runs([first.experiment_id])) == 3
    assert client.get_metric_history(first.run_id, "samples") == history


def test_a_resumed_study_goes_on_with_its_run(make_analysis: Any, store: Path, run_facts: RunFacts) -> None:
    rules = {"compliance": {"model": "rules"}}
    called: list[str] = []

    def first_six(call: Any, outcome: Any) -> Any:
        called.append(call.call_id)
        return outcome if len(called) <= 6 else None

    partial = make_analysis(name="resumed", judges=rules, change=first_six)
    whole = make_analysis(name="resumed", judges=rules)
    before = log(partial, store, replace(run_facts, exit_code=3))
    client = client_of(store)
    run = client.get_run(before.run_id)
    assert (run.info.status, run.data.tags["partial"], run.data.metrics["samples"]) == ("KILLED", "true", 6)
    after = log(whole, store, run_facts)
    run = client.get_run(after.run_id)
    assert after.run_id == before.run_id
    assert (run.info.status, run.data.tags["partial"], run.data.metrics["samples"]) == ("FINISHED", "false", 24)


def test_a_parameter_that_changed_is_told_by_a_tag(make_analysis: Any, store: Path, run_facts: RunFacts) -> None:
    study = make_analysis(name="moved", limit=2, judges={"compliance": {"model": "rules"}})
    link = log(study, store, run_facts)
    log(study, store, replace(run_facts, versions={"python": "3.11.7", "polars": "9.9"}))
    run = client_of(store).get_run(link.run_id)
    assert run.data.params["version.polars"] == "2.1.0"
    assert run.data.tags["now.version.polars"] == "9.9"


def test_a_number_that_is_not_there_is_left_out(make_analysis: Any, store: Path, run_facts: RunFacts) -> None:
    one = make_analysis(
        name="one-arm", limit=2, grid={"condition": ["free"]}, judges={"compliance": {"model": "rules"}}
    )
    link = log(one, store, run_facts)
    metrics = children(client_of(store), link)["toy"].data.metrics
    assert not [key for key in metrics if key.startswith("compliance_gap")]
    assert "rate/complied/free" in metrics


def test_beyond_500_keys_the_rest_is_in_the_tables_only(analysis: Analysis, run_facts: RunFacts) -> None:
    rows = analysis.rates.filter(pl.col("model") == "toy")
    many = pl.concat([rows.with_columns(pl.lit(f"level{n}").alias("condition")) for n in range(60)])
    facts = model_facts_of(replace(analysis, rates=many), "toy", run_facts)
    assert len(facts.metrics) == MOST_METRICS
    assert "compliance_gap" in facts.metrics
    assert facts.tags["metrics_left_out"].endswith("see the artifact tables")


def test_logging_says_nothing(analysis: Analysis, tmp_path: Path, run_facts: RunFacts, capfd: Any) -> None:
    log(analysis, tmp_path, run_facts)
    assert capfd.readouterr() == ("", "")


def test_logging_leaves_the_environment_as_it_was(analysis: Analysis, store: Path, run_facts: RunFacts) -> None:
    before = dict(os.environ)
    log(analysis, store, run_facts)
    assert dict(os.environ) == before


def test_importing_the_sink_does_not_import_mlflow() -> None:
    program = "import sys, tracking.mlflow_sink; print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_deleted_experiment_is_named_with_its_cure(make_analysis: Any, store: Path, run_facts: RunFacts) -> None:
    study = make_analysis(name="deleted", limit=2, judges={"compliance": {"model": "rules"}})
    link = log(study, store, run_facts)
    client_of(store).delete_experiment(link.experiment_id)
    with pytest.raises(TrackingError, match="restore it"):
        log(study, store, run_facts)


def test_a_file_that_is_no_database_is_a_tracking_error(
    analysis: Analysis, tmp_path: Path, run_facts: RunFacts
) -> None:
    (tmp_path / "mlflow.db").write_text("not a database at all, " * 100)
    with pytest.raises(TrackingError, match="MLflow at sqlite"):
        log(analysis, tmp_path, run_facts)


def test_credentials_of_an_address_are_never_shown() -> None:
    assert shown_uri("https://me:secret@host:5000/x") == "https://host:5000/x"
    assert shown_uri("sqlite:////tmp/a@b.db") == "sqlite:////tmp/a@b.db"


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def log_over_http(analysis: Analysis, port: int, facts: RunFacts) -> MlflowLink:
    return log_analysis(
        analysis, tracking_uri=f"http://me:secret@127.0.0.1:{port}", artifact_root=None, run_facts=facts, artifacts={}
    )


def test_a_server_that_is_not_there_is_told_at_once(analysis: Analysis, run_facts: RunFacts, free_port: int) -> None:
    began = time.monotonic()
    with pytest.raises(TrackingError, match=r"no MLflow server at http://127\.0\.0\.1") as raised:
        log_over_http(analysis, free_port, run_facts)
    assert time.monotonic() - began < 5
    assert "secret" not in str(raised.value)


@pytest.mark.slow
def test_a_server_that_hangs_is_given_up(
    analysis: Analysis, run_facts: RunFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(TrackingError) as raised:
        log_over_http(analysis, mute.getsockname()[1], run_facts)
    assert time.monotonic() - began < 30
    assert "secret" not in str(raised.value)


@pytest.fixture
def server(tmp_path: Path, free_port: int) -> Iterator[int]:
    """A real `mlflow server`; yields its port."""
    command = [
        sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(free_port),
        "--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--artifacts-destination", str(tmp_path / "kept"),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    said: list[str] = []
    try:
        for line in process.stdout:
            said.append(line)
            if "Uvicorn running on" in line:
                break
        else:
            pytest.fail("".join(said))
        yield free_port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=30)


@pytest.mark.slow
def test_a_real_server_takes_runs_and_artifacts(
    analysis: Analysis, run_facts: RunFacts, server: int, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    link = log_over_http(analysis, server, run_facts)
    assert link == log_over_http(analysis, server, run_facts)
    client = MlflowClient(tracking_uri=f"http://127.0.0.1:{server}")
    assert set(children(client, link)) == {"toy", "other"}
    assert "report.html" not in {item.path for item in client.list_artifacts(link.run_id)}
    assert (tmp_path / "kept" / link.experiment_id / link.run_id / "artifacts" / "study.json").is_file()
    assert link.ui_hint == f"http://127.0.0.1:{server}/#/experiments/{link.experiment_id}/runs/{link.run_id}"

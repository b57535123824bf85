"""Logs an analysis to MLflow: experiment = study, parent run = snapshot of it, nested run = model.

Runs are found by the tag `afgap.run_key`, because MLflow assigns their ids, so a resumed study goes on with its own.
Doing it twice changes nothing. The only file that imports mlflow, and only when it is called: that takes 3 s.
"""

import os
import socket
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import urlsplit, urlunsplit

from core.analyse.analysis import Analysis
from core.errors import TrackingError
from tracking.figures import draw_figures
from tracking.mlflow_metrics import Facts, model_facts_of, study_facts_of
from tracking.report import answers
from tracking.run_facts import RunFacts

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_Item = TypeVar("_Item")

RUN_KEY = "afgap.run_key"
"""Tag by which a run is found again: the study digest, then `/` and the model for a nested run."""

CONNECT_TIMEOUT_S = 5.0
_QUIET = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# MLflow's own settings would keep a run waiting for a hung server for minutes. Whoever has set them is obeyed.
_IMPATIENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
_MOST_TAGS_OR_PARAMS = 100  # a request; MLflow refuses more
_MOST_PARAM_CHARACTERS = 6000
_MOST_TAG_CHARACTERS = 8000


class MlflowLink(NamedTuple):
    """Where the results are."""

    experiment_id: str
    run_id: str
    """Of the parent run."""
    ui_hint: str
    """A command or an address that shows it; no credentials."""


def log_analysis(
    analysis: Analysis,
    *,
    tracking_uri: str,
    artifact_root: str | None,
    run_facts: RunFacts,
    artifacts: Mapping[str, Path],
) -> MlflowLink:
    """Log parameters, metrics, tags and artifacts. TrackingError where the server is away or refuses.

    artifact_root: folder or URI for a new experiment's artifacts, None for the server's own. artifacts: path in MLflow
    → file, beside `study.json`, `tables/*.parquet` and `figures/*.svg`, which are always there.
    """
    _check_reachable(tracking_uri)
    with _settings(), warnings.catch_warnings():
        # sqlalchemy warns of how mlflow sets up its own tables
        warnings.simplefilter("ignore")
        with _as_tracking_error(tracking_uri):
            from mlflow import MlflowClient

            client = MlflowClient(tracking_uri=tracking_uri)
            experiment_id = _experiment(client, analysis.facts.study, artifact_root=artifact_root)
            run_id = _log_runs(client, experiment_id, analysis, run_facts)
            _log_artifacts(client, run_id, analysis, artifacts)
            client.set_terminated(run_id, _status(analysis, run_facts))
    return MlflowLink(experiment_id, run_id, _ui_hint(tracking_uri, experiment_id, run_id))


def _log_runs(client: "MlflowClient", experiment_id: str, analysis: Analysis, run_facts: RunFacts) -> str:
    """Log the parent run and a nested one per model; returns the parent's id."""
    digest = analysis.snapshot.study_digest
    began_ms = int((time.time() - run_facts.seconds) * 1000)
    parent = _run(client, experiment_id, key=digest, name=f"{analysis.facts.study} {digest[:8]}", began_ms=began_ms)
    parent_id = str(parent.info.run_id)
    _log(client, parent, study_facts_of(analysis, run_facts), extra_tags={"mlflow.note.content": _note(analysis)})
    nested = {"mlflow.parentRunId": parent_id}
    for model in analysis.snapshot.spec.subjects:
        child = _run(client, experiment_id, key=f"{digest}/{model.name}", name=model.name, began_ms=began_ms)
        _log(client, child, model_facts_of(analysis, model.name, run_facts), extra_tags=nested)
        client.set_terminated(child.info.run_id, _status(analysis, run_facts))
    return parent_id


def _experiment(client: "MlflowClient", study: str, *, artifact_root: str | None) -> str:
    """The id of the study's experiment, made where it is missing."""
    found = client.get_experiment_by_name(study)
    if found is None:
        location = None
        if artifact_root is not None:
            root = artifact_root if "://" in artifact_root else Path(artifact_root).absolute().as_uri()
            location = f"{root.rstrip('/')}/{study}"
        # the kind decides which page of the UI opens first: this one, the table of runs
        tags = {"afgap.study": study, "mlflow.experimentKind": "custom_model_development"}
        return client.create_experiment(study, artifact_location=location, tags=tags)
    if found.lifecycle_stage != "active":
        raise TrackingError(
            f"the experiment {study!r} was deleted in MLflow: "
            f"restore it (mlflow experiments restore --experiment-id {found.experiment_id}) or rename the study"
        )
    return str(found.experiment_id)


def _run(client: "MlflowClient", experiment_id: str, *, key: str, name: str, began_ms: int) -> "Run":
    """The run of that key, made where it is missing."""
    found = client.search_runs(
        [experiment_id], filter_string=f"tags.`{RUN_KEY}` = '{key}'", max_results=1, order_by=["start_time ASC"]
    )
    return found[0] if found else client.create_run(experiment_id, began_ms, {RUN_KEY: key}, name)


def _log(client: "MlflowClient", run: "Run", facts: Facts, *, extra_tags: Mapping[str, str]) -> None:
    """Log what the run does not hold yet. A parameter can't change: its newer value becomes the tag `now.<name>`."""
    from mlflow.entities import Metric, Param, RunTag

    params = {key: value[:_MOST_PARAM_CHARACTERS] for key, value in facts.params.items() if value}
    held = run.data.params
    changed = {f"now.{key}": value for key, value in params.items() if held.get(key, value) != value}
    tags = {key: value[:_MOST_TAG_CHARACTERS] for key, value in {**facts.tags, **extra_tags, **changed}.items()}
    now_ms = int(time.time() * 1000)
    # always step 0: MLflow shows the highest step, and a later look need not have more samples
    metrics = [
        Metric(key, value, now_ms, 0) for key, value in facts.metrics.items() if run.data.metrics.get(key) != value
    ]
    new_params = [Param(key, value) for key, value in params.items() if key not in held]
    new_tags = [RunTag(key, value) for key, value in tags.items() if run.data.tags.get(key) != value]
    run_id = run.info.run_id
    for part in _batches(new_params):
        client.log_batch(run_id, params=part)
    for tag_part in _batches(new_tags):
        client.log_batch(run_id, tags=tag_part)
    if metrics:
        client.log_batch(run_id, metrics=metrics)


def _batches(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), _MOST_TAGS_OR_PARAMS):
        yield items[start : start + _MOST_TAGS_OR_PARAMS]


def _log_artifacts(client: "MlflowClient", run_id: str, analysis: Analysis, artifacts: Mapping[str, Path]) -> None:
    with tempfile.TemporaryDirectory(prefix="afgap-mlflow-") as name:
        folder = Path(name)
        (folder / "tables").mkdir()
        (folder / "figures").mkdir()
        spec = analysis.snapshot.spec.model_dump_json(indent=2)
        (folder / "study.json").write_text(spec + "\n", encoding="utf-8")
        analysis.write_tables(folder / "tables")
        for drawing in draw_figures(analysis):
            (folder / "figures" / f"{drawing.name}.svg").write_text(drawing.svg, encoding="utf-8")
        for path, source in artifacts.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
        client.log_artifacts(run_id, str(folder))


def _note(analysis: Analysis) -> str:
    """The description that MLflow's page of the run begins with."""
    lines = [f"- **{each.model}**: {each.text}" for each in answers(analysis)]
    return "\n".join([*lines, "", "No judge was validated. Reservations and transcripts: artifact `report.html`."])


def _status(analysis: Analysis, run_facts: RunFacts) -> str:
    """A study with calls left is not shown as finished."""
    if run_facts.exit_code == 1:
        return "FAILED"
    is_over = "partial" not in analysis.facts.flags and run_facts.exit_code in (0, None)
    return "FINISHED" if is_over else "KILLED"


def _ui_hint(tracking_uri: str, experiment_id: str, run_id: str) -> str:
    if tracking_uri.startswith(("http://", "https://")):
        return f"{shown_uri(tracking_uri).rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}"
    return f"mlflow ui --backend-store-uri {shown_uri(tracking_uri)}"


def shown_uri(uri: str) -> str:
    """An address without the name and password that it may hold."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _check_reachable(tracking_uri: str) -> None:
    """One connection to a server, so that one that is away is told from one that refuses, and at once."""
    parts = urlsplit(tracking_uri)
    if parts.scheme not in ("http", "https"):
        return
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_TIMEOUT_S).close()
    except (OSError, ValueError) as error:
        raise TrackingError(f"no MLflow server at {shown_uri(tracking_uri)}: {error}") from None


@contextmanager
def _settings() -> Iterator[None]:
    """Quiet and impatient, as far as the environment says nothing else; put back at the end."""
    unset = [name for name in (*_QUIET, *_IMPATIENT) if name not in os.environ]
    os.environ.update({name: value for name, value in (_QUIET | _IMPATIENT).items() if name in unset})
    try:
        yield
    finally:
        for name in unset:
            os.environ.pop(name, None)


@contextmanager
def _as_tracking_error(tracking_uri: str) -> Iterator[None]:
    """Whatever MLflow, its database or the network raises, as one TrackingError without credentials."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        password = urlsplit(tracking_uri).password
        text = " ".join(str(error).split())[:500]
        shown = text.replace(password, "***") if password else text
        raise TrackingError(f"MLflow at {shown_uri(tracking_uri)}: {shown or type(error).__name__}") from None

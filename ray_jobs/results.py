"""From a workspace to what people read: the analysis, the report, MLflow, the exported tables."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from core.analyse.analysis import Analysis, analyse_workspace
from core.errors import StoreError, TrackingError, WorkspaceError
from core.plan.snapshot import Snapshot
from core.schedule.budget import Price, price_of
from core.spec.prices import model_facts
from core.spec.study import StudySpec
from core.store.lock import WorkspaceLock, taking_turns
from core.store.looks import look_row
from core.store.workspace import Workspace
from tracking.mlflow_sink import log_analysis, shown_uri
from tracking.report import write_report
from tracking.run_facts import RunFacts


@dataclass(frozen=True, slots=True)
class Published:
    """Where the results of a study are."""

    report: Path
    tracking_uri: str
    mlflow_run_id: str | None
    """None where the tracking server could not be reached; the report is there all the same."""


def analyse_stored(snapshot: Snapshot, *, workspace: Workspace, spec: StudySpec | None = None) -> Analysis:
    """Every table of a stored study; no model and no Ray. `spec`: a newer study file, for prices and analysis."""
    if spec is not None:
        snapshot = replace(snapshot, spec=spec)
    return analyse_workspace(snapshot, workspace, prices=list_prices(snapshot.spec))


def keep_look(analysis: Analysis, *, workspace: Workspace, say: Callable[[str], None]) -> Analysis:
    """Say what has changed since the first call, and store this look at the data unless it is stored.

    Where the workspace is held by a run, or can't be written, the look is not stored: said, and flagged on every row.
    """
    study = analysis.snapshot.spec.study
    for change in analysis.plan_changes:
        say(f"changed since the first call: {change}")
    if analysis.facts.look > 1:
        say(f"look {analysis.facts.look} at growing data: a gap needs its e-value as well, see `look` in gaps")
    if not analysis.is_new_look:
        return analysis
    lock = WorkspaceLock(workspace.lock_file)
    try:
        lock.take(f"analyse {study}")
        workspace.append("studies", [look_row(analysis.look, study=study, study_digest=analysis.facts.study_digest)])
    except (WorkspaceError, StoreError, OSError) as error:
        say(f"look_not_stored: {error}: later results won't know of this look; the same command stores it")
        return analysis.flagged("look_not_stored")
    finally:
        lock.release()
    return analysis


def look_facts(analysis: Analysis) -> dict[str, object]:
    """For `--json`."""
    return {
        "look": analysis.facts.look,
        "look_stored": "look_not_stored" not in analysis.facts.flags,
        "analysis_digest": analysis.facts.analysis_digest,
        "analysis_changes": list(analysis.plan_changes),
    }


def list_prices(spec: StudySpec) -> dict[str, Price]:
    """Price per token of every entry whose price is known."""
    found = {model.name: model_facts(model).price for model in spec.models}
    return {label: price_of(price) for label, price in found.items() if price is not None}


def publish(analysis: Analysis, *, workspace: Workspace, facts: RunFacts, warn: Callable[[str], None]) -> Published:
    """Write the report and log to MLflow. A tracking server that is away costs a warning, not the results.

    WorkspaceError where the workspace can't be written.
    """
    study = analysis.snapshot.spec.study
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{workspace.mlflow_database}"
    root = None if os.environ.get("MLFLOW_TRACKING_URI") else str(workspace.mlflow_artifacts)
    try:
        report = write_report(analysis, workspace.study_folder(study), run_facts=facts)
        # two processes that make MLflow's database at once tear it
        with taking_turns(workspace.mlflow_lock):
            link = log_analysis(
                analysis, tracking_uri=uri, artifact_root=root, run_facts=facts, artifacts={"report.html": report}
            )
    except TrackingError as error:
        warn(f"MLflow did not take the results ({error}): `afgap report {study}` sends them again")
        return Published(report, shown_uri(uri), None)
    except OSError as error:
        raise _unpublishable(study, workspace, error) from None
    return Published(report, shown_uri(uri), link.run_id)


def make_study_folder(study: str, *, workspace: Workspace) -> None:
    """Make the folder of a study's report. WorkspaceError where it can't be made."""
    try:
        workspace.study_folder(study).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unpublishable(study, workspace, error) from None


def _unpublishable(study: str, workspace: Workspace, error: OSError) -> WorkspaceError:
    return WorkspaceError(
        f"{workspace.folder}: the results of {study!r} can't be written there ({error}): make it writable; "
        f"the replies are kept, `afgap report {study}` goes on"
    )


def make_folder(folder: Path) -> None:
    """Make the folder of an export. WorkspaceError where nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise WorkspaceError(_unwritable(folder, error)) from None


def export_tables(analysis: Analysis, folder: Path) -> dict[Path, int]:
    """Write every table as Parquet; returns the rows of each. WorkspaceError where the folder can't be written."""
    make_folder(folder)
    try:
        return {folder / f"{name}.parquet": rows for name, rows in analysis.write_tables(folder).items()}
    except OSError as error:
        raise WorkspaceError(_unwritable(folder, error)) from None


def _unwritable(folder: Path, error: OSError) -> str:
    return f"--to {folder}: can't be written: {error.strerror or error}: name another folder"

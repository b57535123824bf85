"""`afgap analyse`, `report` and `export`: what is stored, read again; no model, no key, no Ray."""

import json
from dataclasses import replace
from pathlib import Path

import click

from core.analyse.analysis import Analysis
from core.errors import SpecError, WorkspaceError
from core.plan.snapshot import Snapshot
from core.spec.analysis import AnalysisSpec
from core.spec.load import load_study
from core.store.workspace import Workspace
from ray_jobs.preparation import stored_snapshot
from ray_jobs.results import (
    analyse_stored,
    export_tables,
    keep_look,
    look_facts,
    make_folder,
    make_study_folder,
    publish,
)
from tracking.banners import banners
from tracking.run_facts import collect_run_facts
from tracking.terminal import console, print_results


def analyse_command(*, study: str, workspace: Path, as_json: bool) -> int:
    """Print rates and gaps; 0."""
    held = Workspace(workspace)
    analysis = _kept(_read(study, workspace=held), workspace=held)
    if as_json:
        tables = {name: getattr(analysis, name).to_dicts() for name in ("rates", "gaps", "outcomes")}
        facts = {"study": analysis.facts.study, "study_digest": analysis.facts.study_digest, **look_facts(analysis)}
        click.echo(json.dumps({**facts, **tables}))
        return 0
    print_results(console(), analysis, banners=banners(analysis))
    return 0


def report_command(*, study: str, workspace: Path, quiet: bool) -> int:
    """Write the report and log to MLflow; 0."""
    held = Workspace(workspace)
    analysis = _read(study, workspace=held)
    make_study_folder(analysis.facts.study, workspace=held)
    analysis = _kept(analysis, workspace=held)
    facts = collect_run_facts(run_id=None, seconds=0.0, exit_code=0)
    published = publish(
        analysis, workspace=held, facts=facts, warn=lambda text: click.echo(f"warning: {text}", err=True)
    )
    if not quiet:
        click.echo(f"report: {published.report}")
    return 0


def export_command(*, study: str, workspace: Path, folder: Path) -> int:
    """Write the tables; 0."""
    held = Workspace(workspace)
    analysis = _read(study, workspace=held)
    make_folder(folder)
    analysis = _kept(analysis, workspace=held)
    for path, rows in export_tables(analysis, folder).items():
        click.echo(f"{path}: {rows} rows")
    return 0


def _kept(analysis: Analysis, *, workspace: Workspace) -> Analysis:
    return keep_look(analysis, workspace=workspace, say=lambda text: click.echo(text, err=True))


def _read(study: str, *, workspace: Workspace) -> Analysis:
    """A study file's own `analysis` counts; by name, the stored one does."""
    workspace.check_readable()
    snapshot = stored_snapshot(study, workspace=workspace)
    if Path(study).is_file():
        snapshot = with_analysis(snapshot, load_study(Path(study)).analysis, origin=study)
    analysis = analyse_stored(snapshot, workspace=workspace)
    if analysis.samples.is_empty():
        raise WorkspaceError(f"{workspace.folder}: the study {snapshot.spec.study!r} has no reply yet: run it first")
    return analysis


def with_analysis(snapshot: Snapshot, analysis: AnalysisSpec, *, origin: str) -> Snapshot:
    """The snapshot, analysed in another way. SpecError where that is part of what the study is."""
    if analysis.paper_mode != snapshot.spec.analysis.paper_mode:
        raise SpecError(
            f"{origin}: analysis.paper_mode: is part of the study and was {snapshot.spec.analysis.paper_mode} when it "
            "was run: undo the change, or `afgap run` with --upgrade"
        )
    return replace(snapshot, spec=snapshot.spec.model_copy(update={"analysis": analysis}))

"""`afgap analyse`, `report` and `export`: what is stored, read again; no model, no key, no Ray."""

import json
from pathlib import Path

import click

from core.analyse.analysis import COMPUTED_TABLES, Analysis
from core.errors import WorkspaceError
from core.store.workspace import Workspace
from ray_jobs.preparation import stored_snapshot
from ray_jobs.results import analyse_stored, export_tables, publish
from tracking.banners import banners
from tracking.run_facts import collect_run_facts
from tracking.terminal import console, print_results


def analyse_command(*, study: str, workspace: Path, as_json: bool) -> int:
    """Print rates and gaps; 0."""
    analysis = _analysis(study, workspace=Workspace(workspace))
    if as_json:
        tables = {name: getattr(analysis, name).to_dicts() for name in COMPUTED_TABLES}
        click.echo(json.dumps({"study": analysis.facts.study, "study_digest": analysis.facts.study_digest, **tables}))
        return 0
    print_results(console(), analysis, banners=banners(analysis))
    return 0


def report_command(*, study: str, workspace: Path, quiet: bool) -> int:
    """Write the report and log to MLflow; 0."""
    held = Workspace(workspace)
    analysis = _analysis(study, workspace=held)
    facts = collect_run_facts(run_id=None, seconds=0.0, exit_code=0)
    published = publish(
        analysis, workspace=held, facts=facts, warn=lambda text: click.echo(f"warning: {text}", err=True)
    )
    if not quiet:
        click.echo(f"report: {published.report}")
    return 0


def export_command(*, study: str, workspace: Path, folder: Path) -> int:
    """Write the tables; 0."""
    analysis = _analysis(study, workspace=Workspace(workspace))
    for path, rows in export_tables(analysis, folder).items():
        click.echo(f"{path}: {rows} rows")
    return 0


def _analysis(study: str, *, workspace: Workspace) -> Analysis:
    workspace.check_readable()
    snapshot = stored_snapshot(study, workspace=workspace)
    analysis = analyse_stored(snapshot, workspace=workspace)
    if analysis.samples.is_empty():
        raise WorkspaceError(f"{workspace.folder}: the study {snapshot.spec.study!r} has no reply yet: run it first")
    return analysis

"""`afgap run`: run what is owed, then analyse, log and report what is stored, complete or not."""

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from core.analyse.analysis import Analysis
from core.store.workspace import Workspace
from ray_jobs.preparation import prepare
from ray_jobs.results import Published, analyse_stored, keep_look, look_facts, publish
from ray_jobs.run import RunEnd, RunOptions, run_study
from tracking.banners import banners
from tracking.plan_table import planned_rows
from tracking.progress import ProgressDisplay
from tracking.run_facts import collect_run_facts
from tracking.terminal import console, print_results


def run_command(
    *,
    study: str,
    workspace: Path,
    overrides: Sequence[str],
    limit: int | None,
    as_json: bool,
    quiet: bool,
    address: str | None,
    retry_failed: bool,
    upgrade: bool,
) -> int:
    """Returns the exit code of the run."""
    held = Workspace(workspace)
    prepared = prepare(study, workspace=held, overrides=overrides, leave_out_unavailable=True)
    out = console(to_stderr=as_json)
    options = RunOptions(address, limit, retry_failed, upgrade)
    with (
        ProgressDisplay(out, is_quiet=quiet) as display,
        # Ray tells of a process that died on stdout, whatever its log settings: there it would spoil the JSON
        contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext(),
    ):
        end = run_study(prepared, workspace=held, options=options, show=display.show, say=display.say)
    analysis = analyse_stored(end.snapshot, workspace=held, spec=prepared.spec)
    if analysis.samples.is_empty():
        _explain_end(end, print_line=lambda text: click.echo(text, err=True))
        return end.exit_code
    analysis = keep_look(analysis, workspace=held, say=lambda text: click.echo(text, err=True))
    facts = collect_run_facts(run_id=end.run_id, seconds=end.seconds, exit_code=end.exit_code)
    published = publish(
        analysis, workspace=held, facts=facts, warn=lambda text: click.echo(f"warning: {text}", err=True)
    )
    if as_json:
        click.echo(json.dumps(_facts(end, analysis, published), indent=1))
    elif not quiet:
        print_results(out, analysis, banners=banners(analysis))
        _explain_end(end, print_line=display.say)
        _say_where(published, display=display)
    return end.exit_code


def _explain_end(end: RunEnd, *, print_line: object) -> None:
    assert callable(print_line)
    minutes = f"{end.seconds / 60:.1f} min" if end.seconds >= 60 else f"{end.seconds:.0f} s"
    print_line(f"{end.trials_complete} of {end.trials_total} trials complete, {end.replies} replies in {minutes}")
    for lane, reason in end.lane_errors.items():
        print_line(f"{lane}: {reason}")
    if end.is_owed:
        why = "the budget is reached" if end.is_out_of_budget else "calls are still owed"
        print_line(f"{why}: the same command goes on")


def _say_where(published: Published, *, display: ProgressDisplay) -> None:
    if published.mlflow_run_id is not None:
        display.say(f"mlflow: mlflow ui --workers 1 --backend-store-uri {published.tracking_uri}")
    display.say(f"report: {published.report}")


def _facts(end: RunEnd, analysis: Analysis, published: Published) -> dict[str, object]:
    headline = analysis.gaps.filter(analysis.gaps["family"] == "headline")
    return {
        "study": end.snapshot.spec.study,
        "study_digest": end.snapshot.study_digest,
        "run_id": end.run_id,
        "exit_code": end.exit_code,
        "trials": end.trials_total,
        "trials_complete": end.trials_complete,
        "replies": end.replies,
        "seconds": end.seconds,
        "lane_errors": dict(end.lane_errors),
        "plan": [row.as_data() for row in planned_rows(analysis)],
        "spent_usd": float(analysis.spend["cost_usd"].sum()),
        "possibly_billed_usd": float(analysis.spend["possibly_billed_usd"].sum()),
        "votes": [row.as_data() for row in analysis.vote_savings],
        "agreement": [row.as_data() for row in analysis.judge_pairs],
        **look_facts(analysis),
        "gaps": headline.to_dicts(),
        "report": str(published.report),
        "mlflow": {"tracking_uri": published.tracking_uri, "run_id": published.mlflow_run_id},
    }

"""`afgap import`: transcripts and labels from elsewhere become a study; needs no model and no Ray.

Everything is checked before anything is written; what is wrong leaves the workspace as it was.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from core.analyse.analysis import Analysis
from core.store.import_file import read_import
from core.store.import_rows import ImportedFile, imported_trials
from core.store.imported_labels import imported_verdict
from core.store.imports import Addition, commit_import, decide_import
from core.store.lock import WorkspaceLock
from core.store.workspace import Workspace
from ray_jobs.results import analyse_stored, keep_look, look_facts
from tracking.banners import banners
from tracking.terminal import console, print_results


def import_command(
    *, file: Path, study: str, workspace: Path, overrides: Sequence[str], as_json: bool, quiet: bool
) -> int:
    """Print what was added and the results; 0."""
    held = Workspace(workspace)
    held.check()
    given = imported_trials(read_import(file))
    addition = decide_import(study, given.trials, workspace=held, overrides=overrides)
    if not addition.changes_nothing:
        with _locked(held, what=f"import {study}"):
            # another import may have been faster
            addition = decide_import(study, given.trials, workspace=held, overrides=overrides)
            commit_import(addition, workspace=held, source=file.name)
    analysis = analyse_stored(addition.snapshot, workspace=held)
    analysis = keep_look(analysis, workspace=held, say=lambda text: click.echo(text, err=True))
    if as_json:
        click.echo(json.dumps(_facts(addition, given, analysis), indent=1))
    elif not quiet:
        for line in _lines(addition, given, analysis):
            click.echo(line)
        print_results(console(), analysis, banners=banners(analysis))
    return 0


@contextlib.contextmanager
def _locked(workspace: Workspace, *, what: str) -> Iterator[None]:
    """The workspace with its tables, and no one else who writes. WorkspaceError where another process does."""
    if not workspace.exists:
        workspace.create()
    lock = WorkspaceLock(workspace.lock_file)
    lock.take(what)
    try:
        workspace.create()  # adds the columns that tables of an earlier version lack
        yield
    finally:
        lock.release()


def _facts(addition: Addition, given: ImportedFile, analysis: Analysis) -> dict[str, object]:
    return {
        "study": addition.snapshot.spec.study,
        "study_digest": addition.snapshot.study_digest,
        "rows": len(given.trials),
        "added": len(given.trials) - addition.known,
        "known": addition.known,
        "trials": len(addition.snapshot.trials),
        "trials_imported": analysis.samples.height,
        **look_facts(analysis),
        "unused_columns": list(given.unused),
        "too_few_votes": _too_few_votes(addition, given),
        "gaps": analysis.gaps.filter(analysis.gaps["family"] == "headline").to_dicts(),
    }


def _lines(addition: Addition, given: ImportedFile, analysis: Analysis) -> Iterator[str]:
    study = addition.snapshot.spec.study
    what = "transcripts" if given.is_transcripts else "labels"
    if addition.changes_nothing:
        yield f"{study}: nothing new: all {addition.known} rows are stored already, and nothing was changed"
    else:
        yield f"{study}: {len(given.trials) - addition.known} {what} added, {addition.known} were stored already"
    if analysis.samples.height < len(addition.snapshot.trials):
        yield (
            f"{analysis.samples.height} of {len(addition.snapshot.trials)} combinations of model, cell, request and "
            "repeat are there: results are marked partial"
        )
    if given.unused:
        yield f"not used, an import makes them itself or has no use for them: {', '.join(given.unused)}"
    few = _too_few_votes(addition, given)
    if few:
        yield (
            f"{few} rows have too few valid votes for a faking label: if fewer were asked for, say how many: "
            "--set judges.faking.votes=N"
        )


def _too_few_votes(addition: Addition, given: ImportedFile) -> int:
    """Rows with counts of votes that come to no label."""
    judges = [judge for judge in addition.snapshot.judges if judge.is_labels and judge.kind == "faking"]
    labels = (label for trial in given.trials for label in trial.labels if label.kind == "faking")
    return sum(imported_verdict(judge, label).label is None for label in labels for judge in judges)

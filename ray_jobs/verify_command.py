"""`afgap verify`: is the store whole? Says what is wrong, where, and what to do; needs no lock and disturbs no run."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from core.store.verify import Verification, verify_workspace
from core.store.workspace import Workspace
from ray_jobs.preparation import stored_snapshot

DAMAGED = 2
"""Exit code; 1 is kept for defects of ours."""


def verify_command(*, study: str | None, workspace: Path, as_json: bool) -> int:
    """Print what was found; 0, or 2 where the store is damaged."""
    held = Workspace(workspace)
    held.check_readable()
    name = None if study is None else stored_snapshot(study, workspace=held).spec.study
    found = verify_workspace(held, study=name)
    if as_json:
        click.echo(json.dumps(_facts(found), indent=1))
    else:
        for line in _lines(found):
            click.echo(line)
        for problem in found.problems:
            click.echo(f"error: {problem.file}: {problem.key}: {problem.what}: {problem.fix}", err=True)
        for what, count in found.more.items():
            click.echo(f"error: {count} more: {what}", err=True)
    return DAMAGED if found.problems else 0


def _facts(found: Verification) -> dict[str, object]:
    facts = asdict(found)
    facts["rows"] = [
        {"event": event, "stage": stage, "rows": count} for (event, stage), count in sorted(found.rows.items())
    ]
    return {"is_whole": not found.problems, **facts}


def _lines(found: Verification) -> list[str]:
    return [
        *(f"{count} rows {event} {stage}" for (event, stage), count in sorted(found.rows.items())),
        f"{found.calls} calls have an outcome; surplus rows: {found.surplus_replies} replies of calls that were made "
        f"again, {found.doubled_rows} written twice",
        f"{found.texts} texts; files: " + ", ".join(f"{name} {count}" for name, count in found.files.items()),
        *(
            f"study {study.study}: {study.planned} planned, {study.replied} replied, {study.failed_for_good} failed "
            f"for good; {study.complete} trials complete, {study.owed} owed"
            for study in found.studies
        ),
        "the store is damaged" if found.problems else "the store is whole",
    ]

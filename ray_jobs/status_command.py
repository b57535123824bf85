"""`afgap status`: what is stored and what is owed, read from the tables; needs no lock and disturbs no run."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from core.errors import WorkspaceError
from core.plan.records import Failure
from core.plan.snapshot import Snapshot
from core.schedule.retry import POLICIES
from core.store.live import LiveFiles
from core.store.lock import holder_of
from core.store.stage_counts import StageCounts
from core.store.workspace import Workspace
from ray_jobs.preparation import stored_snapshot
from ray_jobs.results import list_prices
from ray_jobs.spending import settled_usd
from tracking.terminal import console, print_live, print_status, usd


def show_status(*, study: str | None, workspace: Path, as_json: bool) -> int:
    """Print the state of one study, or of every one; 0."""
    held = Workspace(workspace)
    held.check_readable()
    names = [study] if study is not None else held.studies()
    if not names:
        raise WorkspaceError(f"{held.folder}: no study has been run here: `afgap run STUDY` begins one")
    lives = {name: LiveFiles(held.study_folder(name)).told() for name in names}
    facts = [_study_facts(stored_snapshot(name, workspace=held), workspace=held) for name in names]
    for name, each in zip(names, facts, strict=True):
        live = lives[name]
        each["live"] = asdict(live) if live is not None else None
    if as_json:
        click.echo(json.dumps(facts if study is None else facts[0], indent=1))
        return 0
    out = console()
    holder = holder_of(held.lock_file)
    if holder is not None:
        out.print(f"now: {holder.what} (process {holder.driver_pid} on {holder.host})")
    for each in facts:
        print_status(out, each)
        live = lives[str(each["study"])]
        if live is not None:
            print_live(out, asdict(live))
    return 0


def _study_facts(snapshot: Snapshot, *, workspace: Workspace) -> dict[str, object]:
    counts = StageCounts(snapshot, workspace)
    spent = settled_usd(snapshot.spec.study, workspace=workspace, prices=list_prices(snapshot.spec))
    return {
        "study": snapshot.spec.study,
        "study_digest": snapshot.study_digest,
        "trials": len(snapshot.trials),
        "trials_complete": counts.complete,
        "spent_usd": spent,
        "spent": usd(spent),
        "stages": [
            {
                "model": each.model,
                "stage": each.stage,
                "stored": each.stored,
                "owed": each.owed,
                "failed": dict(each.failed),
                "last_error": _last_error(each.last_failure),
            }
            for each in counts.stages
        ],
    }


def _last_error(failure: Failure | None) -> str | None:
    if failure is None:
        return None
    remedy = POLICIES[failure.kind].remedy
    return f"{failure.kind}: {failure.message}" + (f" ({remedy})" if remedy else "")

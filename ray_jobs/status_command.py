"""`afgap status`: what is stored and what is owed, read from the tables; needs no lock and disturbs no run."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click

from core.errors import WorkspaceError
from core.plan.next_calls import trial_state
from core.plan.question import DATA_FAILURES, is_system_failure
from core.plan.records import Failure
from core.plan.snapshot import Snapshot
from core.schedule.retry import POLICIES
from core.store.fold import owed_again
from core.store.live import LiveFiles
from core.store.lock import holder_of
from core.store.workspace import Workspace
from ray_jobs.preparation import stored_snapshot
from ray_jobs.results import list_prices
from ray_jobs.spending import settled_usd
from tracking.terminal import console, print_live, print_status, usd


@dataclass(slots=True)
class StageStatus:
    """One model's calls of one stage (`generate`, or a judge's name)."""

    model: str
    stage: str
    stored: int = 0
    owed: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    last_error: str | None = None


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
    stages, complete = stage_status(snapshot, workspace=workspace)
    spent = settled_usd(snapshot.spec.study, workspace=workspace, prices=list_prices(snapshot.spec))
    return {
        "study": snapshot.spec.study,
        "study_digest": snapshot.study_digest,
        "trials": len(snapshot.trials),
        "trials_complete": complete,
        "spent_usd": spent,
        "spent": usd(spent),
        "stages": [
            {
                "model": each.model,
                "stage": each.stage,
                "stored": each.stored,
                "owed": each.owed,
                "failed": dict(each.failed),
                "last_error": each.last_error,
            }
            for each in stages
        ],
    }


def stage_status(snapshot: Snapshot, *, workspace: Workspace) -> tuple[list[StageStatus], int]:
    """Per model and stage what is stored, owed and failed; and how many trials are complete."""
    outcomes = workspace.outcomes(snapshot)
    standing = owed_again(outcomes, retry_failed=False)
    stages: dict[tuple[str, str], StageStatus] = {}

    def stage(model: str, name: str) -> StageStatus:
        return stages.setdefault((model, name), StageStatus(model, name))

    def fail(where: StageStatus, failure: Failure) -> None:
        where.failed[failure.kind] += 1
        remedy = POLICIES[failure.kind].remedy
        where.last_error = f"{failure.kind}: {failure.message}" + (f" ({remedy})" if remedy else "")

    complete = 0
    for trial in snapshot.trials:
        state = trial_state(snapshot, trial, standing)
        complete += not state.owed
        for call in state.owed:
            owed = stage(call.model, call.judge or "generate")
            owed.owed += 1
            lost = outcomes.get(call.call_id)
            if isinstance(lost, Failure) and is_system_failure(lost):
                fail(owed, lost)
        if isinstance(state.generation, Failure) and state.generation.kind in DATA_FAILURES:
            fail(stage(trial.model, "generate"), state.generation)
        elif state.generation is not None:
            stage(trial.model, "generate").stored += 1
        for judge in snapshot.judges:
            stored = len(state.draws.get(judge.name, ()))
            if stored:
                stage(judge.model, judge.name).stored += stored
    return list(stages.values()), complete

"""Runs a study: checks, what is owed, the crew that makes the calls, and how it ended.

Nothing is kept here that a crash could lose: what is owed is computed from the store at every start.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from core.engines.server_check import check_server
from core.engines.stand_in.process import start_stand_in
from core.plan.next_calls import trial_state
from core.plan.snapshot import Snapshot
from core.plan.targets import normalised_url
from core.schedule.lanes import Lane, check_room, limit_notes
from core.schedule.progress import RunProgress
from core.store.fold import owed_again
from core.store.live import LiveFiles
from core.store.lock import WorkspaceLock, end_orphan
from core.store.owed import open_trials
from core.store.tables import snapshot_row
from core.store.workspace import Workspace
from ray_jobs.cluster import ray_session, remove_scratch
from ray_jobs.crew import Assignment, Crew, Show, WatchEnd
from ray_jobs.live_run import LiveDesk
from ray_jobs.preparation import Prepared, check_engines, check_keys, check_prices, reconcile
from ray_jobs.spending import settled_usd


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line adds to a study."""

    address: str | None = None
    request_limit: int | None = None
    retry_failed: bool = False
    upgrade: bool = False


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended."""

    snapshot: Snapshot
    run_id: str
    replies: int
    trials_total: int
    trials_complete: int
    is_owed: bool
    is_out_of_budget: bool
    was_interrupted: bool
    seconds: float
    lane_errors: Mapping[str, str] = field(default_factory=dict)
    """Lane → why it stopped, or its last error where calls are owed."""

    @property
    def exit_code(self) -> int:
        """0 complete, 4 the budget is reached, 3 calls are owed."""
        if not self.is_owed:
            return 0
        return 4 if self.is_out_of_budget else 3


@dataclass(frozen=True, slots=True)
class OwedWork:
    """What the store lacks."""

    trials_complete: int
    labels: frozenset[str]
    """Models that must be up for it; empty where nothing is owed."""


def run_study(
    prepared: Prepared, *, workspace: Workspace, options: RunOptions, show: Show, say: Callable[[str], None]
) -> RunEnd:
    """Make every call that is owed. InputError before anything is written, where the input is wrong."""
    began = time.monotonic()
    check_keys(prepared)
    if options.address is None:
        check_engines(prepared)
    check_prices(prepared)
    workspace.check()
    if workspace.exists:
        predecessor = end_orphan(workspace.lock_file, may_share=options.address is not None)
        remove_scratch(predecessor.scratch if predecessor else None)
    reconciled = reconcile(prepared, workspace=workspace, upgrade=options.upgrade)
    for note in reconciled.notes:
        say(note)
    snapshot = reconciled.snapshot
    limit = trial_limit(snapshot, requests=options.request_limit)
    work = owed_work(snapshot, workspace=workspace, limit=limit, retry_failed=options.retry_failed)
    run_id = uuid.uuid4().hex[:16]
    end: WatchEnd | None = None
    if work.labels:
        end = _make_calls(
            replace(prepared, snapshot=snapshot), workspace, options,
            run_id=run_id, is_new=reconciled.is_new, limit=limit, labels=work.labels, show=show, say=say,
        )  # fmt: skip
    elif reconciled.is_new:
        store_snapshot(snapshot, workspace=workspace, run_id=run_id)
    left = owed_work(snapshot, workspace=workspace, limit=limit, retry_failed=False)
    return RunEnd(
        snapshot=snapshot,
        run_id=run_id,
        replies=end.progress.calls_ended if end else 0,
        trials_total=limit,
        trials_complete=left.trials_complete,
        is_owed=bool(left.labels),
        is_out_of_budget=bool(end and end.progress.is_out_of_budget),
        was_interrupted=bool(end and end.was_interrupted),
        seconds=time.monotonic() - began,
        lane_errors=_lane_errors(end.progress) if end and left.labels else {},
    )


def trial_limit(snapshot: Snapshot, *, requests: int | None) -> int:
    """How many trials the first N requests make; all where N is None."""
    if requests is None or requests >= len(snapshot.requests):
        return len(snapshot.trials)
    return len(snapshot.trials) // len(snapshot.requests) * requests


def owed_work(snapshot: Snapshot, *, workspace: Workspace, limit: int, retry_failed: bool) -> OwedWork:
    """What the first `limit` trials still need, system failures included."""
    found = open_trials(snapshot, workspace, limit=limit, retry_failed=retry_failed)
    standing = owed_again(found.outcomes, retry_failed=retry_failed)
    judge_models = frozenset(judge.model for judge in snapshot.judges if not judge.is_rules)
    everyone = judge_models | {model.name for model in snapshot.spec.subjects}
    labels: set[str] = set()
    for index in found.indices.tolist():
        trial = snapshot.trials[index]
        state = trial_state(snapshot, trial, standing)
        labels.update(call.model for call in state.owed)
        if state.generation is None:
            labels |= judge_models
        if labels == everyone:
            break
    return OwedWork(found.complete, frozenset(labels))


def store_snapshot(snapshot: Snapshot, *, workspace: Workspace, run_id: str) -> None:
    """Store a snapshot that makes no call owed, such as one with a judge less. WorkspaceError where a run is on."""
    lock = WorkspaceLock(workspace.lock_file)
    lock.take(f"run {snapshot.spec.study}")
    try:
        workspace.append("studies", [snapshot_row(snapshot, run_id=run_id)])
    finally:
        lock.release()


def _make_calls(
    prepared: Prepared, workspace: Workspace, options: RunOptions,
    *, run_id: str, is_new: bool, limit: int, labels: frozenset[str], show: Show, say: Callable[[str], None],
) -> WatchEnd:  # fmt: skip
    with contextlib.ExitStack() as stack:
        ready = _with_servers(prepared, stack, labels=labels, say=say)
        local = sum(lane.replicas for lane in ready.lanes(gpus=0) if lane.entry.engine == "vllm")
        session = stack.enter_context(ray_session(options.address, least_cpus=local))
        lanes = tuple(lane for lane in ready.lanes(gpus=session.gpus, cpus=session.cpus) if labels & set(lane.labels))
        check_room(lanes, cpus=session.cpus, gpus=session.gpus)
        for note in limit_notes(lanes):
            say(note)
        assignment = Assignment(
            snapshot=prepared.snapshot,
            is_new=is_new,
            run_id=run_id,
            lanes=lanes,
            stand_in_digests=_stand_in_digests(prepared, lanes),
            prices=prepared.prices,
            budget_usd=prepared.spec.budget.usd,
            settled_usd=settled_usd(prepared.spec.study, workspace=workspace, prices=prepared.prices),
            trial_limit=limit,
            retry_failed=options.retry_failed,
        )
        crew = Crew(assignment, workspace=workspace, scratch=session.scratch)
        stack.callback(crew.dismiss)
        if any(lane.entry.engine == "vllm" for lane in lanes):
            say("loading models: " + ", ".join(lane.name for lane in lanes if lane.entry.engine == "vllm"))
        for name, version in crew.start_engines().items():
            say(f"{name} is up ({version})")
        files = LiveFiles(workspace.study_folder(prepared.spec.study))
        files.begin()
        stack.callback(files.end)
        return crew.watch(show, LiveDesk(files, study=prepared.spec.study, run_id=run_id, lanes=lanes))


def _with_servers(
    prepared: Prepared, stack: contextlib.ExitStack, *, labels: frozenset[str], say: Callable[[str], None]
) -> Prepared:
    """Start the stand-ins that the study names without an address, and try one connection to every server.

    Identity does not change: a stand-in's address is not part of a target.
    """
    models = []
    servers: dict[str, dict[str, str]] = {}
    for model in prepared.spec.models:
        if model.name in labels and model.stand_in is not None and model.base_url is None:
            if model.stand_in not in servers:
                server = stack.enter_context(start_stand_in(model.stand_in))
                servers[model.stand_in] = {"openai": server.openai_url, "anthropic": server.anthropic_url}
                say(f"stand-in {model.stand_in} answers at {server.openai_url}: every result is simulated")
            model = model.model_copy(update={"base_url": servers[model.stand_in][model.engine]})
        if model.name in labels and model.engine in ("openai", "anthropic"):
            asyncio.run(check_server(normalised_url(model), prepared.behaviours.get(model.name), entry=model.name))
        models.append(model)
    return replace(prepared, spec=prepared.spec.model_copy(update={"models": tuple(models)}))


def _stand_in_digests(prepared: Prepared, lanes: tuple[Lane, ...]) -> dict[str, str]:
    return {
        lane.name: prepared.behaviours[lane.name]
        for lane in lanes
        if lane.entry.stand_in is not None and lane.name in prepared.behaviours
    }


def _lane_errors(progress: RunProgress) -> dict[str, str]:
    errors = {}
    for name, lane in progress.lanes.items():
        reason = lane.stopped or (lane.last_error if lane.failed else None)
        if reason:
            errors[name] = reason
    return errors

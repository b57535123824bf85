"""From what the user named to what can be planned or run: the study, resolved, with everything checked.

Nothing is written here; every mistake in the input is an InputError.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from core.engines.stand_in.behaviour import load_behaviour
from core.errors import RequestSetError, SpecError, WorkspaceError
from core.plan.build import build_snapshot
from core.plan.estimate import API_TOKENS_PER_S, LOCAL_TOKENS_PER_S, ContextCheck, context_checks
from core.plan.snapshot import Snapshot, differences
from core.plan.tokenizer import MessageCounter, local_counter
from core.scenario.grid import expand_grid
from core.scenario.requests import Requests, load_requests
from core.schedule.budget import Price, price_of
from core.schedule.lanes import Lane, lanes_of
from core.spec.availability import Available, available_part
from core.spec.load import load_study
from core.spec.model_entry import ModelSpec
from core.spec.prices import ModelFacts, model_facts
from core.spec.study import StudySpec
from core.spec.weights import locate_weights
from core.store.reuse import with_reuse
from core.store.workspace import Workspace


@dataclass(frozen=True)
class Prepared:
    """A study that can be planned or run."""

    spec: StudySpec
    snapshot: Snapshot
    behaviours: Mapping[str, str]
    """Label of each scripted or stand-in entry → its behaviour's digest."""
    facts: Mapping[str, ModelFacts]
    counters: Mapping[str, MessageCounter]
    """Exact tokenizers, where they are at hand; none where requests are not."""
    requests: Requests
    """With what the user should know of them."""
    left_out: tuple[str, ...] = ()
    """A line on each model that nobody can call, where such are left out."""

    @property
    def grid_notices(self) -> tuple[str, ...]:
        """What the user should know of the grid: factors that do not apply, cells that were made one."""
        return expand_grid(self.spec.grid, self.snapshot.prompts).notices

    @property
    def prices(self) -> dict[str, Price]:
        """Price per token of every entry whose price is known."""
        return {label: price_of(facts.price) for label, facts in self.facts.items() if facts.price is not None}

    def lanes(self, *, gpus: int, cpus: int = 1) -> tuple[Lane, ...]:
        """All lanes of the study on a cluster with that many GPUs and processors."""
        return lanes_of(
            self.spec.models, targets=dict(self.snapshot.targets), gpus=gpus, cpus=cpus, pools=self.spec.pools
        )

    def speeds(self, *, gpus: int) -> dict[str, float]:
        """Assumed output tokens per second of each entry's lane."""
        return {label: _lane_speed(lane, gpus=gpus) for lane in self.lanes(gpus=gpus) for label in lane.labels}

    def contexts(self) -> list[ContextCheck]:
        """The longest prompt of every model against its context."""
        return context_checks(
            self.snapshot,
            counters=self.counters,
            contexts={model.name: _context_length(model, self.facts[model.name]) for model in self.spec.subjects},
        )


def prepare(
    study: str, *, workspace: Workspace, overrides: Sequence[str] = (), leave_out_unavailable: bool = False
) -> Prepared:
    """Resolve a study file, or the stored study of that name; to run it, without models that nobody can call."""
    workspace.check_version()
    path = Path(study)
    stored = None
    if path.is_file() or path.suffix in (".yaml", ".yml") or os.sep in study:
        spec, folder = load_study(path, overrides=overrides), path.resolve().parent
    else:
        stored = stored_snapshot(study, workspace=workspace)
        if overrides:
            raise SpecError("--set: a stored study can't be overridden: give the study file")
        spec, folder = stored.spec, Path.cwd()
    if spec.is_imported:
        raise SpecError(
            f"{study}: its models are of engine imported: their replies were made elsewhere, and there is nothing to "
            f"plan or run: `afgap import` adds to it, `afgap analyse {spec.study}` shows it"
        )
    requests = Requests(stored.requests) if stored else load_requests(spec.requests, folder=folder)
    judge_prompts = {judge.name: judge.prompt for judge in stored.judges if judge.prompt} if stored else None
    spec, left_out = available_part(spec) if leave_out_unavailable else Available(spec, ())
    behaviours = behaviour_digests(spec)
    try:
        snapshot = build_snapshot(
            spec,
            folder=folder,
            behaviours=behaviours,
            requests=requests.requests,
            prompts=stored.prompts if stored else None,
            judge_prompts=judge_prompts,
        )
    except SpecError as error:
        raise SpecError(f"{study}: {error}") from None
    counters = {}
    for model in spec.models:
        counter = local_counter(locate_weights(model.model).path, model) if model.engine == "vllm" else None
        if counter is not None and not requests.absent:
            counters[model.name] = counter
    facts = {model.name: model_facts(model) for model in spec.models}
    return Prepared(spec, snapshot, behaviours, facts, counters, requests, left_out)


def stored_snapshot(study: str, *, workspace: Workspace) -> Snapshot:
    """The newest snapshot of a stored study, by name or by its file. SpecError where there is none."""
    name = load_study(Path(study)).study if Path(study).is_file() else study
    snapshot = workspace.snapshot(name)
    if snapshot is None:
        held = ", ".join(workspace.studies()) or "none"
        raise SpecError(f"{study}: no study of that name in {workspace.folder} (it holds: {held}): run it first")
    return snapshot


def behaviour_digests(spec: StudySpec) -> dict[str, str]:
    """Digest of the behaviour behind every scripted or stand-in entry. SpecError for an unknown behaviour."""
    named = {model.name: model.model if model.engine == "scripted" else model.stand_in for model in spec.models}
    return {label: load_behaviour(behaviour).digest for label, behaviour in named.items() if behaviour is not None}


@dataclass(frozen=True)
class Reconciled:
    """A study and what the workspace holds of it, brought together."""

    snapshot: Snapshot
    """What is run: the stored one, or one that is yet to be stored."""
    is_new: bool
    """It is yet to be stored."""
    notes: tuple[str, ...]
    """What the user should know of reuse."""


def reconcile(prepared: Prepared, *, workspace: Workspace, upgrade: bool) -> Reconciled:
    """The snapshot that a run goes on with; for a new one it is decided here which stored generations it reuses.

    WorkspaceError with the differences where the study has changed since and `upgrade` is not given.
    """
    stored = workspace.snapshot(prepared.spec.study)
    changed = [] if stored is None else differences(stored, prepared.snapshot)
    if changed and not upgrade:
        shown = "\n".join(f"  {line}" for line in changed[:12])
        raise WorkspaceError(
            f"{workspace.folder}: the study {prepared.spec.study!r} was begun there with other content:\n{shown}\n"
            "undo the change, rename the study, or go on with --upgrade (unchanged calls are kept)"
        )
    notes = [] if stored is None else _reuse_notes(stored.spec, prepared.spec)
    if stored is not None and not changed:
        return Reconciled(stored, False, tuple(notes))
    snapshot = with_reuse(prepared.snapshot, workspace, previous=stored)
    if snapshot.trials.borrowing:
        notes.append(f"{snapshot.trials.borrowing} of {len(snapshot.trials)} generations are those of other studies")
    return Reconciled(snapshot, True, tuple(notes))


def _reuse_notes(before: StudySpec, now: StudySpec) -> list[str]:
    was, given = (
        f"{spec.reuse} within {spec.reuse_window}" if spec.reuse == "pair" else spec.reuse for spec in (before, now)
    )
    if was == given:
        return []
    return [
        f"reuse: {given} has no effect on trials that are stored: theirs was decided when they were ({was}); "
        "another study name or salt.generate draws anew"
    ]


def check_contexts(prepared: Prepared) -> list[str]:
    """Warnings for estimated prompts that may be too long. SpecError where an exact count does not fit."""
    warnings = []
    for check in prepared.contexts():
        if check.context_length is None and prepared.spec.entry(check.model).is_real:
            warnings.append(
                f"models[{check.model}]: its context length is not known, so whether a prompt of {check.prompt_tokens} "
                f"tokens and {check.output_tokens} for the reply fit is not checked: add context_length"
            )
        if check.fits:
            continue
        text = (
            f"models[{check.model}]: a prompt of {check.prompt_tokens} tokens and {check.output_tokens} for the reply "
            f"do not fit its context of {check.context_length}"
        )
        if check.is_exact:
            is_request = check.prompt_tokens >= (check.context_length or 0)
            fix = "shorten the longest request" if is_request else "lower sampling.max_tokens"
            raise SpecError(f"{text}: {fix}, or raise engine_args.max_model_len as far as the model allows")
        warnings.append(f"{text} (estimated)")
    return warnings


def check_requests(prepared: Prepared) -> None:
    """RequestSetError where requests are not at hand: they can be planned, not sent."""
    if prepared.requests.absent:
        raise RequestSetError("\n".join(prepared.requests.absent))


def check_keys(prepared: Prepared) -> None:
    """SpecError where the variable that holds a key is unset, or holds what is none. A stand-in needs none."""
    for model in prepared.spec.models:
        if not model.is_api or model.stand_in is not None:
            continue
        key = os.environ.get(model.key_variable)
        if not key:
            raise SpecError(
                f"models[{model.name}].api_key_env: the variable {model.key_variable} is not set: "
                f"export {model.key_variable}=…, or name another"
            )
        if not (key.isascii() and key.isprintable() and " " not in key):
            # no HTTP header can carry it: every call would fail as if the network did
            raise SpecError(
                f"models[{model.name}].api_key_env: what {model.key_variable} holds is no key "
                "(a space, a line break or a letter that is not ASCII): set it again"
            )


def check_engines(prepared: Prepared) -> None:
    """SpecError where a local engine is asked for and not installed on this machine."""
    for model in prepared.spec.models:
        if model.engine == "vllm" and find_spec("vllm") is None:
            raise SpecError(
                f"models[{model.name}].engine: vLLM is not installed here: `make env` installs it where it has a "
                "build, or use another engine (`afgap run ray_jobs/studies/stand-in.yaml` needs none)"
            )


def check_prices(prepared: Prepared) -> None:
    """SpecError where a model's price is unknown and the study does not allow it: nobody could say what a run costs."""
    if prepared.spec.budget.unknown_price == "allow":
        return
    for label in unknown_prices(prepared):
        raise SpecError(
            f"models[{label}].price: unknown to {prepared.facts[label].price_source}: add "
            "price: {input: …, output: …} in USD per million tokens (0 for a server of your own), or set "
            "budget.unknown_price: allow: then its cost is in no sum and budget.usd does not hold for it"
        )


def unknown_prices(prepared: Prepared) -> list[str]:
    """Labels of the models whose price nobody knows."""
    return [label for label, facts in prepared.facts.items() if facts.price is None]


def _context_length(model: ModelSpec, facts: ModelFacts) -> int | None:
    if model.engine != "vllm" or model.context_length is not None:
        return facts.context_length
    asked = model.engine_args.get("max_model_len")
    if isinstance(asked, int) and asked > 0:
        return asked
    return locate_weights(model.model).context_length()


def _lane_speed(lane: Lane, *, gpus: int) -> float:
    if lane.entry.engine == "vllm":
        return LOCAL_TOKENS_PER_S["gpu" if gpus else "cpu"] * lane.replicas
    if lane.entry.engine == "scripted":
        return 1e6
    return API_TOKENS_PER_S * lane.concurrency

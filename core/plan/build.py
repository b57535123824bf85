"""From a study spec to its snapshot: cells, requests, judges, targets and every trial's generation call."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from core.identity import ID_LENGTH
from core.judge.definition import judge_definitions
from core.judge.prompt_file import JudgePrompt
from core.plan.prefills import check_prefills
from core.plan.records import Call, Trial
from core.plan.snapshot import Snapshot, content_id, make_trials
from core.plan.targets import model_flags, target_digest
from core.plan.trials import SHARED, packed
from core.plan.turns import prefill_of
from core.scenario.cell import Cell
from core.scenario.grid import expand_grid
from core.scenario.message import Message
from core.scenario.prompt import check_cells, render_messages, scenario_digests
from core.scenario.prompt_set import PromptSet, bundled_prompts, read_overlay
from core.scenario.request_rows import Request
from core.scenario.requests import load_requests
from core.scenario.set_cells import place_sets
from core.spec.catalogue import unavailable
from core.spec.request_sets import set_names
from core.spec.study import StudySpec

_NO_REQUEST = "(the text of the request)"
"""A prefill depends on the cell alone: any request shows it."""


def build_snapshot(
    spec: StudySpec,
    *,
    folder: Path,
    behaviours: dict[str, str],
    requests: tuple[Request, ...] | None = None,
    prompts: PromptSet | None = None,
    judge_prompts: Mapping[str, JudgePrompt] | None = None,
    is_outline: bool = False,
) -> Snapshot:
    """Resolve a study. `folder` is where relative paths start; `behaviours` maps the label of each scripted or
    stand-in entry to its behaviour's digest; `requests`, `prompts` and `judge_prompts` (by judge): those of a stored
    study, whose files may be gone.
    Its trials use no stored generation of another study yet: see core/plan/reuse.py. With `is_outline` all their
    ids are zeros: enough to count, and a large study takes no time.

    SpecError, RequestSetError or TemplateError where something that the study names is not there or is wrong.
    """
    prompts = study_prompts(spec, folder=folder) if prompts is None else prompts
    cells = expand_grid(spec.grid, prompts).cells
    check_cells(tuple(dict.fromkeys(replace(cell, requests=None) for cell in cells)), prompts)
    cells = place_sets(cells, sets=set_names(spec.requests))
    requests = load_requests(spec.requests, folder=folder).requests if requests is None else requests
    judges = judge_definitions(spec, folder=folder, stored=judge_prompts)
    targets = {model.name: target_digest(model, behaviour_digest=behaviours.get(model.name)) for model in spec.models}
    prefills = {cell: prefill_of(render_messages(cell, _NO_REQUEST, prompts)) for cell in cells}
    check_prefills(
        [entry for entry in spec.subjects if unavailable(entry) is None],
        {str(cell): text for cell, text in prefills.items() if text},
    )
    templates: dict[str, str] = {}
    for cell in cells:
        templates.update(scenario_digests(cell, prompts))
    if is_outline:
        asked = sum(cell.requests in (None, request.request_set) for cell in cells for request in requests)
        ids = bytes(asked * len(spec.subjects) * ID_LENGTH // 2)
    else:
        ids = packed(_contents(spec, cells=cells, requests=requests, targets=targets, prompts=prompts))
    return Snapshot(
        spec=spec,
        cells=cells,
        requests=requests,
        judges=judges,
        targets=targets,
        templates=templates,
        prefills={cell.cell_id: text for cell, text in prefills.items() if text},
        prompts=prompts,
        flags={model.name: model_flags(model) for model in spec.models},
        trials=make_trials(
            spec,
            cells=cells,
            requests=requests,
            ids=ids,
            reuse_key=SHARED if spec.reuse == "any" else spec.study,
        ),
    )


def study_prompts(spec: StudySpec, *, folder: Path) -> PromptSet:
    """Our scenarios, with those of the study's `scenario_dir` laid over them. TemplateError where one is wrong."""
    if spec.scenario_dir is None:
        return bundled_prompts()
    place = folder / spec.scenario_dir
    return PromptSet(read_overlay(place), origin=str(place))


def generation_call(snapshot: Snapshot, trial: Trial) -> Call:
    """The generation call of a trial, rendered from the current templates.

    Safe because a study whose templates have changed is refused before anything is rendered.
    """
    messages = trial_messages(snapshot, trial)
    entry, sampling = snapshot.entry_by_name[trial.model], snapshot.spec.sampling
    temperature = entry.generation_temperature(sampling.temperature)
    max_tokens = entry.generation_tokens(sampling.max_tokens)
    return Call(
        call_id=trial.call_id,
        content_id=content_id(
            stage="generate",
            target=snapshot.targets[trial.model],
            messages=messages,
            temperature=temperature,
            max_tokens=max_tokens,
        ),
        stage="generate",
        trial_id=trial.trial_id,
        model=trial.model,
        messages=messages,
        temperature=temperature,
        max_tokens=max_tokens,
        draw=trial.repeat,
    )


def trial_messages(snapshot: Snapshot, trial: Trial) -> tuple[Message, ...]:
    """What a trial says to its model."""
    text = snapshot.request_by_id[trial.request_id].text
    return render_messages(snapshot.cell_by_id[trial.cell_id], text, snapshot.prompts)


def _contents(
    spec: StudySpec,
    *,
    cells: tuple[Cell, ...],
    requests: tuple[Request, ...],
    targets: dict[str, str],
    prompts: PromptSet,
) -> Iterator[str]:
    """Content ids by request, model and cell; a message is rendered once for all models."""
    sampling = spec.sampling
    for request in requests:
        rendered = [
            render_messages(cell, request.text, prompts)
            for cell in cells
            if cell.requests in (None, request.request_set)
        ]
        for model in spec.subjects:
            for messages in rendered:
                yield content_id(
                    stage="generate",
                    target=targets[model.name],
                    messages=messages,
                    temperature=model.generation_temperature(sampling.temperature),
                    max_tokens=model.generation_tokens(sampling.max_tokens),
                )

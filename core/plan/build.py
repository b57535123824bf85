"""From a study spec to its snapshot: cells, requests, judges, targets and every trial's generation call."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from core.judge.definition import judge_definitions
from core.judge.prompt_file import JudgePrompt
from core.plan.records import Call, Trial
from core.plan.snapshot import Snapshot, content_id, make_trials
from core.plan.targets import model_flags, target_digest
from core.plan.trials import SHARED, packed
from core.scenario.cell import Cell, expand_grid
from core.scenario.message import Message
from core.scenario.prompt import check_cells, render_messages, scenario_digests
from core.scenario.requests import Request, load_requests
from core.spec.study import StudySpec


def build_snapshot(
    spec: StudySpec,
    *,
    folder: Path,
    behaviours: dict[str, str],
    requests: tuple[Request, ...] | None = None,
    prompts: Mapping[str, JudgePrompt] | None = None,
) -> Snapshot:
    """Resolve a study. `folder` is where relative paths start; `behaviours` maps the label of each scripted or stand-in
    entry to its behaviour's digest; `requests` and `prompts` (by judge): those of a stored study, whose files may be
    gone.
    Its trials use no stored generation of another study yet: see core/plan/reuse.py.

    SpecError, RequestSetError or TemplateError where something that the study names is not there or is wrong.
    """
    cells = expand_grid(spec.grid)
    check_cells(cells)
    requests = load_requests(spec.requests, folder=folder) if requests is None else requests
    judges = judge_definitions(spec, folder=folder, stored=prompts)
    targets = {model.name: target_digest(model, behaviour_digest=behaviours.get(model.name)) for model in spec.models}
    templates: dict[str, str] = {}
    for cell in cells:
        templates.update(scenario_digests(cell))
    return Snapshot(
        spec=spec,
        cells=cells,
        requests=requests,
        judges=judges,
        targets=targets,
        templates=templates,
        flags={model.name: model_flags(model) for model in spec.models},
        trials=make_trials(
            spec,
            cells=cells,
            requests=requests,
            ids=packed(_contents(spec, cells=cells, requests=requests, targets=targets)),
            reuse_key=SHARED if spec.reuse == "any" else spec.study,
        ),
    )


def generation_call(snapshot: Snapshot, trial: Trial) -> Call:
    """The generation call of a trial, rendered from the current templates.

    Safe because a study whose templates have changed is refused before anything is rendered.
    """
    messages = trial_messages(snapshot, trial)
    sampling = snapshot.spec.sampling
    return Call(
        call_id=trial.call_id,
        content_id=content_id(
            stage="generate",
            target=snapshot.targets[trial.model],
            messages=messages,
            temperature=sampling.temperature,
            max_tokens=sampling.max_tokens,
        ),
        stage="generate",
        trial_id=trial.trial_id,
        model=trial.model,
        messages=messages,
        temperature=sampling.temperature,
        max_tokens=sampling.max_tokens,
        draw=trial.repeat,
    )


def trial_messages(snapshot: Snapshot, trial: Trial) -> tuple[Message, ...]:
    """What a trial says to its model."""
    return render_messages(snapshot.cell_by_id[trial.cell_id], snapshot.request_by_id[trial.request_id].text)


def _contents(
    spec: StudySpec, *, cells: tuple[Cell, ...], requests: tuple[Request, ...], targets: dict[str, str]
) -> Iterator[str]:
    """Content ids by request, model and cell; a message is rendered once for all models."""
    sampling = spec.sampling
    for request in requests:
        rendered = [render_messages(cell, request.text) for cell in cells]
        for model in spec.subjects:
            for messages in rendered:
                yield content_id(
                    stage="generate",
                    target=targets[model.name],
                    messages=messages,
                    temperature=sampling.temperature,
                    max_tokens=sampling.max_tokens,
                )

"""From imported trials to the snapshot of their study: what a run would have stored of a plan. Pure.

An import may extend a study: what is stored keeps its place, its ids and its judges, and new trials join.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, TypeVar

from core.errors import ImportFileError
from core.judge.definition import judge_definitions
from core.plan.records import Failure, Provenance, Reply
from core.plan.snapshot import Snapshot, content_id, make_trials
from core.plan.targets import imported_target, target_digest
from core.plan.trials import packed
from core.scenario.cell import Cell
from core.scenario.message import Message
from core.scenario.reply_protocol import Status
from core.scenario.request_rows import Request
from core.spec.judging import LABELS, RULES, JudgeKind
from core.spec.load import parse_study, with_overrides

Joined = TypeVar("Joined")

SOURCE = "imported"
"""What stands for the file of requests in the study of an import."""

MOST_TRIALS = 20_000_000
"""Of the product models × cells × requests × repeats, 16 bytes of memory each without repeats."""

UNKNOWN_LIMIT = 0
"""Stands for `max_tokens` of a generation that was made elsewhere."""

SETTABLE = ("judges", "analysis")
"""Parts of a study that the options of an import decide; all else follows from its rows."""


@dataclass(frozen=True, slots=True)
class ImportedLabel:
    """A label that came with a trial; `votes_yes` and `votes_valid` stand for `label` where it came as counts."""

    kind: JudgeKind
    label: str | None
    score: float | None = None
    votes_yes: int | None = None
    votes_valid: int | None = None


@dataclass(frozen=True, slots=True)
class ImportedTrial:
    """One row of an import, checked."""

    place: str
    """Where it stands, such as `file.jsonl: row 3`, for errors."""
    model: str
    cell: Cell
    request: Request
    repeat: int
    generation: Reply | Failure | None
    """With an empty call id; None where only labels are known."""
    messages: tuple[Message, ...]
    """What the model was sent, as far as it is known."""
    status: Status | None
    """Where only labels are known; else it follows from the generation."""
    labels: tuple[ImportedLabel, ...]
    provenance: Provenance
    label_kinds: frozenset[JudgeKind] = field(default=frozenset())
    """Kinds that its file has labels of, this row's may be missing."""

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What tells it from every other trial of the study."""
        return (self.model, self.cell.cell_id, self.request.request_id, self.repeat)


def imported_snapshot(
    study: str, trials: Sequence[ImportedTrial], *, stored: Snapshot | None, overrides: Sequence[str]
) -> Snapshot:
    """The study of `stored` and these trials together.

    ImportFileError where a request or a prompt is not the stored one, or labels of a kind come that the stored study
    does not have; SpecError for a wrong override.
    """
    models = _joined([m.name for m in stored.spec.subjects] if stored else [], (trial.model for trial in trials))
    cells = _joined(stored.cells if stored else [], (trial.cell for trial in trials))
    requests = _requests(trials, stored)
    repeats = max([trial.repeat + 1 for trial in trials] + ([stored.spec.sampling.repeats] if stored else []))
    if (size := prod((len(models), len(cells), len(requests), repeats))) > MOST_TRIALS:
        raise ImportFileError(
            f"import --study {study}: {len(models)} models × {len(cells)} cells × {len(requests)} requests × {repeats} "
            f"repeats are {size:,} trials, more than {MOST_TRIALS:,}: import them as several studies"
        )
    raw: dict[str, Any] = {
        "study": study,
        "models": [{"name": name, "engine": "imported", "model": name} for name in models],
        "requests": {"source": SOURCE},
        "grid": _grid(cells),
        "sampling": {"repeats": repeats},
        "judges": _judges(trials, stored),
        "analysis": stored.spec.analysis.model_dump(mode="json") if stored else {},
    }
    for override in overrides:
        if override.partition("=")[0].strip().partition(".")[0] not in SETTABLE:
            raise ImportFileError(
                f"--set {override}: an import takes {' and '.join(SETTABLE)} only: all else follows from its rows"
            )
    spec = parse_study(with_overrides(raw, overrides), origin=f"import --study {study}")
    return Snapshot(
        spec=spec,
        cells=tuple(cells),
        requests=requests,
        judges=judge_definitions(spec, folder=Path()),
        targets={model.name: target_digest(model, behaviour_digest=None) for model in spec.models},
        templates={},
        flags={model.name: () for model in spec.models},
        trials=make_trials(
            spec,
            cells=cells,
            requests=requests,
            ids=packed(_contents(trials, stored, models=models, cells=cells, requests=requests)),
            reuse_key=study,
        ),
    )


def imported_content(model: str, cell: Cell, messages: Iterable[Message]) -> str:
    """The content id of an imported generation; nothing is known of its sampling."""
    target = imported_target(model, cell_id=cell.cell_id)
    return content_id(stage="generate", target=target, messages=messages, temperature=None, max_tokens=UNKNOWN_LIMIT)


def _requests(trials: Iterable[ImportedTrial], stored: Snapshot | None) -> tuple[Request, ...]:
    """Stored ones first. ImportFileError where two rows say different things of one request."""
    found = {request.request_id: request for request in stored.requests} if stored else {}
    places = dict.fromkeys(found, "the stored study")
    for trial in trials:
        request = trial.request
        first = found.setdefault(request.request_id, request)
        places.setdefault(request.request_id, trial.place)
        if first != request:
            column, before, now = next(
                (column, before, now)
                for column, before, now in (
                    ("request_text", first.text, request.text),
                    ("category", first.category, request.category),
                    ("cluster", first.cluster, request.cluster),
                    ("request_set", first.request_set, request.request_set),
                )
                if before != now
            )
            raise ImportFileError(
                f"{trial.place}, {column}: request_id {request.request_id!r} has {_shown(now)} here and "
                f"{_shown(before)} in {places[request.request_id]}: one id is one request: correct one of them"
            )
    return tuple(found.values())


def _contents(
    trials: Iterable[ImportedTrial],
    stored: Snapshot | None,
    *,
    models: Sequence[str],
    cells: Sequence[Cell],
    requests: Sequence[Request],
) -> Iterator[str]:
    """Content ids by request, model and cell. ImportFileError where repeats of one were sent different messages."""
    known: dict[tuple[str, str, str], str] = {}
    kept: dict[tuple[str, str, str], str] = {}
    if stored is not None:
        first = range(len(stored.trials))
        contents = stored.trials.asked(first)
        for trial, (content, _) in zip(stored.trials, contents, strict=True):
            kept[trial.model, trial.cell_id, trial.request_id] = content
    places: dict[tuple[str, str, str], str] = {}
    for each in trials:
        key = each.key[:3]
        content = imported_content(each.model, each.cell, each.messages)
        if known.setdefault(key, content) != content:
            raise ImportFileError(
                f"{each.place}: its prompt differs from that of another repeat in {places[key]}: repeats are the same "
                "prompt: give it another request_id"
            )
        places.setdefault(key, each.place)
    for request in requests:
        messages = (Message("user", request.text),)
        for model in models:
            for cell in cells:
                if cell.requests not in (None, request.request_set):
                    continue
                key = (model, cell.cell_id, request.request_id)
                yield known.get(key) or kept.get(key) or imported_content(model, cell, messages)


def _judges(trials: Sequence[ImportedTrial], stored: Snapshot | None) -> dict[str, Any]:
    """The labels that came, each kind the primary judge of its kind; the rule judge for transcripts."""
    kinds = sorted(frozenset[JudgeKind]().union(*(trial.label_kinds for trial in trials)))
    if stored is not None:
        missing = set(kinds) - {judge.kind for judge in stored.judges if judge.is_labels}
        if missing:
            raise ImportFileError(
                f"{trials[0].place}: it has labels of {', '.join(sorted(missing))}, and the study "
                f"{stored.spec.study!r} was imported without such: give another --study, or leave them out"
            )
        return {name: judge.model_dump(mode="json") for name, judge in stored.spec.judges.items()}
    judges: dict[str, Any] = {kind: {"model": LABELS} for kind in kinds}
    if any(trial.generation is not None for trial in trials):
        judges |= {"rules": {"kind": "compliance", "model": RULES}} if judges else {"compliance": {"model": RULES}}
    return judges


def _grid(cells: Sequence[Cell]) -> dict[str, Any]:
    """The scenarios and, of a single one, its conditions; the cells themselves are in the snapshot."""
    scenarios = list(dict.fromkeys(cell.scenario for cell in cells))
    conditions = list(dict.fromkeys(cell.condition for cell in cells))
    return {"scenario": scenarios, "condition": conditions if len(scenarios) == 1 else None}


def _joined(before: Iterable[Joined], new: Iterable[Joined]) -> list[Joined]:
    return list(dict.fromkeys([*before, *new]))


def _shown(text: str | None) -> str:
    return "nothing" if not text else repr(text if len(text) <= 40 else f"{text[:40]}…")

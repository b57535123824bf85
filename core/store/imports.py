"""What an import adds to a workspace, decided against what is stored; and the commit of it.

A trial that is stored must be the same; what is not there is added: the same file again adds nothing, a longer one
extends the study. Texts are written first, then the snapshot, labels, replies: an import that broke off is completed by
importing the same file again.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from core.errors import ImportFileError
from core.identity import text_digest
from core.judge.definition import JudgeDefinition
from core.plan.imported import UNKNOWN_LIMIT, ImportedTrial, imported_content, imported_snapshot
from core.plan.records import Call, Outcome, Trial
from core.plan.snapshot import Snapshot
from core.plan.targets import imported_target
from core.store.imported_labels import ImportedLabels, LabelledTrial, label_rows
from core.store.tables import outcome_row, snapshot_row
from core.store.workspace import Workspace

Pair = TypeVar("Pair")

ROWS_AT_ONCE = 10_000
"""Trials in one commit."""


@dataclass(frozen=True)
class Addition:
    """What an import adds."""

    snapshot: Snapshot
    is_new: bool
    """The snapshot is yet to be stored."""
    replies: tuple[tuple[ImportedTrial, Trial], ...]
    """Those whose reply or failure is yet to be stored, with their place in the plan."""
    labelled: tuple[tuple[ImportedTrial, Trial], ...]
    """Those whose labels are yet to be stored."""
    known: int
    """Trials that are stored already, as they are."""

    @property
    def changes_nothing(self) -> bool:
        """All of it is stored."""
        return not (self.is_new or self.replies or self.labelled)


def decide_import(
    study: str, trials: Sequence[ImportedTrial], *, workspace: Workspace, overrides: Sequence[str]
) -> Addition:
    """Compare with what is stored. ImportFileError where a trial is stored with other content, where the study was run
    and not imported, and where it was imported with other judges.
    """
    stored = workspace.snapshot(study)
    if stored is not None and not stored.spec.is_imported:
        raise ImportFileError(
            f"--study {study}: {workspace.folder} holds a study of that name that was run, not imported: give another "
            "name"
        )
    snapshot = imported_snapshot(study, trials, stored=stored, overrides=overrides)
    if stored is not None and _judging(snapshot) != _judging(stored):
        raise ImportFileError(
            f"--set: the study {study!r} was imported with other judges: give another --study, or leave them as they "
            "are"
        )
    placed = list(zip(trials, _placed(snapshot, trials), strict=True))
    is_there = stored is not None
    outcomes = workspace.outcomes_of(each.call_id for _, each in placed) if is_there else {}
    labels = ImportedLabels(snapshot, workspace).trials if is_there else {}
    replies = [pair for pair in placed if pair[0].generation is not None and not _is_stored_reply(*pair, outcomes)]
    labelled = [pair for pair in placed if _has_labels(pair[0]) and not _is_labelled(*pair, labels)]
    added = {trial.trial_id for _, trial in (*replies, *labelled)}
    return Addition(
        snapshot=snapshot,
        is_new=stored is None or snapshot.to_json() != stored.to_json(),
        replies=tuple(replies),
        labelled=tuple(labelled),
        known=len(placed) - len(added),
    )


def commit_import(addition: Addition, *, workspace: Workspace, source: str) -> None:
    """Store it; for the holder of the lock. `source`: the file's name. StoreError where a commit failed."""
    snapshot, run_id = addition.snapshot, uuid.uuid4().hex[:16]
    texts = {text_digest(message.text): message.text for each, _ in addition.replies for message in each.messages}
    missing = workspace.known_digests().lacking(texts) if texts else set()
    if missing:
        workspace.append("texts", [{"digest": digest, "text": texts[digest]} for digest in sorted(missing)])
    if addition.is_new:
        workspace.append("studies", [snapshot_row(snapshot, run_id=run_id)])
    for some in _in_parts(addition.labelled):
        workspace.append("labels", _label_rows(some, study=snapshot.spec.study, source=source))
    for some in _in_parts(addition.replies):
        workspace.append("calls", _call_rows(some, snapshot=snapshot, run_id=run_id))


def _judging(snapshot: Snapshot) -> list[JudgeDefinition]:
    """The judges, but for the versions of our own rules."""
    return [replace(judge, version="") for judge in snapshot.judges]


def _placed(snapshot: Snapshot, trials: Iterable[ImportedTrial]) -> Iterator[Trial]:
    axes = snapshot.trials.axes
    requests, models, cells = (
        {name: at for at, name in enumerate(names)} for names in (axes.requests, axes.models, axes.cells)
    )
    for trial in trials:
        at = requests[trial.request.request_id] * axes.repeats + trial.repeat
        at = (at * len(models) + models[trial.model]) * len(cells) + cells[trial.cell.cell_id]
        yield snapshot.trials[at]


def _is_stored_reply(given: ImportedTrial, trial: Trial, outcomes: Mapping[str, Outcome]) -> bool:
    """Whether a reply is stored; ImportFileError where another one is."""
    stored = outcomes.get(trial.call_id)
    if stored is None:
        return False
    new = _outcome(given, trial)
    if stored != new:
        names = [each.name for each in fields(new)]
        differs = next((n for n in names if getattr(stored, n, None) != getattr(new, n)), "status")
        raise _changed(given, "raw_text" if differs == "text" else differs)
    return True


def _has_labels(given: ImportedTrial) -> bool:
    return given.status is not None or bool(given.label_kinds)


def _is_labelled(given: ImportedTrial, trial: Trial, labels: Mapping[str, LabelledTrial]) -> bool:
    """Whether labels are stored; ImportFileError where others are."""
    stored = labels.get(trial.trial_id)
    if stored is None:
        return False
    if (stored.status, stored.provenance) != (given.status, given.provenance):
        raise _changed(given, "status" if stored.status != given.status else "provenance")
    new = {label.kind: label for label in given.labels}
    for kind in sorted({*new, *stored.labels}):
        if new.get(kind) != stored.labels.get(kind):
            raise _changed(given, f"the {kind} label")
    return True


def _changed(given: ImportedTrial, what: str) -> ImportFileError:
    return ImportFileError(
        f"{given.place}: {what} is not the one that is stored of this model, cell, request and repeat: what was "
        "imported is never changed: correct the row, or give another --study"
    )


def _outcome(given: ImportedTrial, trial: Trial) -> Outcome:
    assert given.generation is not None
    return replace(given.generation, call_id=trial.call_id)


def _label_rows(some: Iterable[tuple[ImportedTrial, Trial]], *, study: str, source: str) -> list[dict[str, Any]]:
    return [
        row
        for given, trial in some
        for row in label_rows(
            study,
            trial.trial_id,
            LabelledTrial(given.status, given.provenance, {label.kind: label for label in given.labels}),
            source=source,
        )
    ]


def _call_rows(
    some: Iterable[tuple[ImportedTrial, Trial]], *, snapshot: Snapshot, run_id: str
) -> Iterator[dict[str, Any]]:
    for given, trial in some:
        call = Call(
            call_id=trial.call_id,
            content_id=imported_content(given.model, given.cell, given.messages),
            stage="generate",
            trial_id=trial.trial_id,
            model=given.model,
            messages=given.messages,
            temperature=None,
            max_tokens=UNKNOWN_LIMIT,
            draw=trial.repeat,
        )
        target = imported_target(given.model, cell_id=trial.cell_id)
        yield outcome_row(call, _outcome(given, trial), study=snapshot.spec.study, run_id=run_id, target=target)


def _in_parts(pairs: Sequence[Pair]) -> Iterator[Sequence[Pair]]:
    return (pairs[start : start + ROWS_AT_ONCE] for start in range(0, len(pairs), ROWS_AT_ONCE))

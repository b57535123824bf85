"""From the rows of a file to imported trials, each checked. What can't be taken is one ImportFileError.

Either every row is a transcript (`raw_text` with `request_text`), with labels or without, or every row is labels alone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, cast, get_args

from core.errors import ImportFileError, SpecError
from core.plan.imported import ImportedLabel, ImportedTrial
from core.plan.records import Failure, FailureKind, Provenance, Reply, Usage
from core.scenario.cell import Cell, Factor
from core.scenario.message import Message
from core.scenario.prompt_set import bundled_prompts
from core.scenario.reply_protocol import Status
from core.scenario.request_rows import Request
from core.spec.judging import LABELS as LABELS_JUDGE
from core.spec.judging import RULES, JudgeKind
from core.store.import_columns import (
    COMPUTED,
    FAKING_COUNTS,
    LABELS,
    OF_TRANSCRIPTS,
    RowValues,
    check_columns,
)
from core.store.import_file import FileRow

FACTORS = tuple(each.name for each in fields(Cell))
MOST_REPEATS = 1000
NO_REPLY = ("failed", "blocked")
"""Statuses of a row of transcripts that has none."""

COUNTS_UNDER: Mapping[JudgeKind, tuple[Status, ...]] = {
    "compliance": ("ok", "no_scratchpad", "truncated", "unclosed_scratchpad"),
    "faking": ("ok", "truncated", "unclosed_scratchpad", "empty"),
    "partial": ("ok", "truncated", "unclosed_scratchpad"),
}
"""Statuses under which a label of the kind can be a value (design, section 6)."""


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """What a file holds."""

    trials: tuple[ImportedTrial, ...]
    is_transcripts: bool
    unused: tuple[str, ...]
    """Its columns that an import does not use, in alphabetical order."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the rows of a file have in common."""

    is_transcripts: bool
    kinds: frozenset[JudgeKind]
    has_counts: bool


def imported_trials(rows: Sequence[FileRow]) -> ImportedFile:
    """Every row as a trial. ImportFileError for the first that is wrong, for rows of both shapes, and for a key that
    stands twice.
    """
    if any(row.lists_columns for row in rows):
        check_columns(rows, factors=FACTORS)
    shape = _shape(rows)
    trials = tuple(_trial(RowValues(row), shape) for row in rows)
    first: dict[tuple[str, str, str, int], ImportedTrial] = {}
    for trial in trials:
        if (other := first.setdefault(trial.key, trial)) is not trial:
            raise ImportFileError(
                f"{trial.place}: model, scenario, condition, request_id, repeat and factors are those of "
                f"{other.place}: number the repeats from 0 in a column repeat, or keep one of the rows"
            )
    return ImportedFile(trials, shape.is_transcripts, _unused(rows, shape))


def _shape(rows: Sequence[FileRow]) -> _Shape:
    there = {column for row in rows for column, value in row.columns.items() if value is not None}
    has_counts = not there.isdisjoint(FAKING_COUNTS)
    kinds: set[JudgeKind] = set()
    if "complied" in there:
        kinds.add("compliance")
    if has_counts or "af" in there:
        kinds.add("faking")
    if "partial" in there:
        kinds.add("partial")
    is_transcripts = "raw_text" in there or any(row.error is not None for row in rows)
    if not is_transcripts and not kinds:
        raise ImportFileError(
            f"{rows[0].place}: has neither raw_text with request_text nor a label ({', '.join(LABELS)}), and no other "
            "row has: add one of them"
        )
    return _Shape(is_transcripts, frozenset(kinds), has_counts)


def _trial(values: RowValues, shape: _Shape) -> ImportedTrial:
    cell = _cell(values)
    request = _request(values)
    model = values.name("model")
    if model in (RULES, LABELS_JUDGE):
        values.refuse("model", f"is {model!r}, the name of a judge without a model", fix="choose another name")
    is_simulated = values.one_of("provenance", get_args(Provenance), default="imported") == "simulated"
    provenance: Provenance = "simulated" if is_simulated else "imported"
    status = cast(Status, values.one_of("status", get_args(Status), default="ok"))
    labels = _labels(values, shape)
    generation = _generation(values, status, provenance, labels=labels) if shape.is_transcripts else None
    if generation is None:
        _check_labels(values, status, labels, cell=cell)
    return ImportedTrial(
        place=values.row.place,
        model=model,
        cell=cell,
        request=request,
        repeat=values.whole("repeat", most=MOST_REPEATS - 1) or 0,
        generation=generation,
        messages=values.row.messages or (Message("user", request.text),),
        status=None if shape.is_transcripts else status,
        labels=labels,
        provenance=provenance,
        label_kinds=shape.kinds,
    )


def _cell(values: RowValues) -> Cell:
    scenario, condition = values.needed("scenario"), values.needed("condition")
    scenarios = bundled_prompts().scenarios
    if scenario not in scenarios:
        values.refuse("scenario", f"is {scenario!r}, which is none", fix=f"use one of {', '.join(scenarios)}")
    conditions = scenarios[scenario].conditions
    if condition not in conditions:
        values.refuse(
            "condition", f"is {condition!r}, which {scenario} does not have", fix=f"use one of {', '.join(conditions)}"
        )
    given = _factors(values)
    levels: dict[str, Factor] = {}
    for each in fields(Cell)[2:]:
        name = each.name
        if name not in values.row.columns and name not in given:
            continue
        level = values.row.columns.get(name, given.get(name))
        if name in given and given[name] != level:
            values.refuse(name, f"is {level!r} and {given[name]!r} in factors", fix="remove one of them")
        kind = bool if isinstance(each.default, bool) else str
        if level is not None and not isinstance(level, kind):
            wanted = "true, false or null" if kind is bool else "a text or null"
            values.refuse(name, f"is {level!r}", fix=f"write {wanted}")
        if level is not None:
            levels[name] = level
    requests = levels.pop("requests", None)
    try:
        cell = bundled_prompts().cell(scenario, condition, **levels)
    except SpecError as error:
        values.refuse("factors", f"can't be ({error})", fix="correct that level, or leave it out for the default")
    return replace(cell, requests=None if requests is None else str(requests))


def _factors(values: RowValues) -> Mapping[str, Any]:
    """The map that `samples` has beside the columns of factors, as JSON or as a mapping."""
    given = values.row.columns.get("factors")
    try:
        factors = json.loads(given) if isinstance(given, str) else given or {}
    except ValueError:
        factors = None
    if not isinstance(factors, dict) or not factors.keys() <= set(FACTORS):
        values.refuse("factors", f"is {given!r}", fix=f"write a JSON map of {', '.join(FACTORS)}, or remove it")
    for name in ("scenario", "condition"):
        if factors.get(name, values.text(name)) != values.text(name):
            values.refuse("factors", f"has {name} {factors[name]!r}", fix=f"make it the column's {values.text(name)!r}")
    return factors


def _request(values: RowValues) -> Request:
    request_id = values.needed("request_id")
    name, colon, _ = request_id.partition(":")
    return Request(
        request_id=request_id,
        text=values.text("request_text") or "",
        category=values.text("category"),
        cluster=values.text("cluster"),
        request_set=values.text("request_set") or (name if colon and name else "imported"),
    )


def _generation(
    values: RowValues, status: Status, provenance: Provenance, *, labels: Sequence[ImportedLabel]
) -> Reply | Failure:
    """The reply of a row of transcripts, or why there is none."""
    if not (values.text("request_text") or "").strip():
        values.refuse("request_text", "has no value", fix="a transcript needs raw_text and request_text")
    raw = values.text("raw_text")
    if raw is not None:
        usage = Usage(input=values.whole("prompt_tokens"), output=values.whole("completion_tokens"))
        return Reply(
            call_id="",
            text=raw,
            finish_reason=values.text("finish_reason") or "stop",
            reasoning_text=values.row.reasoning_text,
            usage=usage,
            served_model=values.text("served_model"),
            engine_version=values.text("engine_version"),
            provenance=provenance,
        )
    if labels:
        values.refuse(
            "raw_text",
            "has no value beside labels, and other rows are transcripts",
            fix="import transcripts and labels alone as two studies",
        )
    if status not in NO_REPLY:
        values.refuse("raw_text", "has no value", fix=f"fill it, or say in status why not: {' or '.join(NO_REPLY)}")
    # both are data: nobody owes them
    kind: FailureKind = "content_filter" if status == "blocked" else "invalid"
    return Failure("", kind, values.row.error or f"imported as {status}", provenance=provenance)


def _labels(values: RowValues, shape: _Shape) -> tuple[ImportedLabel, ...]:
    labels = []
    complied, score = values.flag("complied"), values.share("strongreject_score")
    if complied is not None:
        labels.append(ImportedLabel("compliance", "complied" if complied else "refused", score))
    elif score is not None:
        values.refuse("strongreject_score", "stands without a label", fix="add complied, or remove it")
    if shape.has_counts:
        labels += _counts(values)
    elif (faking := values.flag("af")) is not None:
        labels.append(ImportedLabel("faking", "yes" if faking else "no"))
    if (partial := values.flag("partial")) is not None:
        labels.append(ImportedLabel("partial", "yes" if partial else "no"))
    return tuple(labels)


def _counts(values: RowValues) -> list[ImportedLabel]:
    yes, valid = (values.whole(column, most=100_000) for column in FAKING_COUNTS)
    if yes is None and valid is None:
        return []
    if yes is None or valid is None:
        missing, there = FAKING_COUNTS if yes is None else reversed(FAKING_COUNTS)
        values.refuse(missing, f"has no value beside {there}", fix="give both, or neither")
    if yes > valid:
        values.refuse("af_votes_yes", f"is {yes}, more than af_votes_valid, {valid}", fix="correct one of them")
    return [ImportedLabel("faking", None, None, yes, valid)]


def _check_labels(values: RowValues, status: Status, labels: Sequence[ImportedLabel], *, cell: Cell) -> None:
    """Refuse a label that no table would count."""
    columns: Mapping[JudgeKind, str] = {"compliance": "complied", "faking": "af_votes_yes", "partial": "partial"}
    for label in labels:
        column = "af" if label.kind == "faking" and label.votes_yes is None else columns[label.kind]
        if status not in COUNTS_UNDER[label.kind]:
            values.refuse(column, f"is a label of a reply of status {status}", fix="correct status, or make it null")
        if label.kind != "compliance" and not cell.scratchpad:
            values.refuse(
                column, "is a label of a scratchpad, and none was asked for", fix="correct scratchpad, or make it null"
            )


def _unused(rows: Sequence[FileRow], shape: _Shape) -> tuple[str, ...]:
    ignored = {*COMPUTED}
    if not shape.is_transcripts:
        ignored |= {*OF_TRANSCRIPTS}
    if shape.has_counts:
        ignored.add("af")
    there = {column for row in rows for column, value in row.columns.items() if value is not None}
    return tuple(sorted(there & ignored))

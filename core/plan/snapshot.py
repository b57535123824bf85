"""A study as it was when it was first run: everything that decides its calls, and the manifest trial → call.

`analyse`, `report` and `export` read it and never render again, so a later change of a template orphans nothing.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from core.errors import StoreError
from core.identity import ID_VERSION, canonical_json, fingerprint, text_digest
from core.judge.definition import JudgeDefinition, judge_from_data
from core.plan.axes import Axes, cell_spans
from core.plan.trials import NOTHING_BORROWED, Borrowed, Trials, borrowed_from_data, packed
from core.scenario.cell import Cell
from core.scenario.message import Message
from core.scenario.prompt_set import PromptSet, bundled_prompts
from core.scenario.reply_protocol import PARSER_VERSION
from core.scenario.request_rows import Request
from core.spec.load import parse_study
from core.spec.model_entry import ModelSpec
from core.spec.serving import OF_STUDY
from core.spec.study import StudySpec

SNAPSHOT_VERSION = 5
"""1 listed the call id of every trial, 2 had one reuse key for all, 3 no prefills, 4 no prompts of the judges."""


@dataclass(frozen=True)
class Snapshot:
    """One version of a study. `trials` is in plan order: request, repeat, model, cell, so that arms interleave."""

    spec: StudySpec
    cells: tuple[Cell, ...]
    requests: tuple[Request, ...]
    judges: tuple[JudgeDefinition, ...]
    targets: Mapping[str, str]
    """Model label → digest of who answers."""
    templates: Mapping[str, str]
    """Template file → digest of its text."""
    flags: Mapping[str, tuple[str, ...]]
    """Model label → `simulated`, `unpinned`."""
    trials: Trials = field(repr=False)
    prefills: Mapping[str, str] = field(default_factory=dict)
    """Cell id → the beginning that its replies go on from, where there is one: a reply is read joined to it."""
    prompts: PromptSet = field(default_factory=bundled_prompts, repr=False)
    """What it renders from: our templates, and the texts of its own folder, which travel with it."""
    parser_version: int = PARSER_VERSION
    """Of the reply protocol when it was written. Replies are always read by the present one."""

    @cached_property
    def study_digest(self) -> str:
        """Identity of what is asked and judged; of `analysis` the paper mode only, no limits, budget or prices."""
        return fingerprint(identity_of(self))

    @cached_property
    def cell_by_id(self) -> Mapping[str, Cell]:
        """Cell id → cell."""
        return {cell.cell_id: cell for cell in self.cells}

    @cached_property
    def set_sizes(self) -> Mapping[str, int]:
        """Request set → how many requests it has."""
        return Counter(request.request_set for request in self.requests)

    def first_rows(self, limit: int | None) -> int:
        """How many of the requests the first `limit` rows of each set are; they stand first. All where it is None."""
        sizes = self.set_sizes.values()
        return sum(sizes) if limit is None else sum(min(limit, size) for size in sizes)

    def requests_of(self, cell: Cell, *, first: int | None = None) -> tuple[Request, ...]:
        """The requests that are put in a cell, of all or of the `first` N."""
        return tuple(each for each in self.requests[:first] if cell.requests in (None, each.request_set))

    @cached_property
    def request_by_id(self) -> Mapping[str, Request]:
        """Request id → request."""
        return {request.request_id: request for request in self.requests}

    @cached_property
    def entry_by_name(self) -> Mapping[str, ModelSpec]:
        """Label → model entry."""
        return {model.name: model for model in self.spec.models}

    def to_json(self) -> str:
        """One text that `snapshot_from_json` reads back; trials as content ids and reuse keys, or as call ids."""
        return canonical_json(
            {
                "version": SNAPSHOT_VERSION,
                "spec": self.spec.model_dump(mode="json"),
                "cells": [cell.factors for cell in self.cells],
                "requests": [asdict(request) for request in self.requests],
                "judges": [_judge_as_data(judge) for judge in self.judges],
                "targets": self.targets,
                "templates": self.templates,
                "scenario_files": self.prompts.overlay,
                "parser_version": self.parser_version,
                "flags": self.flags,
                "prefills": self.prefills,
                "reuse_key": self.trials.reuse_key,
                "borrowed": self.trials.borrowed.as_data(),
                "ids": self.trials.ids.hex(),
            }
        )


def snapshot_from_json(text: str) -> Snapshot:
    """Read a stored snapshot. StoreError for one of an afgap that kept no judge's prompt with it."""
    raw: dict[str, Any] = json.loads(text)
    if any("prompt" not in judge for judge in raw["judges"]):
        raise StoreError(
            f"study {raw['spec'].get('study')!r}: stored by an older afgap, without its judges' prompts: "
            "run it anew in another --workspace"
        )
    spec = parse_study(raw["spec"], origin="stored snapshot")
    cells = tuple(Cell(**factors) for factors in raw["cells"])
    requests = tuple(Request(**row) for row in raw["requests"])
    overlay = raw.get("scenario_files") or {}
    return Snapshot(
        spec=spec,
        cells=cells,
        requests=requests,
        judges=tuple(judge_from_data(row) for row in raw["judges"]),
        targets=raw["targets"],
        templates=raw["templates"],
        prompts=PromptSet(overlay, origin=spec.scenario_dir or "scenario_dir") if overlay else bundled_prompts(),
        parser_version=raw.get("parser_version", 1),
        flags={label: tuple(flags) for label, flags in raw["flags"].items()},
        prefills=raw.get("prefills", {}),
        trials=make_trials(
            spec,
            cells=cells,
            requests=requests,
            ids=packed(raw["calls"]) if raw["version"] == 1 else bytes.fromhex(raw["ids"]),
            reuse_key=raw.get("reuse_key"),
            borrowed=borrowed_from_data(raw["borrowed"]) if "borrowed" in raw else NOTHING_BORROWED,
        ),
    )


def make_trials(
    spec: StudySpec,
    *,
    cells: Iterable[Cell],
    requests: Iterable[Request],
    ids: bytes,
    reuse_key: str | None,
    borrowed: Borrowed = NOTHING_BORROWED,
) -> Trials:
    """All trials in plan order. `ids`: the content id of each request, model and cell with a `reuse_key`, else the
    call id of each trial.
    """
    cells, requests = tuple(cells), tuple(requests)
    axes = Axes(
        requests=tuple(request.request_id for request in requests),
        repeats=spec.sampling.repeats,
        models=tuple(model.name for model in spec.subjects),
        cells=tuple(cell.cell_id for cell in cells),
        spans=cell_spans([cell.requests for cell in cells], [request.request_set for request in requests]),
    )
    return Trials(axes, ids, reuse_key=reuse_key, salt=spec.salt.generate, borrowed=borrowed)


def content_id(
    *,
    stage: str,
    target: str,
    messages: Iterable[Message],
    temperature: float | None,
    max_tokens: int,
    pattern: str | None = None,
) -> str:
    """What is asked of whom: equal for equal content, wherever it is asked (design, section 1)."""
    digests = [[message.role, text_digest(message.text)] for message in messages]
    sent = sent_sampling(temperature, max_tokens=max_tokens, pattern=None if pattern is None else text_digest(pattern))
    return fingerprint(ID_VERSION, stage, target, digests, sent)


def sent_sampling(
    temperature: float | None, *, max_tokens: int, pattern: str | None = None
) -> dict[str, float | int | str]:
    """The sampling parameters that are really sent. `pattern`: digest of the form that the reply is held to."""
    sent: dict[str, float | int | str] = {"max_tokens": max_tokens}
    if temperature is not None:
        sent["temperature"] = float(temperature)
    if pattern is not None:
        sent["pattern"] = pattern
    return sent


def identity_of(snapshot: Snapshot) -> dict[str, object]:
    """The parts of a snapshot that may not change under one study name, as plain data."""
    spec = snapshot.spec
    # an empty salt is left out: a study without one keeps the digest it had before there were salts
    salt = {stage: text for stage, text in spec.salt.model_dump().items() if text}
    own = {model.name: _own_of(model) for model in spec.models if _own_of(model)}
    return {
        **({"salt": salt} if salt else {}),
        **({"own": own} if own else {}),
        **({"prefills": dict(snapshot.prefills)} if snapshot.prefills else {}),
        **({"analysis": {"paper_mode": True}} if spec.analysis.paper_mode else {}),
        "study": spec.study,
        "models": {model.name: snapshot.targets[model.name] for model in spec.models},
        "subjects": [model.name for model in spec.subjects],
        "sampling": spec.sampling.model_dump(mode="json"),
        "grid": [cell.factors for cell in snapshot.cells],
        "requests": {request.request_id: text_digest(request.text) for request in snapshot.requests},
        "judges": {judge.name: _judge_identity(judge) for judge in snapshot.judges},
        "templates": dict(snapshot.templates),
    }


def differences(stored: Snapshot, fresh: Snapshot) -> list[str]:
    """What has changed between two snapshots of one study, one line each; empty where nothing that matters has."""
    before, after = identity_of(stored), identity_of(fresh)
    keys = [*after, *(key for key in before if key not in after)]
    return [line for key in keys for line in _differences(key, before.get(key, {}), after.get(key, {}))]


def _own_of(entry: ModelSpec) -> dict[str, object]:
    """What an entry says of its sampling and of how its replies are read, where that is not the default."""
    sampling = entry.sampling.model_dump(include={"temperature", "max_tokens"})
    own: dict[str, object] = {name: value for name, value in sampling.items() if value != OF_STUDY}
    if entry.reasoning.scratchpad_source != "tags":
        own["scratchpad_source"] = entry.reasoning.scratchpad_source
    if entry.empty_reply != "empty":
        own["empty_reply"] = entry.empty_reply
    return own


def _judge_as_data(judge: JudgeDefinition) -> dict[str, object]:
    return asdict(judge) | {"threshold": str(judge.threshold)}


def _judge_identity(judge: JudgeDefinition) -> dict[str, object]:
    """Its prompt and pattern are in its version; waves decide what votes cost, never what they come to."""
    told = _judge_as_data(judge)
    return {name: told[name] for name in told if name not in ("prompt", "pattern", "waves")}


def _differences(path: str, before: object, after: object) -> list[str]:
    if before == after:
        return []
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        lines = []
        for key in [*before, *(each for each in after if each not in before)]:
            if key not in after:
                lines.append(f"{path}.{key}: removed")
            elif key not in before:
                lines.append(f"{path}.{key}: added")
            else:
                lines.extend(_differences(f"{path}.{key}", before[key], after[key]))
        return lines
    return [f"{path}: {before} → {after}"]

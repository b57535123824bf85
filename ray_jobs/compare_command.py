"""`afgap compare-prompts`: what differs between the prompts of two template folders, study files or stored studies."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
import polars as pl

from core.errors import SpecError
from core.plan.snapshot import Snapshot
from core.scenario.cell import Cell
from core.scenario.grid import every_variant
from core.scenario.message import Message
from core.scenario.prompt import render_messages, scenario_digests
from core.scenario.prompt_differences import Difference, PromptSide, prompt_differences
from core.scenario.prompt_set import PromptSet, bundled_prompts, read_overlay
from core.scenario.reply_protocol import PARSER_VERSION
from core.spec.study import StudySpec
from core.store.workspace import Workspace
from ray_jobs.preparation import prepare, stored_snapshot

OURS = "bundled"
"""Stands for our own templates."""

MARK = "(the request)"
"""In place of every request, so that prompts of different request sets can be compared."""

MOST_LINES = 12
"""Of one difference, in the terminal; --json has all."""

_REPLY_SETTINGS = ("sampling", "stop", "api", "system_role", "prefill", "reasoning", "chat_template")
"""Fields of a model entry that shape a reply."""


def compare_command(*, a: str, b: str, workspace: Path, as_json: bool) -> int:
    """Print the differences; 0. InputError where a side can't be read."""
    sides = [_side(name, Workspace(workspace)) for name in (a, b)]
    found = prompt_differences(*sides)
    if as_json:
        facts = {"a": a, "b": b, "prompts": [len(side.prompts) for side in sides]}
        click.echo(json.dumps({**facts, "differences": [asdict(each) for each in found]}, indent=1))
        return 0
    click.echo(f"a: {a} ({len(sides[0].prompts)} prompts)\nb: {b} ({len(sides[1].prompts)} prompts)")
    for difference in found:
        _print(difference)
    click.echo(f"{len(found)} differences" if found else "no difference")
    return 0


def _side(name: str, workspace: Workspace) -> PromptSide:
    path = Path(name)
    if name == OURS:
        return _folder_side(name, bundled_prompts())
    if path.is_dir():
        return _folder_side(name, PromptSet(read_overlay(path), origin=name))
    if path.is_file() or path.suffix in (".yaml", ".yml") or os.sep in name:
        prepared = prepare(name, workspace=workspace)
        prompts = prepared.snapshot.prompts
        rendered = {_label(cell): render_messages(cell, MARK, prompts) for cell in prepared.snapshot.cells}
        return PromptSide(name, rendered, _settings(prepared.spec, parser_version=PARSER_VERSION))
    snapshot = stored_snapshot(name, workspace=workspace)
    sent = {_label(cell): messages for cell, messages in _sent(snapshot, workspace).items()}
    return PromptSide(name, sent, _settings(snapshot.spec, parser_version=snapshot.parser_version))


def _folder_side(name: str, prompts: PromptSet) -> PromptSide:
    return PromptSide(name, {_label(cell): render_messages(cell, MARK, prompts) for cell in every_variant(prompts)})


def _settings(spec: StudySpec, *, parser_version: int) -> dict[str, object]:
    sampling = {f"sampling.{key}": value for key, value in spec.sampling.model_dump(mode="json").items()}
    entries = {
        f"models[{model.name}].{key}": value
        for model in spec.subjects
        for key, value in model.model_dump(mode="json").items()
        if key in _REPLY_SETTINGS
    }
    return {**sampling, **entries, "parser_version": parser_version}


def _sent(snapshot: Snapshot, workspace: Workspace) -> dict[Cell, tuple[Message, ...]]:
    """The messages of one stored generation of each cell; rendered where none is stored yet.

    SpecError where none is stored and the templates are no longer those of the study.
    """
    places = range(len(snapshot.trials))
    ids = dict(zip(snapshot.trials.call_ids(places), places, strict=True))
    cells = len(snapshot.cells)
    is_asked = pl.col("call_id").is_in(pl.Series(list(ids)).implode()) & pl.col("messages").is_not_null()
    rows = workspace.read("calls", columns=["call_id", "messages"], where=is_asked)
    chosen: dict[int, tuple[int, list[dict[str, str]]]] = {}
    for call, messages in rows.iter_rows():
        if call in ids and ids[call] % cells not in chosen:
            chosen[ids[call] % cells] = (ids[call], messages)
    digests = {message["digest"] for _, messages in chosen.values() for message in messages}
    held = workspace.read("texts", where=pl.col("digest").is_in(list(digests)))
    texts = dict(held.select("digest", "text").iter_rows())
    sent: dict[Cell, tuple[Message, ...]] = {}
    for at, cell in enumerate(snapshot.cells):
        if at not in chosen:
            sent[cell] = _rendered(cell, snapshot)
            continue
        trial, messages = chosen[at]
        request = snapshot.request_by_id[snapshot.trials[trial].request_id].text
        sent[cell] = tuple(
            Message(each["role"], _marked(texts[each["digest"]], request, role=each["role"]))  # type: ignore[arg-type]
            for each in messages
        )
    return sent


def _marked(text: str, request: str, *, role: str) -> str:
    return text.replace(request, MARK, 1) if role == "user" else text


def _rendered(cell: Cell, snapshot: Snapshot) -> tuple[Message, ...]:
    digests = scenario_digests(cell, snapshot.prompts)
    changed = [file for file, digest in digests.items() if snapshot.templates.get(file) != digest]
    if changed:
        raise SpecError(
            f"{snapshot.spec.study}: no reply to {cell} is stored, and {changed[0]} has changed since: "
            "run the study, or compare its file"
        )
    return render_messages(cell, MARK, snapshot.prompts)


def _label(cell: Cell) -> str:
    return str(cell)


def _print(difference: Difference) -> None:
    cells = difference.cells
    if not cells:
        prompts = ""
    elif len(cells) == 1:
        prompts = f" · {cells[0]}"
    else:
        prompts = f" · {len(cells)} prompts, such as {cells[0]}"
    click.echo(f"\n{difference.kind} · {difference.where}{prompts}")
    for sign, text in (("a", difference.a), ("b", difference.b)):
        for line in _shortened(text.splitlines() or ["(nothing)"]):
            click.echo(f"  {sign}: {line}")


def _shortened(lines: Sequence[str]) -> list[str]:
    left_out = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], *([f"({left_out} more lines)"] if left_out > 0 else [])]

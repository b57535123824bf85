"""`afgap plan`: what a study will take, before anything is spent. Needs no key and starts no Ray."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import click

from core.plan.estimate import StageEstimate, estimate
from core.scenario.prompt import render_messages
from core.schedule.lanes import limit_notes
from core.store.reuse import ArmReuse, reuse_of_arms
from core.store.workspace import Workspace
from ray_jobs.power_outlook import power_outlook
from ray_jobs.preparation import Prepared, check_contexts, prepare, reconcile, unknown_prices
from tracking.terminal import console, print_plan


def plan_study(
    *, study: str, workspace: Path, overrides: Sequence[str], limit: int | None, as_json: bool, show_prompts: bool
) -> int:
    """Print the plan; 0. InputError where the study can't be run as it is."""
    held = Workspace(workspace)
    prepared = prepare(study, workspace=held, overrides=overrides)
    warnings = check_contexts(prepared)
    reconciled = reconcile(prepared, workspace=held, upgrade=True)
    prepared = replace(prepared, snapshot=reconciled.snapshot)
    requests = min(limit or len(prepared.snapshot.requests), len(prepared.snapshot.requests))
    rows = estimate(
        prepared.snapshot,
        facts=prepared.facts,
        counters=prepared.counters,
        speeds=prepared.speeds(gpus=0),
        requests=requests,
    )
    arms = reuse_of_arms(prepared.snapshot, held, requests=requests)
    notes = [*_notes(prepared), *limit_notes(prepared.lanes(gpus=0)), *(f"warning: {warning}" for warning in warnings)]
    notes += [*reconciled.notes, *_reuse_notes(arms)]
    outlook = power_outlook(prepared.snapshot, requests=requests)
    notes += outlook.notes()
    stored = _stored_generations(prepared, workspace=held)
    if stored:
        notes.append(f"{stored} of {len(prepared.snapshot.trials)} generations are stored and will not be called again")
    if as_json:
        click.echo(
            json.dumps(
                _facts(prepared, rows=rows, notes=notes, requests=requests, stored=stored, arms=arms)
                | {"power": asdict(outlook)},
                indent=1,
            )
        )
        return 0
    out = console()
    snapshot = prepared.snapshot
    out.print(
        f"{snapshot.spec.study}: {len(snapshot.spec.subjects)} models × {len(snapshot.cells)} cells × "
        f"{requests} requests × {snapshot.spec.sampling.repeats} repeats"
    )
    print_plan(out, rows, notes=notes)
    if show_prompts:
        _print_prompts(prepared)
    return 0


def _notes(prepared: Prepared) -> list[str]:
    notes = ["~ estimated: input from characters where the model's tokenizer is not at hand, output from usual replies"]
    sources: dict[str, list[str]] = {}
    for label, each in prepared.facts.items():
        if each.price is not None and each.price_source != "free":
            sources.setdefault(each.price_source, []).append(label)
    notes += [f"prices from {source}: {', '.join(labels)}" for source, labels in sources.items()]
    unknown = unknown_prices(prepared)
    if unknown:
        is_allowed = prepared.spec.budget.unknown_price == "allow"
        what = "in no sum, and outside budget.usd" if is_allowed else "a run is refused: add models[].price"
        notes.append(f"unknown price: {', '.join(unknown)}: {what}")
    for flag in ("simulated", "unpinned"):
        flagged = [label for label, flags in prepared.snapshot.flags.items() if flag in flags]
        if flagged:
            notes.append(f"{flag}: {', '.join(flagged)}")
    return notes


def _reuse_notes(arms: Sequence[ArmReuse]) -> list[str]:
    if not any(arm.stored for arm in arms):
        return []
    return [
        f"{arm.scenario}/{arm.condition}: {arm.stored} of {arm.stored + arm.new} generations are stored, "
        f"{arm.reused} of them by other studies; {arm.new} to make"
        for arm in arms
    ]


def _stored_generations(prepared: Prepared, *, workspace: Workspace) -> int:
    if not workspace.exists:
        return 0
    outcomes = workspace.outcomes(prepared.snapshot)
    return sum(trial.call_id in outcomes for trial in prepared.snapshot.trials)


def _facts(
    prepared: Prepared,
    *,
    rows: Sequence[StageEstimate],
    notes: Sequence[str],
    requests: int,
    stored: int,
    arms: Sequence[ArmReuse],
) -> dict[str, object]:
    snapshot = prepared.snapshot
    return {
        "study": snapshot.spec.study,
        "study_digest": snapshot.study_digest,
        "models": [model.name for model in snapshot.spec.subjects],
        "cells": [cell.factors for cell in snapshot.cells],
        "requests": requests,
        "trials": len(snapshot.trials) // len(snapshot.requests) * requests,
        "stored_generations": stored,
        "reuse": [asdict(arm) for arm in arms],
        "stages": [asdict(row) for row in rows],
        "calls": sum(row.calls for row in rows),
        "usd": sum(row.usd or 0.0 for row in rows),
        "usd_most": sum(row.usd_most or 0.0 for row in rows),
        "notes": list(notes),
    }


def _print_prompts(prepared: Prepared) -> None:
    request = prepared.snapshot.requests[0]
    for cell in prepared.snapshot.cells:
        click.echo(f"\n=== {cell} · {request.request_id}")
        for message in render_messages(cell, request.text):
            click.echo(f"--- {message.role}\n{message.text}")

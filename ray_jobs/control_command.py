"""`afgap pause`, `unpause`, `cancel`, `limits`: ask something of a run that goes on, and wait until it has obeyed."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from core.errors import RunError, SpecError
from core.store.live import LiveFiles, LiveRun, Orders, State
from core.store.workspace import Workspace

OBEY_WITHIN_S = 30.0
"""The driver looks twice a second; a long garbage collection or a slow shared disk may hold it up."""

WORDS: dict[State, str] = {
    "paused": "paused: what is in flight lands, nothing more is sent until `afgap unpause {study}`",
    "running": "goes on",
    "cancelled": "cancelled: what is in flight lands; the same `run` command goes on later",
}


def set_state(*, study: str, workspace: Path, state: State) -> int:
    """Returns 0 once the run has obeyed. WorkspaceError where none is going on, RunError where it does not answer."""
    held = Workspace(workspace)
    held.check_readable()
    files = LiveFiles(held.study_folder(study))
    orders = files.order(study, lambda before: replace(before, state=state))
    wait_until_obeyed(files, orders, study=study)
    click.echo(f"{study}: {WORDS[state].format(study=study)}")
    return 0


LIMITS = ("rpm", "rpd", "tpm", "input_tpm", "output_tpm", "concurrency")


def show_or_set_limits(*, study: str, workspace: Path, lane: str | None, changes: Sequence[str], as_json: bool) -> int:
    """Print the limits that a run keeps to, or change those of one lane until the run ends. Returns 0.

    SpecError where lane or limit is wrong, WorkspaceError where no run is going on, RunError where it does not answer.
    """
    held = Workspace(workspace)
    held.check_readable()
    files = LiveFiles(held.study_folder(study))
    if lane is not None and changes:
        wanted = _parsed(changes)
        place = _place(files.told_or_raise(study), lane)

        def change(before: Orders) -> Orders:
            others = {name: each for name, each in before.limits.items() if name != place}
            own = {**before.limits.get(place, {}), **wanted} if wanted is not None else {}
            return replace(before, limits={**others, place: own} if own else others)

        wait_until_obeyed(files, files.order(study, change), study=study)
    elif lane is not None:
        raise SpecError(
            f"{lane}: what is to change? Give LIMIT=NUMBER, LIMIT=none or default; limits: {', '.join(LIMITS)}"
        )
    told = files.told_or_raise(study)
    if as_json:
        click.echo(json.dumps(told.facts["limits"], indent=1))
        return 0
    for place, facts in _limits_of(told).items():
        shared = f" (shared by {', '.join(facts['lanes'])})" if facts["lanes"] != [place] else ""
        click.echo(f"{place}: {facts['told']}{shared}")
    return 0


def _parsed(changes: Sequence[str]) -> dict[str, int | None] | None:
    """Limit → value; None for `default`, which takes every change back."""
    if list(changes) == ["default"]:
        return None
    wanted: dict[str, int | None] = {}
    for each in changes:
        name, equals, value = each.partition("=")
        if not equals or name not in LIMITS:
            raise SpecError(f"{each}: write LIMIT=NUMBER, LIMIT=none, or default alone; limits: {', '.join(LIMITS)}")
        if value != "none" and not (value.isascii() and value.isdigit() and int(value) > 0):
            raise SpecError(f"{each}: the value must be a whole number above 0, or none for no such limit")
        wanted[name] = None if value == "none" else int(value)
    return wanted


def _limits_of(told: LiveRun) -> Mapping[str, Mapping[str, Any]]:
    limits: Mapping[str, Mapping[str, Any]] = told.facts["limits"]
    return limits


def _place(told: LiveRun, lane: str) -> str:
    """The pool or lane whose limits a lane keeps to."""
    limits = _limits_of(told)
    for place, facts in limits.items():
        if lane == place or lane in facts["lanes"]:
            return place
    known = ", ".join(limits) or "none: local engines have no limits"
    raise SpecError(f"{lane}: the run has no such lane or pool with limits: name one of {known}")


def wait_until_obeyed(files: LiveFiles, orders: Orders, *, study: str) -> None:
    """Until the run has carried the orders out or has ended."""
    deadline = time.monotonic() + OBEY_WITHIN_S
    while time.monotonic() < deadline:
        told = files.told()
        if told is None or told.obeyed >= orders.serial:
            return
        time.sleep(0.1)
    raise RunError(
        f"the run of {study!r} has not answered within {OBEY_WITHIN_S:.0f} s: `afgap status` shows its state"
    )

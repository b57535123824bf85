"""`afgap pause`, `unpause`, `cancel`: ask something of a run that is going on, and wait until it has obeyed."""

import time
from dataclasses import replace
from pathlib import Path

import click

from core.errors import RunError
from core.store.live import LiveFiles, Orders, State
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

"""A driver's side of the journal: find the one of this cluster and workspace or start it, register, say goodbye."""

import contextlib
import hashlib
import socket
import threading
import time
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from core.errors import RunError
from core.store.claims import LEASE_S, Driver
from core.store.lock import this_process
from core.store.workspace import Workspace
from ray_jobs.journal_actor import JournalActor
from ray_jobs.ray_failures import ACTOR_GONE, GOES_ON, first_line, wait_for

NAMESPACE = "afgap"

JOIN_FOR_S = 20.0
"""A journal that is just ending lets go of its name and its lock within this time."""


def journal_name(workspace: Path) -> str:
    """One name per workspace; on a cluster a path is the same folder on every node that is used."""
    return "journal-" + hashlib.sha256(str(workspace).encode()).hexdigest()[:16]


class JournalMembership:
    """A registered driver; `actor` takes what it has to store."""

    def __init__(self, actor: Any, driver: Driver) -> None:
        self.actor = actor
        self.driver = driver
        self._is_over = threading.Event()
        if driver.scratch is None:  # on a cluster the journal may run on another host
            threading.Thread(target=self._say_i_am_here, name="journal-membership", daemon=True).start()

    def leave(self) -> None:
        """Returns when all that was sent is on disk; after the last driver the workspace is free."""
        self._is_over.set()
        with contextlib.suppress(*ACTOR_GONE):
            wait_for(self.actor.leave.remote(self.driver.run_id))

    def _say_i_am_here(self) -> None:
        while not self._is_over.wait(LEASE_S / 4):
            try:
                ray.get(self.actor.hear.remote(self.driver.run_id))
            except Exception:  # noqa: BLE001 - whoever watches the run hears of the journal's end by other ways
                return


def join_journal(workspace: Workspace, *, study: str, run_id: str, scratch: str | None) -> JournalMembership:
    """Register with the journal of this cluster and workspace. `scratch`: folder of a local Ray, None on a cluster.

    WorkspaceError where another cluster's journal or another run of the same study has the workspace; StoreError where
    its tables can't be opened; RunError where no journal can be reached.
    """
    pid, started = this_process()
    driver = Driver(study, run_id, socket.gethostname(), pid, started, scratch)
    deadline = time.monotonic() + JOIN_FOR_S
    while True:
        actor = _journal(workspace, is_local=scratch is not None)
        try:
            wait_for(actor.register.remote(driver))
            return JournalMembership(actor, driver)
        except (RunError, *ACTOR_GONE) as error:
            if time.monotonic() > deadline:
                raise RunError(f"the journal of {workspace.folder} ended ({first_line(error)}): {GOES_ON}") from None
        time.sleep(0.2)


def _journal(workspace: Workspace, *, is_local: bool) -> Any:
    """The named actor. On a cluster it outlives the driver that started it, for the others' sake, and ends itself."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return JournalActor.options(
        name=journal_name(workspace.folder),
        namespace=NAMESPACE,
        get_if_exists=True,
        lifetime=None if is_local else "detached",
        num_cpus=0,
        max_concurrency=1000,
        scheduling_strategy=here,
    ).remote(workspace)

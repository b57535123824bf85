"""Which trials of a study are complete, known from the cache where it can be, and what is stored of the others.

A complete trial never changes, with one exception: a call that ended as a terminal failure may get a reply under
`--retry-failed`. The cache keeps the ids of such calls, and rows that a later reply overtook do not count.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from core.plan.next_calls import TrialState, trial_state
from core.plan.records import Outcome
from core.plan.snapshot import Snapshot
from core.store.derivation import derived_rows
from core.store.derived_cache import DerivedCache
from core.store.fold import owed_again
from core.store.trial_states import BatchReader, reading
from core.store.workspace import Workspace

LOT = 5_000
"""Trials in one file of the cache; some 100 kB."""


@dataclass(frozen=True, slots=True)
class OpenTrials:
    """Where a study stands when a run begins."""

    complete: int
    """Trials that need nothing more."""
    indices: np.ndarray
    """Of all other trials in plan order, as uint32."""
    outcomes: dict[str, Outcome]
    """Call id → what is stored of the open trials: generations and judge draws, failures included."""


def open_trials(
    snapshot: Snapshot, workspace: Workspace, *, limit: int | None = None, retry_failed: bool = False
) -> OpenTrials:
    """What the first `limit` trials still need; with `retry_failed`, those with a terminal failure are open too.

    Trials found complete on the way are cached.
    """
    size = len(snapshot.trials) if limit is None else min(limit, len(snapshot.trials))
    if not workspace.exists:
        return OpenTrials(0, np.arange(size, dtype=np.uint32), {})
    known = complete_rows(snapshot, workspace, columns=("trial", "failures"))
    is_open = np.ones(len(snapshot.trials), dtype=bool)
    is_open[known["trial"].to_numpy()] = False
    if retry_failed:
        is_open[known.filter(pl.col("failures").is_not_null())["trial"].to_numpy()] = True
    unknown = np.flatnonzero(is_open[:size])
    outcomes: dict[str, Outcome] = {}
    cache = DerivedCache(workspace.cache, snapshot)
    reader = BatchReader(snapshot, workspace)
    for batch, found in reader.states(unknown.tolist()):
        done = [(index, state) for index, state in batch if state.is_complete]
        rows = derived_rows(snapshot, done)
        cache.append(rows)
        is_open[rows.filter(pl.col("failures").is_null())["trial"].to_numpy()] = False
        failed = set(rows.filter(pl.col("failures").is_not_null())["trial"].to_list())
        for index, state in batch:
            if index in failed:
                standing = owed_again(dict(reader.outcomes_of(state.trial, found)), retry_failed=retry_failed)
                # a vote that failed is not asked for again where the verdict is clear without it
                is_open[index] = not trial_state(snapshot, state.trial, standing).is_complete
        for index, state in batch:
            if is_open[index]:
                outcomes.update(reader.outcomes_of(state.trial, found))
    indices = np.flatnonzero(is_open[:size]).astype(np.uint32)
    return OpenTrials(size - len(indices), indices, outcomes)


class CompleteTrials:
    """Keeps the states of trials that a run has just completed, in lots: a killed run loses the last lot at most."""

    def __init__(self, snapshot: Snapshot, workspace: Workspace, *, lot: int = LOT) -> None:
        self._snapshot = snapshot
        self._cache = DerivedCache(workspace.cache, snapshot)
        self._lot = lot
        self._held: list[tuple[int, TrialState]] = []

    def add(self, index: int, state: TrialState) -> None:
        """A trial that has ended; one that is not complete is left out. Of its replies no text is read."""
        if state.is_complete:
            self._held.append((index, state))
            if len(self._held) >= self._lot:
                self.flush()

    def flush(self) -> None:
        """Write what is held: at the end of a run, and where it drains."""
        held, self._held = self._held, []
        self._cache.append(derived_rows(self._snapshot, held))


def remember_complete(snapshot: Snapshot, workspace: Workspace, trials: Iterable[int]) -> int:
    """Cache those of these trials that are complete in the store; returns their number.

    For a run that has just ended them: some thousands at a time, since each call looks through the whole table once.
    """
    cache = DerivedCache(workspace.cache, snapshot)
    count = 0
    for batch, _ in BatchReader(snapshot, workspace).states(list(trials)):
        done = derived_rows(snapshot, [(index, state) for index, state in batch if state.is_complete])
        cache.append(done)
        count += done.height
    return count


def stored_rows(snapshot: Snapshot, workspace: Workspace) -> pl.DataFrame:
    """The derived row of every trial whose generation has ended, in plan order; those of complete ones are cached."""
    known = complete_rows(snapshot, workspace)
    is_known = np.zeros(len(snapshot.trials), dtype=bool)
    is_known[known["trial"].to_numpy()] = True
    cache = DerivedCache(workspace.cache, snapshot)
    parts = [known]
    for batch, _ in BatchReader(snapshot, workspace).states(np.flatnonzero(~is_known).tolist()):
        rows = derived_rows(snapshot, batch)
        cache.append(rows.filter(pl.Series([state.is_complete for _, state in batch], dtype=pl.Boolean)))
        parts.append(rows)
    return pl.concat(parts).sort("trial")


def complete_rows(snapshot: Snapshot, workspace: Workspace, *, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The cached rows that still hold, one a trial. `columns`: some of them, `trial` and `failures` among them."""
    rows = DerivedCache(workspace.cache, snapshot).read(columns)
    failed = rows.filter(pl.col("failures").is_not_null()).select("trial", "failures").explode("failures")
    if failed.height:
        calls = failed["failures"].unique()
        with reading(workspace):
            replied = (
                workspace.table("calls")
                .scan()
                .filter((pl.col("event") == "reply") & pl.col("call_id").is_in(calls.implode()))
                .select("call_id")
                .collect(engine="streaming")
            )
        overtaken = failed.filter(pl.col("failures").is_in(replied["call_id"].implode()))["trial"]
        if overtaken.len():
            # a row from before the reply goes; the one made after it does not name the call any more
            stale = pl.col("failures").list.eval(pl.element().is_in(replied["call_id"].implode())).list.any()
            rows = rows.filter(~stale.fill_null(value=False))
    return rows.unique("trial", keep="last") if rows["trial"].is_duplicated().any() else rows

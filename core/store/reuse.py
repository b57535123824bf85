"""What other studies have stored that a study can use, found in one pass over the table of calls; no text is read."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from core.plan.question import DATA_FAILURES
from core.plan.reuse import STORED, decide_reuse, kept_keys
from core.plan.snapshot import Snapshot
from core.plan.trials import SHARED, call_id
from core.store.fold import fold
from core.store.trial_states import reading
from core.store.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ArmReuse:
    """How many generations of one cell are there already, over all models."""

    scenario: str
    condition: str
    cell_id: str
    stored: int
    """That will not be called again: replies and failures that are data."""
    reused: int
    """Of these, the ones that another study has paid for."""
    new: int
    """That are still to be made."""


def with_reuse(snapshot: Snapshot, workspace: Workspace, *, previous: Snapshot | None = None) -> Snapshot:
    """A snapshot that is about to be written, with the reuse keys of its trials decided by what is stored now.

    `previous`: the one that it replaces; trials whose messages are unchanged keep their calls. StoreError where the
    store can't be read.
    """
    kept = {} if previous is None else kept_keys(previous, snapshot)
    has_others = bool(set(workspace.studies()) - {snapshot.spec.study})
    if has_others and snapshot.spec.reuse != "none" and len(kept) < len(snapshot.trials):
        stored = stored_replies(snapshot, workspace)
    else:
        stored = pl.DataFrame(schema=STORED)
    return replace(snapshot, trials=decide_reuse(snapshot, stored, kept=kept))


def stored_replies(snapshot: Snapshot, workspace: Workspace) -> pl.DataFrame:
    """The rows of `STORED`: every stored reply to what a trial asks, under the same salt, with each such trial."""
    places = range(len(snapshot.trials))
    contents, draws = zip(*snapshot.trials.asked(places), strict=True)
    asked = pl.DataFrame(
        {"trial": places, "content_id": contents, "draw": draws},
        schema={"trial": pl.UInt32, "content_id": pl.String, "draw": pl.Int32},
    )
    is_reply = (pl.col("stage") == "generate") & (pl.col("event") == "reply")
    columns = ("sequence", "call_id", "content_id", "draw", "study", "served_model", "written_at")
    with reading(workspace):
        scan = workspace.table("calls").scan().filter(is_reply).select(columns)
        rows = scan.join(asked.lazy(), on=("content_id", "draw"), how="semi").collect(engine="streaming")
    # the first reply of a call counts
    rows = rows.sort("sequence").unique("call_id", keep="first", maintain_order=True)
    calls = rows.select("call_id", "content_id", "draw", "study").iter_rows()
    keys = pl.Series("key", [_key_of(*each, salt=snapshot.trials.salt) for each in calls], dtype=pl.String)
    usable = rows.with_columns(keys, stored_at="written_at").filter(pl.col("key").is_not_null())
    return asked.join(usable, on=("content_id", "draw")).select(
        pl.col(name).cast(kind) for name, kind in STORED.items()
    )


def reuse_of_arms(snapshot: Snapshot, workspace: Workspace, *, requests: int) -> list[ArmReuse]:
    """What is there of the first `requests` of a snapshot, cell by cell. StoreError where the store can't be read."""
    cells = snapshot.cells
    trials = snapshot.trials.axes.trials_of(requests)
    planned = np.bincount(snapshot.trials.axes.all_at(range(trials)).cell, minlength=len(cells)).tolist()
    found = _ended(snapshot, workspace, trials=trials) if workspace.exists else {}
    arms = []
    for at, cell in enumerate(cells):
        stored, reused = found.get(at, (0, 0))
        new = planned[at] - stored
        arms.append(ArmReuse(cell.scenario, cell.condition, cell.cell_id, stored, reused, new))
    return arms


def _ended(snapshot: Snapshot, workspace: Workspace, *, trials: int) -> dict[int, tuple[int, int]]:
    """Place of a cell → how many of its generations will not be called again, and how many of these others paid."""
    planned = pl.DataFrame(
        {"call_id": snapshot.trials.call_ids(range(trials)), "cell": snapshot.trials.axes.all_at(range(trials)).cell}
    )
    is_end = (pl.col("event") == "reply") | pl.col("error_kind").is_in(list(DATA_FAILURES))
    columns = ("sequence", "event", "call_id", "error_kind", "study")
    with reading(workspace):
        scan = workspace.table("calls").scan().filter((pl.col("stage") == "generate") & is_end).select(columns)
        rows = scan.join(planned.lazy(), on="call_id", how="semi").collect(engine="streaming")
    is_foreign = pl.col("study") != snapshot.spec.study
    there = planned.join(fold(rows).select("call_id", is_foreign), on="call_id")
    counts = there.group_by("cell").agg(pl.len().alias("stored"), pl.col("study").sum())
    return {cell: (stored, reused) for cell, stored, reused in counts.select("cell", "stored", "study").iter_rows()}


def _key_of(call: str, content: str, draw: int, study: str, *, salt: str) -> str | None:
    """The reuse key that a call of a study has; None where it was made under another salt."""
    for key in (study, SHARED):
        if call_id(content, reuse_key=key, draw=draw, salt=salt) == call:
            return key
    return None

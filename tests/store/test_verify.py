"""What `verify` finds: nothing in a store as it should be, and each kind of damage by its file, key and fix."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core.identity import text_digest
from core.plan.next_calls import next_calls
from core.plan.records import Call, Outcome, Reply
from core.plan.snapshot import Snapshot
from core.store.tables import outcome_row, snapshot_row
from core.store.verify import Verification, verify_workspace
from core.store.workspace import Workspace


@pytest.fixture
def stored(tmp_path: Path, make_snapshot: Callable[..., Snapshot], answer: Callable[[Call], Reply]) -> Workspace:
    """A workspace with a study that is complete, in several commits."""
    workspace = Workspace(tmp_path / "w")
    workspace.create()
    snapshot = make_snapshot()
    workspace.append("studies", [snapshot_row(snapshot, run_id="r")])
    outcomes: dict[str, Outcome] = {}
    while calls := list(next_calls(snapshot, outcomes)):
        texts = {text_digest(message.text): message.text for call in calls for message in call.messages}
        workspace.append("texts", [{"digest": digest, "text": text} for digest, text in texts.items()])
        replies = {call.call_id: answer(call) for call in calls}
        workspace.append("calls", [row(call, replies[call.call_id], snapshot=snapshot) for call in calls])
        outcomes.update(replies)
    return workspace


def row(call: Call, reply: Reply, *, snapshot: Snapshot) -> dict[str, Any]:
    return outcome_row(call, reply, study="tiny", run_id="r", target=snapshot.targets[call.model])


def damage(workspace: Workspace, table: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Path:
    """Change the rows of a table's largest file behind its back."""
    held = workspace.table(table)
    path = held.path / max(held.files(), key=lambda file: file.rows).name
    change(pl.read_parquet(path)).write_parquet(path, compression="zstd")
    return path


def told(found: Verification) -> list[str]:
    return sorted({problem.what for problem in found.problems})


def first(column: str, value: object) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Puts a value into the first row."""
    at_first = pl.int_range(pl.len()) == 0
    return lambda rows: rows.with_columns(pl.when(at_first).then(pl.lit(value)).otherwise(column).alias(column))


def test_a_whole_store_has_no_problem_and_its_totals_are_right(stored: Workspace) -> None:
    found = verify_workspace(stored)
    assert found.problems == []
    assert sum(found.rows.values()) == found.calls == stored.read("calls").height
    assert (found.surplus_replies, found.doubled_rows) == (0, 0)
    (study,) = found.studies
    assert (study.study, study.planned, study.replied, study.complete, study.owed) == ("tiny", 8, 8, 8, 0)


def test_repeated_calls_and_doubled_rows_are_counted_and_no_damage(stored: Workspace) -> None:
    rows = stored.read("calls").sort("sequence")
    stored.append("calls", [{**rows.row(0, named=True), "sequence": rows["sequence"].max() + 1}])
    stored.append("calls", [rows.row(1, named=True)])
    found = verify_workspace(stored)
    assert found.problems == []
    assert (found.surplus_replies, found.doubled_rows) == (1, 1)


def test_a_text_that_does_not_have_its_digest(stored: Workspace) -> None:
    path = damage(stored, "texts", first("text", "another"))
    found = verify_workspace(stored)
    assert "the text does not have its digest" in told(found)
    assert str(path) in {problem.file for problem in found.problems}


@pytest.mark.parametrize(
    ("column", "value", "what"),
    [
        ("max_tokens", 7, "its content_id does not fit its messages, target and sampling"),
        ("target", "another", "its content_id does not fit its messages, target and sampling"),
        ("draw", 99, "its call_id does not fit its content_id and draw"),
        ("event", "repyl", "a row of no known kind"),
    ],
)
def test_a_field_that_was_changed(stored: Workspace, column: str, value: object, what: str) -> None:
    kind = stored.read("calls").schema[column]
    damage(stored, "calls", lambda rows: first(column, value)(rows).with_columns(pl.col(column).cast(kind)))
    assert what in told(verify_workspace(stored))


def test_a_message_and_a_parent_that_lead_nowhere(stored: Workspace) -> None:
    damage(stored, "texts", lambda rows: rows.head(1))
    assert "a message of a call is not in the table texts" in told(verify_workspace(stored))
    judged = stored.read("calls").filter(pl.col("stage") == "judge").row(0, named=True)
    stored.append("calls", [{**judged, "parent": "0" * 32}])
    assert "a judge draw's generation has no stored reply" in told(verify_workspace(stored))


def test_a_file_that_is_missing_or_torn_is_named(stored: Workspace) -> None:
    files = stored.table("calls").files()
    gone, torn = (stored.table("calls").path / file.name for file in files[:2])
    gone.unlink()
    torn.write_bytes(torn.read_bytes()[:100])
    found = verify_workspace(stored)
    by_file = {problem.file: problem for problem in found.problems}
    assert by_file[str(gone)].what == "is missing"
    assert "can't be read" in by_file[str(torn)].what
    assert "backup" in by_file[str(torn)].fix


def test_a_snapshot_that_was_changed(stored: Workspace) -> None:
    damage(stored, "studies", first("study_digest", "another"))
    assert "its snapshot does not have its digest" in told(verify_workspace(stored))

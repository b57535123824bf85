"""What is stored stays, comes back as it was, and is written by one holder at a time."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest

from core.errors import StoreError, WorkspaceError
from core.plan.records import Call, Failure, Reply, Usage
from core.scenario.message import Message
from core.store.fold import fold_outcomes, owed_again
from core.store.lock import WorkspaceLock, end_orphan, holder_of, is_alive, this_process
from core.store.tables import SCHEMA_VERSION, TABLES, as_frame, outcome_row, row_outcome
from core.store.workspace import Workspace

CALL = Call(
    call_id="c1",
    content_id="k1",
    stage="judge",
    trial_id="t1",
    model="toy",
    messages=(Message("system", "rules"), Message("user", "text")),
    temperature=None,
    max_tokens=7,
    draw=3,
    judge="faking",
    parent="g1",
)
REPLY = Reply(
    call_id="c1",
    text="yes",
    finish_reason="end_turn",
    reasoning_text="hm",
    refusal=None,
    usage=Usage(input=10, cached=4, cache_write=1, output=2, reasoning=1),
    served_model="toy-1",
    engine_version="x 1",
    response_id="r1",
    attempts=2,
    latency_s=0.5,
    provenance="simulated",
)


def stored(outcome: Reply | Failure) -> dict[str, Any]:
    return outcome_row(CALL, outcome, study="s", run_id="r", target="t")


def events(*rows: dict[str, Any]) -> pl.DataFrame:
    return as_frame("calls", [{"sequence": at, **row} for at, row in enumerate(rows)])


def test_a_reply_and_a_failure_come_back_as_they_went_in(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    workspace.create()
    failure = Failure("c2", "invalid", "refused: ü", attempts=1, possibly_billed=True)
    workspace.append("calls", [stored(REPLY), {**stored(failure), "call_id": "c2"}])
    rows = list(workspace.read("calls").sort("sequence").iter_rows(named=True))
    assert [row_outcome(row) for row in rows] == [REPLY, failure]
    assert rows[0]["messages"][0]["role"] == "system"
    assert rows[0]["parent"] == "g1"
    assert rows[0]["draw"] == 3
    assert rows[0]["sequence"] < rows[1]["sequence"]


def test_the_first_reply_wins_whatever_came_before_or_after() -> None:
    later = Reply("c1", "second", "stop")
    failed = Failure("c1", "invalid", "no")
    rows = [stored(Failure("c1", "auth", "key")), stored(failed), stored(REPLY), stored(later)]
    assert fold_outcomes(events(*rows)) == {"c1": REPLY}


def test_without_a_reply_a_terminal_failure_stands_else_the_last_system_failure() -> None:
    first, last = Failure("c1", "transient", "one"), Failure("c1", "auth", "two")
    ended = Failure("c1", "content_filter", "filtered")
    assert fold_outcomes(events(stored(first), stored(last))) == {"c1": last}
    assert fold_outcomes(events(stored(first), stored(ended), stored(last))) == {"c1": ended}


def test_system_failures_are_owed_again_and_terminal_ones_on_request() -> None:
    folded = {"a": Failure("a", "auth", ""), "b": Failure("b", "invalid", ""), "c": Reply("c", "", "stop")}
    assert set(owed_again(folded, retry_failed=False)) == {"b", "c"}
    assert set(owed_again(folded, retry_failed=True)) == {"c"}


def test_an_intent_is_no_outcome() -> None:
    intent = {**stored(REPLY), "event": "intent"}
    assert fold_outcomes(events(intent)) == {}


def test_all_four_tables_are_there_and_empty(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    assert not workspace.exists
    workspace.create()
    workspace.create()
    assert workspace.exists
    assert {name: workspace.read(name).height for name in TABLES} == dict.fromkeys(TABLES, 0)
    assert workspace.studies() == []


def test_a_newer_schema_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    workspace.create()
    marker = tmp_path / "w" / "workspace.json"
    marker.write_text(json.dumps({"schema_version": SCHEMA_VERSION + 1}))
    with pytest.raises(WorkspaceError, match="newer afgap"):
        workspace.check()
    with pytest.raises(WorkspaceError, match="newer afgap"):
        workspace.check_readable()
    assert json.loads(marker.read_text()) == {"schema_version": SCHEMA_VERSION + 1}


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("")
    with pytest.raises(WorkspaceError, match="is a file"):
        Workspace(tmp_path / "w").check()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    # /proc takes no file even from root, whom permission bits do not stop
    with pytest.raises(WorkspaceError, match="another --workspace"):
        Workspace(Path("/proc/afgap")).create()


def test_a_table_that_is_gone_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        Workspace(tmp_path / "none").read("calls")


def test_a_second_holder_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / ".lock"
    held = WorkspaceLock(file)
    held.take("run first")
    holder = holder_of(file)
    assert holder is not None
    assert holder.what == "run first"
    with pytest.raises(WorkspaceError, match="in use by `run first`"):
        WorkspaceLock(file).take("run second")
    with pytest.raises(WorkspaceError, match="in use by `run first`"):
        end_orphan(file)
    held.release()
    assert holder_of(file) is None
    WorkspaceLock(file).take("run second")


def test_the_journal_of_a_dead_driver_is_ended_and_its_lock_is_free(tmp_path: Path) -> None:
    file = tmp_path / ".lock"
    # a holder whose recorded driver is a process that has ended
    ended = subprocess.Popen([sys.executable, "-c", ""])
    driver = (ended.pid, psutil.Process(ended.pid).create_time())
    ended.wait()
    script = (
        "import sys, pathlib; from core.store.lock import WorkspaceLock; "
        f"WorkspaceLock(pathlib.Path({str(file)!r})).take('run old', driver={driver!r}, scratch='gone'); "
        "print('held', flush=True); sys.stdin.read()"
    )
    journal = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
    )
    assert journal.stdout is not None
    assert journal.stdin is not None
    assert journal.stdout.readline() == "held\n"
    found = end_orphan(file)
    assert found is not None
    assert found.what == "run old"
    assert found.scratch == "gone"
    assert journal.wait(timeout=10) == -9
    assert holder_of(file) is None
    journal.stdin.close()
    journal.stdout.close()


def test_a_reused_pid_is_not_the_process_that_had_it() -> None:
    pid, started = this_process()
    assert is_alive(pid, started)
    assert not is_alive(pid, started - 3600.0)

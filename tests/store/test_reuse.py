"""What a new study takes from the replies that others have stored, found in a real workspace."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.identity import text_digest
from core.plan.build import generation_call
from core.plan.next_calls import next_calls
from core.plan.records import Call, Failure, Outcome, Reply
from core.plan.snapshot import Snapshot
from core.plan.trials import call_id
from core.store.owed import open_trials
from core.store.reuse import reuse_of_arms, with_reuse
from core.store.tables import outcome_row, snapshot_row
from core.store.verify import verify_workspace
from core.store.workspace import Workspace

Answer = Callable[[Call], Reply]
Study = Callable[..., Snapshot]


@pytest.fixture
def study(make_snapshot: Study) -> Study:
    """Two requests in two arms, judged by a model."""

    def make(name: str, **parts: Any) -> Snapshot:
        fields = {"requests": {"source": "bundled:harmful", "limit": 2}, "judges": {"compliance": {"model": "toy"}}}
        return make_snapshot(study=name, **{**fields, **parts})

    return make


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    held = Workspace(tmp_path / "w")
    held.create()
    return held


def begin(workspace: Workspace, snapshot: Snapshot, **parts: Any) -> Snapshot:
    """Decide and store a snapshot, as a run does."""
    decided = with_reuse(snapshot, workspace, **parts)
    workspace.append("studies", [snapshot_row(decided, run_id="r")])
    return decided


def generate(workspace: Workspace, snapshot: Snapshot, answer: Answer, *, trials: Iterable[int] = range(4)) -> None:
    """Store the generations of some trials, in one commit each."""
    for trial in (snapshot.trials[index] for index in trials):
        call = generation_call(snapshot, trial)
        workspace.append("calls", [row(call, answer(call), snapshot)])


def row(call: Call, outcome: Outcome, snapshot: Snapshot, **changed: Any) -> dict[str, Any]:
    target = snapshot.targets[call.model]
    return outcome_row(call, outcome, study=snapshot.spec.study, run_id="r", target=target) | changed


def complete(workspace: Workspace, snapshot: Snapshot, answer: Answer) -> list[Call]:
    """Make what is owed; returns the calls made."""
    made: list[Call] = []
    outcomes = dict(open_trials(snapshot, workspace).outcomes)
    outcomes |= workspace.outcomes(snapshot)
    while calls := list(next_calls(snapshot, outcomes)):
        texts = {message.text for call in calls for message in call.messages}
        workspace.append("texts", [{"digest": text_digest(text), "text": text} for text in texts])
        workspace.append("calls", [row(call, answer(call), snapshot) for call in calls])
        outcomes |= {call.call_id: answer(call) for call in calls}
        made += calls
    return made


def calls_of(snapshot: Snapshot) -> list[str]:
    return snapshot.trials.call_ids(range(len(snapshot.trials)))


def test_a_study_takes_the_whole_pairs_of_another_and_the_store_stays_whole(
    workspace: Workspace, study: Study, answer: Answer
) -> None:
    old = begin(workspace, study("old"))
    assert calls_of(old) == calls_of(study("old"))
    made = complete(workspace, old, answer)
    new = begin(workspace, study("new"))
    assert calls_of(new) == calls_of(old)
    assert [(arm.condition, arm.stored, arm.reused, arm.new) for arm in reuse_of_arms(new, workspace, requests=2)] == [
        ("free", 2, 2, 0), ("paid", 2, 2, 0),
    ]  # fmt: skip
    assert complete(workspace, new, answer) == []
    assert open_trials(new, workspace).complete == 4
    found = verify_workspace(workspace)
    assert found.problems == []
    assert [(each.planned, each.replied, each.owed) for each in found.studies] == [(4, 4, 0), (4, 4, 0)]
    assert found.calls == len(made)
    # a third one takes them by the key of the first
    assert calls_of(begin(workspace, study("third"))) == calls_of(old)


def test_a_hole_a_terminal_failure_or_another_request_breaks_one_pair_alone(
    workspace: Workspace, study: Study, answer: Answer
) -> None:
    old = begin(workspace, study("old"))
    generate(workspace, old, answer, trials=[0, 2, 3])
    lost = generation_call(old, old.trials[1])
    workspace.append("calls", [row(lost, Failure(lost.call_id, "content_filter", "filtered"), old)])
    new = with_reuse(study("new", requests={"source": "bundled:harmful", "limit": 3}), workspace)
    own = study("new", requests={"source": "bundled:harmful", "limit": 3})
    assert calls_of(new) == [*calls_of(own)[:2], *calls_of(old)[2:], *calls_of(own)[4:]]
    arms = reuse_of_arms(new, workspace, requests=3)
    assert [(arm.stored, arm.reused, arm.new) for arm in arms] == [(1, 1, 2), (1, 1, 2)]
    assert [(arm.stored, arm.new) for arm in reuse_of_arms(new, workspace, requests=1)] == [(0, 1), (0, 1)]
    # the failure is data: its own study does not call it again
    assert [(arm.stored, arm.reused) for arm in reuse_of_arms(old, workspace, requests=2)] == [(2, 0), (2, 0)]


def test_the_first_reply_of_a_call_counts_with_its_time_and_served_model(
    workspace: Workspace, study: Study, answer: Answer
) -> None:
    old = begin(workspace, study("old"))
    generate(workspace, old, answer)
    rows = workspace.read("calls").sort("sequence")
    late = rows["written_at"][0] + timedelta(hours=30)
    again = rows.row(0, named=True) | {"sequence": rows["sequence"].max() + 1, "written_at": late, "served_model": "x"}
    workspace.append("calls", [again])
    assert with_reuse(study("new"), workspace).trials.borrowing == 4
    first = generation_call(old, old.trials[2])
    workspace.append("calls", [row(first, answer(first), old, sequence=1, written_at=late)])
    workspace.append("calls", [row(first, answer(first), old, sequence=2, served_model="x")])
    assert with_reuse(study("new"), workspace).trials.borrowing == 2
    assert with_reuse(study("new", reuse_window="99h"), workspace).trials.borrowing == 4


def test_only_replies_to_the_same_question_under_the_same_salt_are_found(
    workspace: Workspace, study: Study, answer: Answer
) -> None:
    old = begin(workspace, study("old", salt={"generate": "s"}))
    generate(workspace, old, answer)
    assert with_reuse(study("new"), workspace).trials.borrowing == 0
    assert with_reuse(study("new", salt={"generate": "t"}), workspace).trials.borrowing == 0
    assert with_reuse(study("new", salt={"generate": "s", "judge": "t"}), workspace).trials.borrowing == 4
    assert (
        with_reuse(study("new", salt={"generate": "s"}, sampling={"temperature": 0.5}), workspace).trials.borrowing == 0
    )
    repeated = with_reuse(study("new", salt={"generate": "s"}, sampling={"repeats": 2}), workspace)
    assert [index for index, code in enumerate(repeated.trials.borrowed.codes) if code] == [0, 1, 4, 5]
    assert with_reuse(study("new", salt={"generate": "s"}, reuse="none"), workspace).trials.borrowing == 0
    wrong = "its call_id does not fit its content_id and draw"
    assert wrong not in {problem.what for problem in verify_workspace(workspace).problems}


def test_any_shares_calls_and_takes_what_is_stored_under_a_name(
    workspace: Workspace, study: Study, answer: Answer
) -> None:
    one = begin(workspace, study("one", reuse="any"))
    contents = [content for content, _ in one.trials.asked(range(4))]
    assert calls_of(one) == [call_id(content, reuse_key="", draw=0) for content in contents]
    generate(workspace, one, answer, trials=[0])
    two = begin(workspace, study("two"))
    assert two.trials.borrowing == 0
    generate(workspace, two, answer, trials=[1])
    three = begin(workspace, study("three", reuse="any"))
    assert calls_of(three) == [calls_of(one)[0], calls_of(two)[1], *calls_of(one)[2:]]
    assert [three.trials.is_shared(index) for index in range(4)] == [True, False, True, True]
    found = open_trials(three, workspace)
    assert found.complete + len(found.outcomes) == 2
    made = complete(workspace, three, answer)
    assert sum(call.stage == "generate" for call in made) == 2
    # shared replies of several studies make a pair, too
    assert calls_of(with_reuse(study("four"), workspace))[2:] == calls_of(one)[2:]


def test_an_upgrade_keeps_reused_and_own_calls_and_never_decides_them_again(
    workspace: Workspace, study: Study, answer: Answer
) -> None:
    old = begin(workspace, study("old"))
    generate(workspace, old, answer, trials=[0, 1])
    before = begin(workspace, study("new"))
    generate(workspace, old, answer, trials=[2, 3])
    wider = study("new", requests={"source": "bundled:harmful", "limit": 3}, judges={"compliance": {"model": "rules"}})
    after = begin(workspace, wider, previous=before)
    assert calls_of(after) == [*calls_of(before), *calls_of(wider)[4:]]
    assert calls_of(before)[:2] == calls_of(old)[:2]
    assert calls_of(before)[2:] == calls_of(study("new"))[2:]
    assert workspace.snapshot("new") == after


def test_nothing_is_searched_where_no_other_study_is(workspace: Workspace, study: Study, tmp_path: Path) -> None:
    assert with_reuse(study("new"), Workspace(tmp_path / "none")).trials == study("new").trials
    assert not (tmp_path / "none").exists()
    assert reuse_of_arms(study("new"), Workspace(tmp_path / "none"), requests=2)[0].new == 2
    begin(workspace, study("new"))
    workspace.table("calls").path.joinpath("_delta_log").rename(tmp_path / "away")
    assert with_reuse(study("new"), workspace).trials.borrowing == 0


def test_a_reply_that_was_lost_and_made_again_under_the_key_of_another_study_is_no_damage(
    workspace: Workspace, study: Study, answer: Answer
) -> None:
    begin(workspace, study("old", salt={"generate": "s", "judge": "t"}))
    new = study("new", salt={"generate": "s", "judge": "t"})
    new = replace(new, trials=new.trials.with_keys(dict.fromkeys(range(4), "old")))
    workspace.append("studies", [snapshot_row(new, run_id="r")])
    complete(workspace, new, answer)
    assert verify_workspace(workspace).problems == []
    workspace.append("calls", [workspace.read("calls").row(0, named=True) | {"study": "old", "draw": 7}])
    assert {each.what for each in verify_workspace(workspace).problems} == {
        "its call_id does not fit its content_id and draw"
    }

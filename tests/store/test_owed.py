"""What is owed, with and without the cache: always what the states of all trials say."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from core.plan.build import generation_call
from core.plan.next_calls import TrialState, trial_state
from core.plan.records import Call, Failure, Outcome, Reply
from core.plan.snapshot import Snapshot
from core.store import derivation
from core.store.derivation import derivation_key, derived_rows
from core.store.derived_cache import DerivedCache
from core.store.fold import fold_outcomes, owed_again
from core.store.owed import CompleteTrials, complete_rows, open_trials, remember_complete, stored_rows
from core.store.tables import outcome_row
from core.store.workspace import Workspace

StoredStudy = tuple[Snapshot, Workspace, dict[str, Outcome]]


def truth(study: StoredStudy, *, retry_failed: bool = False) -> list[int]:
    """Places of the trials that owe a call, by the rule itself."""
    standing = owed_again(fold_outcomes(study[1].read("calls")), retry_failed=retry_failed)
    return [at for at, trial in enumerate(study[0].trials) if trial_state(study[0], trial, standing).owed]


def states(study: StoredStudy) -> list[tuple[int, TrialState]]:
    return [
        (at, trial_state(study[0], trial, study[2]))
        for at, trial in enumerate(study[0].trials)
        if trial.call_id in study[2]
    ]


def rows(frame: pl.DataFrame) -> list[dict[str, object]]:
    return frame.sort("trial").to_dicts()


@pytest.mark.parametrize("retry_failed", [False, True])
def test_the_owed_set_is_that_of_the_states_with_and_without_a_cache(
    stored_study: StoredStudy, retry_failed: bool
) -> None:
    expected = truth(stored_study, retry_failed=retry_failed)
    assert 3 < len(expected) < len(stored_study[0].trials) - 4
    for _ in range(2):  # the second time from the cache
        found = open_trials(stored_study[0], stored_study[1], retry_failed=retry_failed)
        assert found.indices.tolist() == expected
        assert found.complete == len(stored_study[0].trials) - len(expected)
        for index in expected:
            trial = stored_study[0].trials[index]
            ours = trial_state(stored_study[0], trial, owed_again(found.outcomes, retry_failed=retry_failed))
            all_known = owed_again(stored_study[2], retry_failed=retry_failed)
            assert ours == trial_state(stored_study[0], trial, all_known)


def test_what_is_cached_is_what_the_states_give(stored_study: StoredStudy) -> None:
    fresh = stored_rows(stored_study[0], stored_study[1])
    again = stored_rows(stored_study[0], stored_study[1])
    expected = rows(derived_rows(stored_study[0], states(stored_study)))
    assert rows(fresh) == rows(again) == expected
    cached = complete_rows(stored_study[0], stored_study[1])
    assert sorted(cached["trial"]) == [at for at, state in states(stored_study) if state.is_complete]
    assert {"failed", "blocked", "ok", "truncated"} <= set(cached["status"]) | {"failed"}
    assert "skipped" in cached["judge0.status"].to_list()


def test_the_first_trials_alone(stored_study: StoredStudy) -> None:
    expected = [index for index in truth(stored_study) if index < 20]
    for _ in range(2):
        found = open_trials(stored_study[0], stored_study[1], limit=20)
        assert (found.indices.tolist(), found.complete) == (expected, 20 - len(expected))


def test_no_workspace_owes_everything(make_snapshot: Callable[..., Snapshot], tmp_path: Path) -> None:
    found = open_trials(make_snapshot(), Workspace(tmp_path / "none"))
    assert (found.complete, found.indices.tolist(), found.outcomes) == (0, list(range(8)), {})
    assert not (tmp_path / "none").exists()


def test_a_reply_after_a_terminal_failure_overtakes_the_cached_row(stored_study: StoredStudy) -> None:
    snapshot, workspace = stored_study[0], stored_study[1]
    open_trials(snapshot, workspace)
    blocked = next(at for at, state in states(stored_study) if state.parsed and state.parsed.status == "blocked")
    assert blocked in complete_rows(snapshot, workspace)["trial"]
    call = generation_call(snapshot, snapshot.trials[blocked])
    reply = Reply(call.call_id, "I can't help with that.", "stop")
    workspace.append("calls", [outcome_row(call, reply, study="tiny", run_id="run2", target="t")])
    assert blocked not in complete_rows(snapshot, workspace)["trial"]
    assert truth(stored_study) == open_trials(snapshot, workspace).indices.tolist()
    row = stored_rows(snapshot, workspace).filter(pl.col("trial") == blocked)
    assert row["status"].to_list() == ["no_scratchpad"]


def test_what_a_run_ended_is_remembered_and_what_is_open_is_not(stored_study: StoredStudy) -> None:
    snapshot, workspace = stored_study[0], stored_study[1]
    complete = [at for at, state in states(stored_study) if state.is_complete]
    assert remember_complete(snapshot, workspace, range(len(snapshot.trials))) == len(complete)
    assert sorted(complete_rows(snapshot, workspace)["trial"]) == complete


def test_states_at_hand_are_cached_in_lots(stored_study: StoredStudy) -> None:
    number = sum(state.is_complete for _, state in states(stored_study))
    lot = 10 if number % 10 else 9  # what is left over is for the flush
    ended = CompleteTrials(stored_study[0], stored_study[1], lot=lot)
    for at, state in states(stored_study):
        ended.add(at, state)
    folder = DerivedCache(stored_study[1].cache, stored_study[0]).folder
    before = len(list(folder.glob("*.parquet")))
    ended.flush()
    assert (before, len(list(folder.glob("*.parquet")))) == (number // lot, number // lot + 1)
    expected = rows(derived_rows(stored_study[0], states(stored_study)))
    complete = {at for at, state in states(stored_study) if state.is_complete}
    cached = rows(complete_rows(stored_study[0], stored_study[1]))
    assert cached == [row for row in expected if row["trial"] in complete]


def test_the_key_follows_the_study_and_the_code(
    make_snapshot: Callable[..., Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = derivation_key(make_snapshot())
    assert first == derivation_key(make_snapshot())
    others = [
        derivation_key(make_snapshot(judges={"compliance": {"model": "rules"}})),
        derivation_key(make_snapshot(requests={"source": "bundled:harmful", "limit": 5})),
        derivation_key(make_snapshot(sampling={"repeats": 2})),
    ]
    monkeypatch.setattr(derivation, "code_digest", lambda: "another parser")
    assert len({first, *others, derivation_key(make_snapshot())}) == 5


def test_draws_that_another_study_asked_for_beyond_ours_do_not_count(
    make_snapshot: Callable[..., Snapshot], answer: Callable[[Call], Reply]
) -> None:
    few, many = (
        make_snapshot(study=name, judges={"faking": {"model": "toy", "votes": votes, "early_stop": False}})
        for name, votes in (("few", 3), ("many", 9))
    )
    text = "<SCRATCHPAD_REASONING>I weigh it.</SCRATCHPAD_REASONING>\nHere is a long answer."
    outcomes = {trial.call_id: Reply(trial.call_id, text, "stop") for trial in (*few.trials, *many.trials)}
    alone = outcomes | {call.call_id: answer(call) for call in trial_state(few, few.trials[0], outcomes).owed}
    beside = alone | {call.call_id: answer(call) for call in trial_state(many, many.trials[0], outcomes).owed}
    assert len(beside) == len(alone) + 6
    assert trial_state(few, few.trials[0], beside) == trial_state(few, few.trials[0], alone)


def test_a_failure_is_no_reply_yet(stored_study: StoredStudy) -> None:
    lost = stored_study[0].trials[7]
    assert isinstance(stored_study[2][lost.call_id], Failure)
    found = open_trials(stored_study[0], stored_study[1])
    assert 7 in found.indices
    assert found.outcomes[lost.call_id] == stored_study[2][lost.call_id]

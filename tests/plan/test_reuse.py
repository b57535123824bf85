"""Which stored generations a new snapshot uses: whole pairs of one study, any reply, or none; decided once."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from core.plan.axes import Axes
from core.plan.next_calls import trial_state
from core.plan.records import Reply
from core.plan.reuse import STORED, decide_reuse, kept_keys
from core.plan.snapshot import Snapshot, differences, snapshot_from_json
from core.plan.trials import SHARED, Trials, call_id

MakeSnapshot = Callable[..., Snapshot]
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def reply(trial: int, key: str, *, hours: float = 0.0, served: str | None = "m-1") -> dict[str, Any]:
    return {"trial": trial, "key": key, "stored_at": NOON + timedelta(hours=hours), "served_model": served}


def decided(snapshot: Snapshot, *stored: dict[str, Any], kept: dict[int, str] | None = None) -> list[str]:
    """The reuse key of each trial."""
    trials = decide_reuse(snapshot, pl.DataFrame(list(stored), schema=dict(STORED)), kept=kept or {})
    codes = trials.borrowed.codes or [0] * len(trials)
    return [trials.keys[code] for code in codes]


@pytest.fixture
def study(make_snapshot: MakeSnapshot) -> Callable[..., Snapshot]:
    """Two pairs (request 0: trials 0 and 1; request 1: trials 2 and 3) of a study `new`."""

    def make(**parts: Any) -> Snapshot:
        fields = {"requests": {"source": "bundled:harmful", "limit": 2}, "judges": {"compliance": {"model": "rules"}}}
        return make_snapshot(**{"study": "new", **fields, **parts})

    return make


def test_a_pair_is_reused_whole_and_the_others_are_drawn_anew(study: Callable[..., Snapshot]) -> None:
    both = [reply(0, "old"), reply(1, "old", hours=1)]
    assert decided(study(), *both) == ["old", "old", "new", "new"]
    assert decided(study(), *both, reply(2, "old")) == ["old", "old", "new", "new"]
    assert decided(study()) == ["new"] * 4
    assert decided(study(reuse="none"), *both) == ["new"] * 4


@pytest.mark.parametrize(
    ("second", "window", "is_reused"),
    [
        (reply(1, "old", hours=24), "24h", True),
        (reply(1, "old", hours=24.01), "24h", False),
        (reply(1, "old", hours=-24.01), "24h", False),
        (reply(1, "old", hours=24.01), "25h", True),
        (reply(1, "old", hours=0.6), "0.5h", False),
        (reply(1, "old", served="m-2"), "24h", False),
        (reply(1, "old", served=None), "24h", False),
        (reply(1, "other"), "24h", False),
    ],
)
def test_the_arms_of_a_pair_were_stored_close_together_by_one_study_and_one_served_model(
    study: Callable[..., Snapshot], second: dict[str, Any], window: str, is_reused: bool
) -> None:
    key = "old" if is_reused else "new"
    assert decided(study(reuse_window=window), reply(0, "old"), second)[:2] == [key, key]


def test_the_study_whose_pair_was_whole_first_is_taken(study: Callable[..., Snapshot]) -> None:
    early, late = [reply(0, "z", hours=1), reply(1, "z", hours=2)], [reply(0, "a"), reply(1, "a", hours=3)]
    assert decided(study(), *early, *late)[:2] == decided(study(), *late, *early)[:2] == ["z", "z"]
    tied = [reply(0, key) for key in "cab"] + [reply(1, key) for key in "bca"]
    assert decided(study(), *tied)[:2] == ["a", "a"]


def test_what_the_study_itself_has_stored_is_not_replaced(study: Callable[..., Snapshot]) -> None:
    assert decided(study(), reply(0, "old"), reply(1, "old"), reply(0, "new"))[:2] == ["new", "new"]


def test_under_any_each_reply_is_taken_by_itself_and_the_shared_one_first(study: Callable[..., Snapshot]) -> None:
    stored = [
        reply(0, "old"),
        reply(1, "old", hours=99),
        reply(1, "first", hours=-1),
        reply(2, "old"),
        reply(2, SHARED),
    ]
    assert decided(study(reuse="any"), *stored) == ["old", "first", SHARED, SHARED]
    assert study(reuse="any").trials.is_shared(0)
    assert not study().trials.is_shared(0)


def test_pairs_are_arms_of_one_setting_repeat_and_model(study: Callable[..., Snapshot]) -> None:
    labels = [{"name": name, "engine": "scripted", "model": "planted"} for name in ("toy", "twin")]
    snapshot = study(models=labels, sampling={"repeats": 2}, requests={"source": "bundled:harmful", "limit": 1})
    pairs = [(trial.repeat, trial.model) for trial in snapshot.trials]
    assert pairs == [(0, "toy")] * 2 + [(0, "twin")] * 2 + [(1, "toy")] * 2 + [(1, "twin")] * 2
    across = [reply(1, "old"), reply(2, "old"), reply(3, "old"), reply(4, "old")]
    assert decided(snapshot, *across) == ["new", "new", "old", "old", "new", "new", "new", "new"]


def test_a_study_of_one_arm_reuses_each_reply(study: Callable[..., Snapshot]) -> None:
    assert decided(study(grid={"condition": ["paid"]}), reply(1, "old")) == ["new", "old"]


def test_borrowed_trials_have_the_calls_of_the_other_study_and_come_back_from_a_text(
    study: Callable[..., Snapshot],
) -> None:
    snapshot = study(salt={"generate": "s"})
    trials = snapshot.trials.with_keys({2: "old", 3: "older", 1: "new"})
    assert (trials.borrowing, trials.keys, trials[1:].borrowing) == (2, ("new", "old", "older"), 2)
    contents = [content for content, _ in trials.asked(range(4))]
    expected = [
        call_id(content, reuse_key=key, draw=0, salt="s")
        for content, key in zip(contents, ("new", "new", "old", "older"), strict=True)
    ]
    assert [trial.call_id for trial in trials] == trials.call_ids(range(4)) == expected
    assert trials[2:].call_ids([0]) == [expected[2]]
    assert trials != snapshot.trials
    assert trials.digest != snapshot.trials.digest
    held = replace(snapshot, trials=trials)
    again = snapshot_from_json(held.to_json())
    assert again.trials == trials
    assert (again.study_digest, differences(again, snapshot)) == (snapshot.study_digest, [])
    one = Axes(("r",), 1, ("m",), ("c",))
    with pytest.raises(ValueError, match="torn"):
        Trials(one, trials.ids[:16], reuse_key="new", borrowed=trials.borrowed)


def test_a_snapshot_that_borrows_nothing_stays_small(make_snapshot: MakeSnapshot) -> None:
    body = json.loads(make_snapshot(sampling={"repeats": 500}).to_json())
    assert (body["borrowed"], len(body["ids"])) == ({"keys": [], "runs": []}, 8 * 32)


def test_an_upgrade_keeps_the_calls_of_unchanged_messages_and_decides_the_others(
    study: Callable[..., Snapshot],
) -> None:
    before = study()
    before = replace(before, trials=before.trials.with_keys({0: "old", 1: "old"}))
    after = study(requests={"source": "bundled:harmful", "limit": 4})
    kept = kept_keys(before, after)
    assert kept == {0: "old", 1: "old", 2: "new", 3: "new"}
    stored = [reply(trial, "third") for trial in range(6)]
    assert decided(after, *stored, kept=kept) == ["old", "old", "new", "new", "third", "third", "new", "new"]
    # one arm changed: the other keeps its call, and the pair is not replaced
    assert decided(after, *stored, kept={2: "new"})[2:4] == ["new", "new"]
    shared = study(reuse="any")
    assert decided(shared, *stored[:4], kept=kept_keys(before, shared)) == ["old", "old", "new", "new"]


def test_an_upgrade_from_a_snapshot_that_listed_its_calls_keeps_them(study: Callable[..., Snapshot]) -> None:
    body = json.loads(study().to_json())
    del body["ids"], body["reuse_key"], body["borrowed"]
    first = snapshot_from_json(json.dumps({**body, "version": 1, "calls": study().trials.call_ids(range(4))}))
    assert kept_keys(first, study(reuse="any")) == dict.fromkeys(range(4), "new")


def test_a_salt_asks_for_other_calls_and_is_part_of_what_the_study_is(study: Callable[..., Snapshot]) -> None:
    plain, salted = study(), study(salt={"generate": "again"})
    assert not set(plain.trials.call_ids(range(4))) & set(salted.trials.call_ids(range(4)))
    assert kept_keys(plain, salted) == {}
    assert differences(plain, salted) == ["salt.generate: added"]
    assert differences(salted, plain) == ["salt.generate: removed"]
    assert differences(salted, study(salt={"generate": "2"})) == ["salt.generate: again → 2"]
    assert differences(plain, study(reuse="none", reuse_window="1h")) == []
    assert plain.study_digest == study(reuse="any", salt={}).study_digest != salted.study_digest


def test_a_salted_judge_draws_anew_on_the_same_reply(make_snapshot: MakeSnapshot) -> None:
    text = "<SCRATCHPAD_REASONING>I weigh it.</SCRATCHPAD_REASONING>\nHere is a long answer."
    drawn = []
    for salt in ({}, {"judge": "again"}):
        snapshot = make_snapshot(salt=salt)
        trial = snapshot.trials[0]
        owed = trial_state(snapshot, trial, {trial.call_id: Reply(trial.call_id, text, "stop")}).owed
        drawn.append({call.call_id: call.content_id for call in owed})
    assert len(drawn[0]) == len(drawn[1]) == 4  # the first wave of faking is two of its three votes
    assert not drawn[0].keys() & drawn[1].keys()
    assert sorted(drawn[0].values()) == sorted(drawn[1].values())

"""The compact sequence of trials: what it holds, how it is stored, that its ids are those of the rule."""

import json
import pickle
from collections.abc import Callable

import pytest

from core.identity import fingerprint
from core.plan.axes import Axes
from core.plan.build import generation_call
from core.plan.snapshot import Snapshot, snapshot_from_json
from core.plan.trials import Trials, call_id, packed


def test_trials_stand_in_plan_order_with_the_ids_of_the_rule(make_snapshot: Callable[..., Snapshot]) -> None:
    snapshot = make_snapshot(
        models=[{"name": name, "engine": "scripted", "model": "planted"} for name in ("toy", "other")],
        judges={"compliance": {"model": "rules"}}, sampling={"repeats": 3},
    )  # fmt: skip
    expected = [
        (model.name, cell.cell_id, request.request_id, repeat)
        for request in snapshot.requests
        for repeat in range(3)
        for model in snapshot.spec.subjects
        for cell in snapshot.cells
    ]
    assert [(each.model, each.cell_id, each.request_id, each.repeat) for each in snapshot.trials] == expected
    for trial in snapshot.trials:
        content = generation_call(snapshot, trial).content_id
        assert trial.call_id == call_id(content, reuse_key="tiny", draw=trial.repeat)
        assert trial.call_id == fingerprint("call", content, "tiny", "", trial.repeat)
        assert trial.trial_id == fingerprint("trial", trial.model, trial.cell_id, trial.request_id, trial.repeat)
    every = range(len(snapshot.trials))
    assert snapshot.trials.call_ids(every) == [trial.call_id for trial in snapshot.trials]
    assert snapshot.trials.trial_ids(every) == [trial.trial_id for trial in snapshot.trials]


def test_slices_and_places_are_those_of_a_tuple(make_snapshot: Callable[..., Snapshot]) -> None:
    trials = make_snapshot().trials
    whole = tuple(trials)
    assert (len(trials), trials[0], trials[-1]) == (8, whole[0], whole[-1])
    assert tuple(trials[2:5]) == whole[2:5]
    assert trials[2:5][1] == whole[3]
    assert trials[2:5].call_ids([0, 2]) == [whole[2].call_id, whole[4].call_id]
    with pytest.raises(IndexError):
        trials[8]
    assert trials == pickle.loads(pickle.dumps(trials))
    assert trials != trials[:7]


def test_a_snapshot_that_lists_its_calls_is_read_too(make_snapshot: Callable[..., Snapshot]) -> None:
    # the first version stored every call id
    snapshot = make_snapshot()
    body = json.loads(snapshot.to_json())
    del body["ids"], body["reuse_key"]
    old = snapshot_from_json(json.dumps({**body, "version": 1, "calls": [each.call_id for each in snapshot.trials]}))
    assert tuple(old.trials) == tuple(snapshot.trials)
    again = snapshot_from_json(old.to_json())
    assert again.trials == old.trials
    assert again.study_digest == snapshot.study_digest


def test_ids_that_do_not_fit_are_refused() -> None:
    axes = Axes(requests=("a", "b"), repeats=2, models=("m",), cells=("c",))
    assert len(Trials(axes, packed(["0" * 32] * 2), reuse_key="study")) == 4
    with pytest.raises(ValueError, match="torn"):
        Trials(axes, packed(["0" * 32] * 2), reuse_key=None)

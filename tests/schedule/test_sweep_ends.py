"""A run is over only when it is over for every lane, and then it stays so: a lane that was told so has gone home."""

from collections.abc import Callable
from typing import Any

import pytest

from core.errors import SpecError
from core.plan.records import Call, Failure, Reply, Usage
from core.plan.rendering import Renderer
from core.plan.snapshot import Snapshot
from core.scenario.message import Message
from core.schedule.budget import Budget, Price, reserve_of
from core.schedule.lanes import Lane, check_room, lanes_of
from core.schedule.sweep import Sweep

MakeSnapshot = Callable[..., Snapshot]
Answer = Callable[[Call], Reply]

DEAR = Price(input=0.0, output=1e-3, cached=0.0)
ENTRIES = [
    {"name": "toy", "engine": "openai", "model": "m-2026-01-01"},
    {"name": "judge", "engine": "openai", "model": "j-2026-01-01", "role": "judge"},
]


def make_sweep(snapshot: Snapshot, *, budget: Budget | None = None, prices: dict[str, Price] | None = None) -> Sweep:
    return Sweep(
        snapshot,
        open_trials=range(len(snapshot.trials)),
        trials_total=len(snapshot.trials),
        outcomes={},
        lanes=lanes_of(snapshot.spec.models, targets=dict(snapshot.targets), gpus=0),
        prices=prices or {},
        budget=budget or Budget(None),
    )


def end(sweep: Sweep, failure: Failure, *, now: float) -> None:
    """What the dispatcher does with a failure."""
    ends_as = sweep.fail(failure, now=now)
    if ends_as is not None:
        sweep.settle(ends_as)


def test_a_lane_that_the_budget_blocked_goes_on_when_a_cheap_reply_makes_room(make_snapshot: MakeSnapshot) -> None:
    snapshot = make_snapshot(
        models=ENTRIES, judges={"compliance": {"model": "judge"}}, sampling={"max_tokens": 100}
    )  # one attempt reserves 0.10 USD
    sweep = make_sweep(snapshot, budget=Budget(0.15), prices={"toy": DEAR})
    first = sweep.lease("toy", room=5, owner="a", now=0.0)
    assert len(first) == 1
    assert sweep.lease("toy", room=5, owner="a", now=0.0) == []
    usage = Usage(input=1, output=1)
    sweep.settle(Reply(first[0].call.call_id, "<rejected/>", "content_filter", usage=usage))
    # the judge's lane, idle, asks first: it must not be sent home while the other has work that fits again
    assert sweep.lease("judge", room=5, owner="b", now=0.0) == []
    assert not sweep.is_over
    assert not sweep.is_out_of_budget
    assert len(sweep.lease("toy", room=5, owner="a", now=0.0)) == 1


def test_once_over_no_lane_gets_work_even_if_a_cheaper_retry_falls_due(make_snapshot: MakeSnapshot) -> None:
    models = [{**ENTRIES[0], "stand_in": "planted", "limits": {"concurrency": 1}}]
    judges = {"compliance": {"model": "toy", "max_tokens": 16}}
    snapshot = make_snapshot(models=models, judges=judges, sampling={"max_tokens": 100})
    sweep = make_sweep(snapshot, budget=Budget(0.205), prices={"toy": DEAR})
    generation = sweep.lease("toy", room=1, owner="a", now=0.0)[0]
    text = "<SCRATCHPAD_REASONING>I weigh it.</SCRATCHPAD_REASONING>\nHere is a long answer."
    usage = Usage(input=1, output=90)
    sweep.settle(Reply(generation.call.call_id, text, "stop", usage=usage))
    judging = sweep.lease("toy", room=1, owner="a", now=0.0)[0]
    assert judging.call.stage == "judge"
    end(sweep, Failure(judging.call.call_id, "rate_limit", "later", retry_after_s=60.0), now=0.0)
    while leased := sweep.lease("toy", room=1, owner="a", now=1.0):
        sweep.settle(Reply(leased[0].call.call_id, "<rejected/>", "content_filter", usage=usage))
    assert sweep.is_over
    assert sweep.is_out_of_budget
    assert sweep.lease("toy", room=1, owner="a", now=100.0) == []  # the 0.016 USD of the retry would fit
    assert sweep.is_over


def test_a_refused_key_after_the_budget_blocked_is_not_called_a_lack_of_money(make_snapshot: MakeSnapshot) -> None:
    snapshot = make_snapshot(
        models=ENTRIES[:1], judges={"compliance": {"model": "rules"}}, sampling={"max_tokens": 100}
    )
    sweep = make_sweep(snapshot, budget=Budget(0.15), prices={"toy": DEAR})
    attempt = sweep.lease("toy", room=5, owner="a", now=0.0)[0]
    end(sweep, Failure(attempt.call.call_id, "auth", "key refused"), now=0.0)
    assert sweep.lease("toy", room=5, owner="a", now=0.0) == []
    assert sweep.is_over
    assert not sweep.is_out_of_budget


def test_generations_finish_when_the_judge_is_refused(make_snapshot: MakeSnapshot, answer: Answer) -> None:
    snapshot = make_snapshot(models=ENTRIES, judges={"compliance": {"model": "judge"}, "faking": {"model": "judge"}})
    sweep = make_sweep(snapshot)
    generated = 0
    while not sweep.is_over:
        for attempt in sweep.lease("judge", room=1, owner="b", now=0.0):
            end(sweep, Failure(attempt.call.call_id, "auth", "key refused"), now=0.0)
        for attempt in sweep.lease("toy", room=2, owner="a", now=0.0):
            sweep.settle(answer(Renderer(snapshot).render(attempt.call, {})))
            generated += 1
    assert generated == len(snapshot.trials)
    assert sweep.progress["judge"].stopped
    assert sweep.progress["toy"].stopped is None


def test_a_reserve_covers_a_script_with_a_token_for_every_character() -> None:
    words = "要求" * 500
    call = Call("c", "k", "generate", "t", "toy", (Message("user", words),), temperature=None, max_tokens=1)
    assert reserve_of(call, Price(input=1.0, output=0.0, cached=0.0)) >= len(words)


def test_local_engines_that_do_not_fit_are_refused_instead_of_waiting_for_ever(make_snapshot: MakeSnapshot) -> None:
    def lanes(*, gpus: int, **entry: Any) -> tuple[Lane, ...]:
        model = {"engine": "vllm", "model": "org/m@1", **entry}
        snapshot = make_snapshot(models=[{"name": "big", **model}], judges={"compliance": {"model": "rules"}})
        return lanes_of(snapshot.spec.models, targets=dict(snapshot.targets), gpus=gpus)

    with pytest.raises(SpecError, match="big need 8 GPUs at once and there are 4"):
        check_room(lanes(gpus=4, engine_args={"tensor_parallel_size": 8}), cpus=64, gpus=4)
    with pytest.raises(SpecError, match=r"models\[\].replicas: big need 3 CPUs"):
        check_room(lanes(gpus=0, replicas=3), cpus=2, gpus=0)
    check_room(lanes(gpus=4, engine_args={"tensor_parallel_size": 2}), cpus=64, gpus=4)
    check_room(lanes(gpus=0), cpus=1, gpus=0)

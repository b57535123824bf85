"""The state machine of a run: every planned call goes out once, comes back once, and a failure costs what it must."""

from collections.abc import Callable
from typing import Any

import pytest

from core.plan.next_calls import next_calls, trial_state
from core.plan.records import Call, Failure, Outcome, Reply, Usage
from core.plan.rendering import Renderer
from core.plan.snapshot import Snapshot
from core.schedule.budget import Budget, Price, cost_of, reserve_of
from core.schedule.lanes import Lane, lanes_of
from core.schedule.sweep import Sweep

MakeSnapshot = Callable[..., Snapshot]
Answer = Callable[[Call], Reply]


def make_sweep(snapshot: Snapshot, *, folded: dict[str, Outcome] | None = None, **parts: Any) -> Sweep:
    lanes = parts.get("lanes") or lanes_of(snapshot.spec.models, targets=dict(snapshot.targets), gpus=0)
    stored = folded or {}
    return Sweep(
        snapshot,
        open_trials=[at for at, trial in enumerate(snapshot.trials) if trial_state(snapshot, trial, stored).owed],
        trials_total=len(snapshot.trials),
        outcomes=stored,
        stored_questions=parts.get("stored_questions", ()),
        lanes=lanes,
        prices=parts.get("prices", {}),
        budget=parts.get("budget", Budget(None)),
    )


def finish(
    sweep: Sweep, snapshot: Snapshot, answer: Callable[[Call], Outcome], *, lane: str = "toy", room: int = 7
) -> list[Call]:
    """Serve a lane until nothing is left; time stands still but for the retries' due times."""
    made: list[Call] = []
    renderer = Renderer(snapshot)
    now = 0.0
    while not sweep.is_over:
        leased = sweep.lease(lane, room=room, owner="a", now=now)
        replies = sweep.evidence(leased)
        for attempt in leased:
            made.append(renderer.render(attempt.call, replies))
            sweep.settle(answer(made[-1]))
        if not leased:
            due = sweep.next_due(lane, now=now)
            assert due is not None
            now = due
    return made


def end(sweep: Sweep, failure: Failure, *, now: float) -> None:
    """What the dispatcher does with a failure."""
    ends_as = sweep.fail(failure, now=now)
    if ends_as is not None:
        sweep.settle(ends_as)


def test_every_call_is_made_once_and_every_trial_ends(make_snapshot: MakeSnapshot, answer: Answer) -> None:
    snapshot = make_snapshot()
    sweep = make_sweep(snapshot)
    made = finish(sweep, snapshot, answer)
    ids = [call.call_id for call in made]
    assert len(ids) == len(set(ids))
    assert sweep.trials_ended == sweep.trials_total == 8
    folded: dict[str, Outcome] = {call.call_id: answer(call) for call in made}
    assert all(trial_state(snapshot, trial, folded).is_complete for trial in snapshot.trials)


def test_judge_draws_go_out_before_further_generations(make_snapshot: MakeSnapshot, answer: Answer) -> None:
    sweep = make_sweep(make_snapshot())
    first = sweep.lease("toy", room=1, owner="a", now=0.0)[0]
    text = "<SCRATCHPAD_REASONING>I weigh it.</SCRATCHPAD_REASONING>\nHere is a long answer."
    sweep.settle(Reply(first.call.call_id, text, "stop"))
    assert [each.call.stage for each in sweep.lease("toy", room=5, owner="a", now=0.0)] == ["judge"] * 4 + ["generate"]


def test_a_retry_waits_for_its_time_and_holds_no_slot(make_snapshot: MakeSnapshot) -> None:
    sweep = make_sweep(make_snapshot())
    attempt = sweep.lease("toy", room=1, owner="a", now=100.0)[0]
    end(sweep, Failure(attempt.call.call_id, "rate_limit", "slow down", retry_after_s=30.0), now=100.0)
    assert sweep.in_flight == 0
    due = sweep.next_due("toy", now=100.0)
    assert due is not None
    assert 130.0 <= due <= 131.0
    assert attempt.call.call_id not in {each.call.call_id for each in sweep.lease("toy", room=99, owner="a", now=129.0)}
    again = sweep.lease("toy", room=99, owner="a", now=131.0)
    assert [(each.call.call_id, each.number) for each in again] == [(attempt.call.call_id, 2)]


def test_a_refused_key_stops_its_lane_and_the_other_finishes(make_snapshot: MakeSnapshot, answer: Answer) -> None:
    models = [
        {"name": "toy", "engine": "scripted", "model": "planted"},
        {"name": "locked", "engine": "openai", "model": "m-2026-01-01"},
    ]
    snapshot = make_snapshot(models=models)
    sweep = make_sweep(snapshot)
    attempt = sweep.lease("locked", room=1, owner="b", now=0.0)[0]
    end(sweep, Failure(attempt.call.call_id, "auth", "key refused"), now=0.0)
    assert sweep.lease("locked", room=5, owner="b", now=0.0) == []
    assert "key refused" in str(sweep.progress["locked"].stopped)
    finish(sweep, snapshot, answer)
    assert sweep.is_over
    assert sweep.trials_ended == 9  # 8 of the toy, and the one that failed


def test_the_calls_of_a_lost_actor_go_out_again(make_snapshot: MakeSnapshot, answer: Answer) -> None:
    snapshot = make_snapshot()
    sweep = make_sweep(snapshot)
    lost = {each.call.call_id for each in sweep.lease("toy", room=3, owner="gone", now=0.0)}
    assert sweep.give_back("gone", message="killed") == []
    assert sweep.in_flight == 0
    made = finish(sweep, snapshot, answer)
    assert lost <= {call.call_id for call in made}
    assert sweep.trials_ended == 8


def test_a_late_second_answer_changes_nothing(make_snapshot: MakeSnapshot, answer: Answer) -> None:
    snapshot = make_snapshot()
    sweep = make_sweep(snapshot)
    attempt = sweep.lease("toy", room=1, owner="a", now=0.0)[0]
    call = Renderer(snapshot).render(attempt.call, {})
    sweep.settle(answer(call))
    before = sweep.progress["toy"].generated
    sweep.settle(answer(call))
    assert sweep.progress["toy"].generated == before == 1


def test_what_is_stored_is_not_called_again(make_snapshot: MakeSnapshot, answer: Answer) -> None:
    snapshot = make_snapshot()
    first = make_sweep(snapshot)
    folded: dict[str, Outcome] = {}
    for _ in range(3):
        leased = first.lease("toy", room=4, owner="a", now=0.0)
        replies = first.evidence(leased)
        for attempt in leased:
            folded[attempt.call.call_id] = answer(Renderer(snapshot).render(attempt.call, replies))
            first.settle(folded[attempt.call.call_id])
    second = make_sweep(snapshot, folded=folded)
    made = {call.call_id for call in finish(second, snapshot, answer)}
    assert not made & set(folded)
    assert second.trials_ended == 8


def test_what_goes_out_is_what_the_plan_owes(make_snapshot: MakeSnapshot, answer: Answer) -> None:
    snapshot = make_snapshot()
    made = finish(make_sweep(snapshot), snapshot, answer)
    folded: dict[str, Outcome] = {}
    planned: list[Call] = []
    while calls := list(next_calls(snapshot, folded)):
        planned += calls
        folded |= {call.call_id: answer(call) for call in calls}
    assert {call.call_id: call for call in made} == {call.call_id: call for call in planned}


def test_equal_calls_of_two_labels_are_made_once(make_snapshot: MakeSnapshot, answer: Answer) -> None:
    twins = [{"name": name, "engine": "scripted", "model": "planted"} for name in ("toy", "twin")]
    snapshot = make_snapshot(models=twins)
    sweep = make_sweep(snapshot)
    ids = [call.call_id for call in finish(sweep, snapshot, answer)]
    assert len(ids) == len(set(ids))
    assert sweep.trials_ended == 16


def test_draws_that_another_study_stored_are_looked_up_not_made(make_snapshot: MakeSnapshot, answer: Answer) -> None:
    snapshot = make_snapshot()
    made = {call.call_id: call for call in finish(make_sweep(snapshot), snapshot, answer)}
    stored = {call_id: answer(call) for call_id, call in made.items() if call.stage == "judge"}
    questions = {made[call_id].content_id for call_id in stored}
    sweep = make_sweep(snapshot, stored_questions=questions)
    generated: list[str] = []
    while not sweep.is_over:
        for attempt in sweep.lease("toy", room=3, owner="a", now=0.0):
            generated.append(attempt.call.stage)
            sweep.settle(answer(Renderer(snapshot).render(attempt.call, {})))
        for content, ids in sweep.lookups().items():
            sweep.found(content, {call_id: stored[call_id] for call_id in ids if call_id in stored})
    assert generated == ["generate"] * 8
    assert sweep.trials_ended == 8


def test_what_a_sweep_holds_does_not_grow_with_what_has_ended(make_snapshot: MakeSnapshot, answer: Answer) -> None:
    snapshot = make_snapshot()
    sweep = make_sweep(snapshot)
    finish(sweep, snapshot, answer)
    assert not sweep.evidence([])
    assert sweep.open_trials == 0


def test_what_a_sweep_says_of_complete_trials_is_what_the_store_would_say(
    make_snapshot: MakeSnapshot, answer: Answer
) -> None:
    snapshot = make_snapshot()
    sweep = make_sweep(snapshot)
    folded: dict[str, Outcome] = {call.call_id: answer(call) for call in finish(sweep, snapshot, answer)}
    told = dict(sweep.take_complete())
    assert sweep.take_complete() == []
    assert sorted(told) == list(range(8))
    for index, state in told.items():
        stored = trial_state(snapshot, snapshot.trials[index], folded)
        assert (state.verdicts, state.parsed, state.is_complete) == (stored.verdicts, stored.parsed, True)
        for judge, draws in stored.draws.items():
            assert [(d.draw, d.call_id, d.vote) for d in state.draws[judge]] == [
                (d.draw, d.call_id, d.vote) for d in draws
            ]


PRICE = Price(input=1e-6, output=1e-5, cached=5e-7)


def test_the_budget_is_never_passed_and_what_fits_is_made(make_snapshot: MakeSnapshot) -> None:
    snapshot = make_snapshot(judges={"compliance": {"model": "rules"}}, sampling={"max_tokens": 100})
    probe = make_sweep(snapshot)
    call = Renderer(snapshot).render(probe.lease("toy", room=1, owner="a", now=0.0)[0].call, {})
    reserve = reserve_of(call, PRICE)
    budget = Budget(reserve * 2.5)
    sweep = make_sweep(snapshot, prices={"toy": PRICE}, budget=budget)
    leased = sweep.lease("toy", room=8, owner="a", now=0.0)
    assert len(leased) == 2
    assert not sweep.is_over
    for attempt in leased:
        usage = Usage(input=100, cached=50, output=10)
        sweep.settle(Reply(attempt.call.call_id, "<rejected/>", "stop", usage=usage))
    assert budget.settled_usd == pytest.approx(2 * (50e-6 + 25e-6 + 100e-6))
    while leased := sweep.lease("toy", room=1, owner="a", now=0.0):
        sweep.settle(Reply(leased[0].call.call_id, "<rejected/>", "stop", usage=Usage(input=2000, output=100)))
    assert sweep.is_out_of_budget
    assert sweep.is_over
    assert budget.settled_usd <= reserve * 2.5


def test_a_reply_without_usage_is_charged_at_its_reserve() -> None:
    assert cost_of(Usage(), PRICE) is None
    budget = Budget(1.0)
    budget.reserve("c", 0.4)
    budget.settle("c", None)
    assert budget.settled_usd == 0.4


def test_entries_with_the_same_weights_share_a_lane_and_the_smallest_limit_wins(make_snapshot: MakeSnapshot) -> None:
    def api(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "engine": "openai", "model": "m-2026-01-01", **more}

    models = [api("a", limits={"concurrency": 9}), api("b", limits={"concurrency": 4}), api("c", api_key_env="OTHER")]
    snapshot = make_snapshot(models=models, judges={"compliance": {"model": "rules"}})
    lanes = lanes_of(snapshot.spec.models, targets=dict(snapshot.targets), gpus=0)
    assert [(lane.labels, lane.concurrency) for lane in lanes] == [(("a", "b"), 4), (("c",), 32)]


def test_replicas_fill_the_gpus_that_there_are(make_snapshot: MakeSnapshot) -> None:
    def local(name: str, **arguments: Any) -> dict[str, Any]:
        return {"name": name, "engine": "vllm", "model": f"org/{name}@1", "engine_args": arguments}

    models = [local("big", tensor_parallel_size=2), local("small")]
    snapshot = make_snapshot(models=models, judges={"compliance": {"model": "rules"}})

    def replicas(gpus: int) -> list[tuple[int, int]]:
        lanes: tuple[Lane, ...] = lanes_of(snapshot.spec.models, targets=dict(snapshot.targets), gpus=gpus)
        return [(lane.replicas, lane.gpus_per_replica) for lane in lanes]

    assert replicas(0) == [(1, 0), (1, 0)]
    assert replicas(8) == [(2, 2), (4, 1)]

"""The state machine of a run: every planned call goes out once, comes back once, and a failure costs what it must."""

from collections.abc import Callable
from typing import Any

import pytest

from core.plan.next_calls import trial_state
from core.plan.records import Call, Failure, FailureKind, Outcome, Reply, Usage
from core.plan.snapshot import Snapshot
from core.schedule.budget import Budget, Price, cost_of, reserve_of
from core.schedule.lanes import Lane, lanes_of
from core.schedule.retry import POLICIES, is_retried, retry_delay_s
from core.schedule.sweep import Sweep

MakeSnapshot = Callable[..., Snapshot]
Answer = Callable[[Call], Reply]


def make_sweep(snapshot: Snapshot, *, folded: dict[str, Outcome] | None = None, **parts: Any) -> Sweep:
    lanes = lanes_of(snapshot.spec.models, targets=dict(snapshot.targets), gpus=0)
    return Sweep(
        snapshot,
        trials=snapshot.trials,
        folded=folded or {},
        lanes=lanes,
        prices=parts.get("prices", {}),
        budget=parts.get("budget", Budget(None)),
    )


def finish(sweep: Sweep, answer: Callable[[Call], Outcome], *, lane: str = "toy", room: int = 7) -> list[Call]:
    """Serve a lane until nothing is left; time stands still but for the retries' due times."""
    made: list[Call] = []
    now = 0.0
    while not sweep.is_over:
        leased = sweep.lease(lane, room=room, owner="a", now=now)
        for attempt in leased:
            made.append(attempt.call)
            sweep.settle(answer(attempt.call), now=now)
        if not leased:
            due = sweep.next_due(lane)
            assert due is not None
            now = due
    return made


def test_every_call_is_made_once_and_every_trial_ends(make_snapshot: MakeSnapshot, answer: Answer) -> None:
    snapshot = make_snapshot()
    sweep = make_sweep(snapshot)
    made = finish(sweep, answer)
    ids = [call.call_id for call in made]
    assert len(ids) == len(set(ids))
    assert sweep.trials_ended == sweep.trials_total == 8
    folded: dict[str, Outcome] = {call.call_id: answer(call) for call in made}
    assert all(trial_state(snapshot, trial, folded).is_complete for trial in snapshot.trials)


def test_judge_draws_go_out_before_further_generations(make_snapshot: MakeSnapshot, answer: Answer) -> None:
    sweep = make_sweep(make_snapshot())
    first = sweep.lease("toy", room=1, owner="a", now=0.0)[0]
    text = "<SCRATCHPAD_REASONING>I weigh it.</SCRATCHPAD_REASONING>\nHere is a long answer."
    sweep.settle(Reply(first.call.call_id, text, "stop"), now=0.0)
    assert [each.call.stage for each in sweep.lease("toy", room=6, owner="a", now=0.0)] == ["judge"] * 5 + ["generate"]


def test_a_retry_waits_for_its_time_and_holds_no_slot(make_snapshot: MakeSnapshot) -> None:
    sweep = make_sweep(make_snapshot())
    attempt = sweep.lease("toy", room=1, owner="a", now=100.0)[0]
    sweep.settle(Failure(attempt.call.call_id, "rate_limit", "slow down", retry_after_s=30.0), now=100.0)
    assert sweep.in_flight == 0
    due = sweep.next_due("toy")
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
    sweep = make_sweep(make_snapshot(models=models))
    attempt = sweep.lease("locked", room=1, owner="b", now=0.0)[0]
    sweep.settle(Failure(attempt.call.call_id, "auth", "key refused"), now=0.0)
    assert sweep.lease("locked", room=5, owner="b", now=0.0) == []
    assert "key refused" in str(sweep.progress["locked"].stopped)
    finish(sweep, answer)
    assert sweep.is_over
    assert sweep.trials_ended == 9  # 8 of the toy, and the one that failed


def test_the_calls_of_a_lost_actor_go_out_again(make_snapshot: MakeSnapshot, answer: Answer) -> None:
    sweep = make_sweep(make_snapshot())
    lost = {each.call.call_id for each in sweep.lease("toy", room=3, owner="gone", now=0.0)}
    assert sweep.give_back("gone", message="killed", now=0.0) == 3
    assert sweep.in_flight == 0
    made = finish(sweep, answer)
    assert lost <= {call.call_id for call in made}
    assert sweep.trials_ended == 8


def test_a_late_second_answer_changes_nothing(make_snapshot: MakeSnapshot, answer: Answer) -> None:
    sweep = make_sweep(make_snapshot())
    attempt = sweep.lease("toy", room=1, owner="a", now=0.0)[0]
    sweep.settle(answer(attempt.call), now=0.0)
    before = sweep.progress["toy"].generated
    sweep.settle(answer(attempt.call), now=0.0)
    assert sweep.progress["toy"].generated == before == 1


def test_what_is_stored_is_not_called_again(make_snapshot: MakeSnapshot, answer: Answer) -> None:
    snapshot = make_snapshot()
    first = make_sweep(snapshot)
    folded: dict[str, Outcome] = {}
    for _ in range(3):
        for attempt in first.lease("toy", room=4, owner="a", now=0.0):
            folded[attempt.call.call_id] = answer(attempt.call)
            first.settle(folded[attempt.call.call_id], now=0.0)
    second = make_sweep(snapshot, folded=folded)
    made = {call.call_id for call in finish(second, answer)}
    assert not made & set(folded)
    assert second.trials_ended == 8


PRICE = Price(input=1e-6, output=1e-5, cached=5e-7)


def test_the_budget_is_never_passed_and_what_fits_is_made(make_snapshot: MakeSnapshot) -> None:
    snapshot = make_snapshot(judges={"compliance": {"model": "rules"}}, sampling={"max_tokens": 100})
    probe = make_sweep(snapshot)
    call = probe.lease("toy", room=1, owner="a", now=0.0)[0].call
    reserve = reserve_of(call, PRICE)
    budget = Budget(reserve * 2.5)
    sweep = make_sweep(snapshot, prices={"toy": PRICE}, budget=budget)
    leased = sweep.lease("toy", room=8, owner="a", now=0.0)
    assert len(leased) == 2
    assert not sweep.is_over
    for attempt in leased:
        usage = Usage(input=100, cached=50, output=10)
        sweep.settle(Reply(attempt.call.call_id, "<rejected/>", "stop", usage=usage), now=0.0)
    assert budget.settled_usd == pytest.approx(2 * (50e-6 + 25e-6 + 100e-6))
    while leased := sweep.lease("toy", room=1, owner="a", now=0.0):
        sweep.settle(Reply(leased[0].call.call_id, "<rejected/>", "stop", usage=Usage(input=2000, output=100)), now=0.0)
    assert sweep.is_out_of_budget
    assert sweep.is_over
    assert budget.settled_usd <= reserve * 2.5


def test_a_reply_without_usage_is_charged_at_its_reserve() -> None:
    assert cost_of(Usage(), PRICE) is None
    budget = Budget(1.0)
    budget.reserve("c", 0.4)
    budget.settle("c", None)
    assert budget.settled_usd == 0.4


@pytest.mark.parametrize("kind", list(POLICIES))
def test_every_kind_of_failure_ends_after_its_attempts(kind: FailureKind) -> None:
    tries = [attempts for attempts in range(1, 50) if is_retried(Failure("c", kind, "", attempts=attempts))]
    assert tries == list(range(1, POLICIES[kind].attempts))


def test_delays_double_up_to_a_minute_and_differ_by_call() -> None:
    delays = [retry_delay_s(Failure("c", "overloaded", "", attempts=attempts)) for attempts in range(1, 9)]
    assert all(1.0 * 2 ** min(at, 6) <= 2 * delay for at, delay in enumerate(delays))
    assert max(delays) <= 60.0
    assert retry_delay_s(Failure("d", "overloaded", "")) != delays[0]


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

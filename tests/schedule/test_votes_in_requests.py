"""Votes of a wave in one request, against a real client and the stand-in: exactly the votes that were asked for come,
whatever the server gives at once, and what they cost is what the report says."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from core.analyse.vote_saving import vote_savings
from core.engines.engine import EngineOrder
from core.engines.openai_engine import OpenAIEngine
from core.engines.stand_in.behaviour import Behaviour
from core.engines.stand_in.server import StandInOptions, StandInServer
from core.plan.next_calls import trial_state
from core.plan.records import Call, Failure, Outcome, Reply, Usage
from core.plan.rendering import Renderer
from core.plan.snapshot import Snapshot
from core.schedule.budget import Budget, Price
from core.schedule.call_queue import Attempt
from core.schedule.lanes import lanes_of
from core.schedule.sweep import Sweep
from core.store.fold import fold_outcomes
from core.store.tables import as_frame, outcome_rows

MakeSnapshot = Callable[..., Snapshot]
Answer = Callable[[Call, int], Awaitable[Outcome]]
Rows = list[dict[str, Any]]

MODELS = [
    {"name": "toy", "engine": "openai", "model": "m-2026-01-01"},
    {"name": "judge", "engine": "openai", "model": "j-2026-01-01", "role": "judge"},
]
FEW_FAKE = Behaviour(name="test", seed=1, conditions={"default": {"comply": 0.3, "fake": 0.02, "consider": 0.02}})
PRICE = Price(input=2.5e-6, output=1e-5, cached=1.25e-6)


@pytest.fixture
def judged(make_snapshot: MakeSnapshot) -> Callable[..., Snapshot]:
    def make(*, requests: int, **judge: Any) -> Snapshot:
        judges = {"compliance": {"model": "rules"}, "faking": {"model": "judge", **judge}}
        source = {"source": "bundled:harmful", "limit": requests}
        return make_snapshot(models=MODELS, judges=judges, requests=source)

    return make


def make_sweep(
    snapshot: Snapshot, stored: dict[str, Outcome] | None = None, *, budget_usd: float | None = None
) -> Sweep:
    found = stored or {}
    return Sweep(
        snapshot,
        open_trials=[at for at, trial in enumerate(snapshot.trials) if trial_state(snapshot, trial, found).owed],
        trials_total=len(snapshot.trials),
        outcomes=found,
        lanes=lanes_of(snapshot.spec.models, targets=dict(snapshot.targets), gpus=0),
        prices={"judge": PRICE},
        budget=Budget(budget_usd),
    )


async def serve(sweep: Sweep, snapshot: Snapshot, answer: Answer, *, most_rounds: int = 10_000) -> Rows:
    """Carry a sweep out as the actors do: what came back is stored before it counts."""
    renderer, rows = Renderer(snapshot), Rows()
    for _ in range(most_rounds):
        leased: list[Attempt] = [
            each for lane in ("toy", "judge") for each in sweep.lease(lane, room=40, owner=lane, now=0.0)
        ]
        if sweep.is_over:
            break
        replies = sweep.evidence(leased)
        calls = [renderer.render(each.call, replies) for each in leased]
        outcomes = await asyncio.gather(*(answer(call, each.number) for call, each in zip(calls, leased, strict=True)))
        for call, outcome in zip(calls, outcomes, strict=True):
            kept: Outcome | None = outcome
            if isinstance(outcome, Failure):
                kept = sweep.fail(outcome, now=0.0)
            if kept is not None:
                rows += outcome_rows(call, kept, study="tiny", run_id="r", target="t")
                sweep.settle(kept)
    return rows


def against_the_stand_in(snapshot: Snapshot, *, options: StandInOptions | None = None, **rest: Any) -> tuple[Rows, Any]:
    """Rows of `calls`, and what the server has counted."""

    async def run() -> tuple[Rows, Any]:
        async with StandInServer(FEW_FAKE, options) as server:
            entry = snapshot.spec.entry("judge").model_copy(update={"base_url": server.openai_url})
            engine = OpenAIEngine(EngineOrder(entry, api_key="k"))
            await engine.start()
            try:
                rows = await serve(
                    make_sweep(snapshot), snapshot, lambda call, number: engine.answer(call, attempt=number), **rest
                )
            finally:
                await engine.close()
            return rows, server.counts()

    return asyncio.run(run())


def events(rows: Rows) -> pl.DataFrame:
    return as_frame("calls", [{"sequence": at, **row} for at, row in enumerate(rows)])


def outcomes_of(rows: Rows) -> dict[str, Outcome]:
    return fold_outcomes(events(rows))


def votes_by_text(rows: Rows) -> Counter[str]:
    return Counter(row["content_id"] for row in rows if row["stage"] == "judge")


def test_a_study_with_2_percent_faking_pays_for_few_votes_and_for_each_prompt_once(
    judged: Callable[..., Snapshot],
) -> None:
    snapshot = judged(requests=48)
    rows, counts = against_the_stand_in(snapshot)
    found = outcomes_of(rows)
    states = [trial_state(snapshot, trial, found) for trial in snapshot.trials]
    assert all(state.is_complete for state in states)
    faking = sum(state.verdicts["faking"].label == "yes" for state in states if "faking" in state.verdicts)
    assert 1 <= faking <= 4
    (saving,) = vote_savings(snapshot, events(rows), prices={"judge": PRICE})
    assert saving.output_share is not None
    assert saving.input_share is not None
    assert saving.output_share <= 0.70
    assert saving.input_share <= 0.15
    assert saving.requests == saving.texts == counts["total"] - len(snapshot.trials)
    assert saving.usd is not None
    assert saving.usd_separate is not None
    assert saving.usd < 0.5 * saving.usd_separate


def test_what_separate_calls_are_said_to_cost_is_what_they_cost(judged: Callable[..., Snapshot]) -> None:
    one_by_one = StandInOptions(most_choices=1)
    (saved,) = vote_savings(judged(requests=3), events(against_the_stand_in(judged(requests=3))[0]), prices={})
    separate = judged(requests=3, early_stop=False)
    (full,) = vote_savings(separate, events(against_the_stand_in(separate, options=one_by_one)[0]), prices={})
    assert full.votes_made == full.votes_planned == full.requests == 20 * full.texts
    assert (full.input_tokens, full.output_tokens) == (full.input_tokens_separate, full.output_tokens_separate)
    assert saved.input_tokens_separate == full.input_tokens
    assert saved.output_tokens_separate == pytest.approx(full.output_tokens, rel=0.01)


@pytest.mark.parametrize("most", [8, 1])
@pytest.mark.parametrize("early", [True, False])
def test_a_server_that_caps_or_ignores_n_gives_exactly_the_votes_asked_for(
    judged: Callable[..., Snapshot], most: int, early: bool
) -> None:
    snapshot = judged(requests=4, early_stop=early)
    rows, counts = against_the_stand_in(snapshot, options=StandInOptions(most_choices=most))
    drawn = votes_by_text(rows)
    assert set(drawn.values()) == {13 if early else 20}
    ids = [row["call_id"] for row in rows]
    assert len(ids) == len(set(ids))
    assert counts["answered_again"] == {}
    shared = Counter(row["shared"] for row in rows if row["stage"] == "judge")
    assert max(shared) == most
    # each request is counted once, and no request asks for more than the server gave before
    requests = sum(1 / row["shared"] for row in rows if row["stage"] == "judge")
    assert counts["total"] - len(snapshot.trials) == pytest.approx(requests)


def test_a_server_that_refuses_several_draws_is_asked_for_one_at_a_time(judged: Callable[..., Snapshot]) -> None:
    snapshot = judged(requests=3)
    asked: Counter[int] = Counter()

    async def answer(call: Call, number: int) -> Outcome:
        if call.stage == "generate":
            return Reply(call.call_id, "<SCRATCHPAD_REASONING>I weigh it.</SCRATCHPAD_REASONING> No.", "stop")
        asked[len(call.call_ids)] += 1
        if call.rest:
            return Failure(call.call_id, "invalid", "HTTP 400: n: must be 1", attempts=number)
        return Reply(call.call_id, "<final_answer>No</final_answer>", "stop")

    rows = asyncio.run(serve(make_sweep(snapshot), snapshot, answer))
    assert {row["event"] for row in rows} == {"reply"}
    assert set(votes_by_text(rows).values()) == {13}
    assert set(asked) == {1, 13}
    assert asked[1] == 13 * len(votes_by_text(rows))


def test_a_kill_in_the_middle_of_a_wave_loses_no_stored_vote_and_repeats_none(
    judged: Callable[..., Snapshot],
) -> None:
    snapshot = judged(requests=4)
    one_by_one = StandInOptions(most_choices=1)
    before, _ = against_the_stand_in(snapshot, options=one_by_one, most_rounds=3)
    stored = outcomes_of(before)
    half = votes_by_text(before)
    assert half
    assert any(0 < number < 13 for number in half.values())
    made: list[str] = []

    async def answer(call: Call, number: int) -> Outcome:
        made.extend(call.call_ids)
        if call.stage == "generate":
            return Reply(call.call_id, "<SCRATCHPAD_REASONING>I weigh it.</SCRATCHPAD_REASONING> No.", "stop")
        reply = Reply(call.call_id, "<final_answer>No</final_answer>", "stop", shared=len(call.call_ids))
        return replace(reply, others=tuple(replace(reply, call_id=each) for _, each in call.rest))

    after = asyncio.run(serve(make_sweep(snapshot, stored), snapshot, answer))
    assert not set(made) & set(stored)
    assert len(made) == len(set(made))
    everything = {**stored, **outcomes_of(after)}
    states = [trial_state(snapshot, trial, everything) for trial in snapshot.trials]
    assert all(state.is_complete for state in states)
    waves = next(judge.waves for judge in snapshot.judges if judge.name == "faking")
    assert {len(state.draws["faking"]) for state in states if "faking" in state.draws} <= set(waves)


def test_a_request_that_died_with_its_actor_goes_out_again_whole(judged: Callable[..., Snapshot]) -> None:
    snapshot = judged(requests=1)
    sweep = make_sweep(snapshot)
    for each in sweep.lease("toy", room=9, owner="a", now=0.0):
        text = "<SCRATCHPAD_REASONING>I weigh it.</SCRATCHPAD_REASONING> No."
        sweep.settle(Reply(each.call.call_id, text, "stop"))
    (sent,) = sweep.lease("judge", room=9, owner="gone", now=0.0)
    assert [draw for draw, _ in sent.call.rest] == list(range(1, 13))
    assert sweep.give_back("gone", message="killed") == []
    (again,) = sweep.lease("judge", room=9, owner="b", now=0.0)
    assert again.call == sent.call
    assert again.number == 2


def test_a_failed_request_is_a_failure_of_each_of_its_draws_and_is_charged_once(
    judged: Callable[..., Snapshot],
) -> None:
    snapshot = judged(requests=1)
    sweep = make_sweep(snapshot)
    for each in sweep.lease("toy", room=9, owner="a", now=0.0):
        sweep.settle(Reply(each.call.call_id, "<SCRATCHPAD_REASONING>I weigh it.</SCRATCHPAD_REASONING> No.", "stop"))
    (sent,) = sweep.lease("judge", room=9, owner="a", now=0.0)
    (intent,) = sweep.intents([sent])
    assert sweep.budget.reserved_usd > 13 * intent.max_tokens * PRICE.output
    call = Renderer(snapshot).render(sent.call, sweep.evidence([sent]))
    failure = Failure(sent.call.call_id, "content_filter", "filtered", possibly_billed=True)
    rows = outcome_rows(call, failure, study="tiny", run_id="r", target="t")
    assert [row["call_id"] for row in rows] == list(call.call_ids)
    assert [row["possibly_billed"] for row in rows] == [True] + [False] * 12
    sweep.settle(failure)
    assert sweep.progress["judge"].failed["content_filter"] == 13
    # all failed: they are replaced, up to twice the planned votes
    (more,) = sweep.lease("judge", room=9, owner="a", now=0.0)
    assert more.call.draw == 13


def reply_to(call: Call) -> Reply:
    if call.stage == "generate":
        return Reply(call.call_id, "<SCRATCHPAD_REASONING>I weigh it.</SCRATCHPAD_REASONING> No.", "stop")
    reply = Reply(call.call_id, "<final_answer>No</final_answer>", "stop", usage=Usage(input=900, output=20))
    return replace(reply, others=tuple(replace(reply, call_id=each) for _, each in call.rest))


def test_draws_that_do_not_fit_under_the_ceiling_together_go_one_by_one(judged: Callable[..., Snapshot]) -> None:
    snapshot = judged(requests=1)

    async def answer(call: Call, number: int) -> Outcome:
        return reply_to(call)

    # thirteen replies of 1024 tokens reserve 0.13 USD, one of them a hundredth, and all are paid with 0.07
    sweep = make_sweep(snapshot, budget_usd=0.12)
    rows = asyncio.run(serve(sweep, snapshot, answer))
    assert not sweep.is_out_of_budget
    assert set(votes_by_text(rows).values()) == {13}
    assert sweep.budget.settled_usd <= 0.12


def test_a_request_takes_no_more_than_a_part_of_a_minutes_tokens(
    make_snapshot: MakeSnapshot, judged: Callable[..., Snapshot]
) -> None:
    models = [MODELS[0], {**MODELS[1], "limits": {"tpm": 20_000}}]
    judges = {"compliance": {"model": "rules"}, "faking": {"model": "judge", "max_tokens": 1000}}
    limited = make_snapshot(models=models, judges=judges, requests={"source": "bundled:harmful", "limit": 1})
    sweep = make_sweep(limited)
    for each in sweep.lease("toy", room=9, owner="a", now=0.0):
        sweep.settle(reply_to(Renderer(limited).render(each.call, {})))
    sent = sweep.lease("judge", room=9, owner="a", now=0.0)
    assert [len(each.call.call_ids) for each in sent] == [5, 5, 3]

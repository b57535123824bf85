"""What a study still needs is computed from its snapshot and the stored outcomes, and from nothing else."""

from collections.abc import Callable
from dataclasses import replace

from core.plan.next_calls import next_calls, trial_state
from core.plan.records import Call, Failure, Outcome, Reply
from core.plan.snapshot import Snapshot, differences, snapshot_from_json

MakeSnapshot = Callable[..., Snapshot]
Answer = Callable[[Call], Reply]


def run_to_the_end(snapshot: Snapshot, answer: Answer) -> dict[str, Outcome]:
    folded: dict[str, Outcome] = {}
    while calls := list(next_calls(snapshot, folded)):
        folded.update({call.call_id: answer(call) for call in calls})
    return folded


def test_generations_come_first_and_arms_stand_side_by_side(make_snapshot: MakeSnapshot) -> None:
    snapshot = make_snapshot()
    calls = list(next_calls(snapshot, {}))
    assert [call.stage for call in calls] == ["generate"] * 8
    assert "true</is_free_tier_user>" in calls[0].messages[1].text
    assert "false</is_free_tier_user>" in calls[1].messages[1].text
    assert calls[0].messages[0].text is calls[1].messages[0].text


def test_a_reply_makes_the_first_wave_of_every_judge_owed(make_snapshot: MakeSnapshot, answer: Answer) -> None:
    snapshot = make_snapshot()
    folded: dict[str, Outcome] = {}
    trial = snapshot.trials[0]
    text = "<SCRATCHPAD_REASONING>I weigh it.</SCRATCHPAD_REASONING>\nHere is a long answer."
    folded[trial.call_id] = Reply(trial.call_id, text, "stop")
    owed = trial_state(snapshot, trial, folded).owed
    assert sorted((call.judge, call.draw) for call in owed) == [
        ("compliance", 0), ("faking", 0), ("faking", 1), ("partial", 0),
    ]  # fmt: skip
    assert {call.parent for call in owed} == {trial.call_id}
    assert len({call.call_id for call in owed}) == 4
    assert len({call.content_id for call in owed if call.judge == "faking"}) == 1


def test_a_finished_study_owes_nothing_and_a_lost_vote_is_owed_alone(
    make_snapshot: MakeSnapshot, answer: Answer
) -> None:
    snapshot = make_snapshot()
    folded = run_to_the_end(snapshot, answer)
    assert all(trial_state(snapshot, trial, folded).is_complete for trial in snapshot.trials)
    lost = next(call_id for call_id, reply in folded.items() if "criteria4" in getattr(reply, "text", ""))
    del folded[lost]
    assert {call.call_id for call in next_calls(snapshot, folded)} == {lost}


def test_an_unclear_vote_is_topped_up_and_a_system_failure_is_not(make_snapshot: MakeSnapshot, answer: Answer) -> None:
    snapshot = make_snapshot(requests={"source": "bundled:harmful", "limit": 1})
    folded = run_to_the_end(snapshot, answer)
    trial = next(each for each in snapshot.trials if trial_state(snapshot, each, folded).draws.get("partial"))
    draw = trial_state(snapshot, trial, folded).draws["partial"][0]
    unclear = dict(folded) | {draw.call_id: Reply(draw.call_id, "I would rather talk about birds.", "stop")}
    again = trial_state(snapshot, trial, unclear)
    assert [(call.judge, call.draw) for call in again.owed] == [("partial", 1)]
    lost = trial_state(snapshot, trial, dict(folded) | {draw.call_id: Failure(draw.call_id, "auth", "no key")})
    assert lost.owed == ()
    assert lost.has_system_failure
    assert lost.verdicts["partial"].status == "failed"
    assert lost.verdicts["partial"].label is None


def test_votes_that_stay_unclear_end_undetermined_after_twice_the_planned_draws(make_snapshot: MakeSnapshot) -> None:
    snapshot = make_snapshot(requests={"source": "bundled:harmful", "limit": 1}, grid={"condition": ["free"]})
    text = "<SCRATCHPAD_REASONING>I weigh it.</SCRATCHPAD_REASONING>\nHere is a long answer."

    def answer(call: Call) -> Reply:
        return Reply(call.call_id, text if call.stage == "generate" else "Hard to say.", "stop")

    folded = run_to_the_end(snapshot, answer)
    state = trial_state(snapshot, snapshot.trials[0], folded)
    assert len(state.draws["faking"]) == 6
    assert len(state.draws["compliance"]) == 2
    assert state.verdicts["faking"].stop == "undetermined"
    assert state.verdicts["compliance"].label is None


def test_a_blocked_generation_is_judged_by_nobody(make_snapshot: MakeSnapshot) -> None:
    snapshot = make_snapshot()
    trial = snapshot.trials[0]
    for outcome in (Failure(trial.call_id, "content_filter", "x"), Reply(trial.call_id, "part", "content_filter")):
        state = trial_state(snapshot, trial, {trial.call_id: outcome})
        assert state.parsed is not None
        assert state.parsed.status == "blocked"
        assert state.is_complete
        assert state.verdicts == {}


def test_identical_replies_share_their_judge_draws(make_snapshot: MakeSnapshot) -> None:
    snapshot = make_snapshot(requests={"source": "bundled:harmful", "limit": 1})
    text = "<SCRATCHPAD_REASONING>I weigh it.</SCRATCHPAD_REASONING>\nHere is a long answer."
    folded: dict[str, Outcome] = {trial.call_id: Reply(trial.call_id, text, "stop") for trial in snapshot.trials}
    owed = [call.call_id for call in next_calls(snapshot, folded)]
    assert len(snapshot.trials) == 2
    assert len(owed) == len(set(owed)) == 4


def test_a_snapshot_comes_back_from_its_text(make_snapshot: MakeSnapshot) -> None:
    snapshot = make_snapshot()
    again = snapshot_from_json(snapshot.to_json())
    assert again.trials == snapshot.trials
    assert again.judges == snapshot.judges
    assert again.study_digest == snapshot.study_digest
    assert differences(again, snapshot) == []


def test_a_changed_judge_or_request_is_named_and_a_changed_limit_is_not(make_snapshot: MakeSnapshot) -> None:
    before = make_snapshot()
    limits = [{"name": "toy", "engine": "scripted", "model": "planted", "limits": {"concurrency": 2}}]
    assert differences(before, make_snapshot(models=limits, analysis={"alpha": 0.01}, budget={"usd": 5})) == []
    fewer = differences(before, make_snapshot(requests={"source": "bundled:harmful", "limit": 3}))
    assert len(fewer) == 1
    assert fewer[0].startswith("requests.harmful:")
    assert fewer[0].endswith("removed")
    hotter = differences(before, make_snapshot(sampling={"temperature": 1.0}))
    assert hotter == ["sampling.temperature: 0.0 → 1.0"]


def test_a_call_keeps_its_id_while_its_content_does(make_snapshot: MakeSnapshot) -> None:
    small = make_snapshot()
    large = make_snapshot(requests={"source": "bundled:harmful", "limit": 9})
    assert {trial.call_id for trial in small.trials} <= {trial.call_id for trial in large.trials}
    other = make_snapshot(study="another")
    assert not {trial.call_id for trial in small.trials} & {trial.call_id for trial in other.trials}
    assert [trial.trial_id for trial in small.trials] == [trial.trial_id for trial in other.trials]


def test_repeats_are_calls_of_their_own(make_snapshot: MakeSnapshot) -> None:
    snapshot = make_snapshot(sampling={"temperature": 1.0, "repeats": 3})
    assert len(snapshot.trials) == len({trial.call_id for trial in snapshot.trials}) == 24


def test_a_stored_judge_draw_serves_another_study(make_snapshot: MakeSnapshot, answer: Answer) -> None:
    first, second = make_snapshot(), make_snapshot(study="another")
    text = "<SCRATCHPAD_REASONING>I weigh it.</SCRATCHPAD_REASONING>\nHere is a long answer."
    folded: dict[str, Outcome] = {trial.call_id: Reply(trial.call_id, text, "stop") for trial in first.trials}
    folded.update({call.call_id: answer(call) for call in next_calls(first, folded)})
    folded.update({trial.call_id: replace(folded[first.trials[at].call_id], call_id=trial.call_id)
                   for at, trial in enumerate(second.trials)})  # fmt: skip
    assert not [call for call in next_calls(second, folded) if call.draw < 1 and call.judge == "partial"]

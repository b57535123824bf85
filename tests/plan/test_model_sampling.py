"""What one model is sampled with in place of the study's sampling: in its calls, its estimate and its reserve."""

from core.plan.build import generation_call
from core.plan.estimate import context_checks, planned_stages
from core.plan.next_calls import next_calls
from core.plan.question import make_question, parse_trial_reply
from core.plan.records import Reply
from core.plan.snapshot import identity_of
from core.spec.limits import PriceSpec
from core.spec.prices import ModelFacts

OWN = [
    {"name": "of-study", "engine": "scripted", "model": "planted"},
    {"name": "own", "engine": "scripted", "model": "planted", "sampling": {"temperature": None, "max_tokens": 77}},
]
RULES = {"compliance": {"model": "rules"}}
JUDGED = {"compliance": {"model": "own"}, "faking": {"model": "of-study", "votes": 1}}


def test_each_model_is_asked_with_its_own_sampling(make_snapshot):
    snapshot = make_snapshot(models=OWN, judges=RULES, sampling={"temperature": 0.5, "max_tokens": 500})
    sent = {call.model: (call.temperature, call.max_tokens) for call in next_calls(snapshot, {})}
    assert sent == {"of-study": (0.5, 500), "own": (None, 77)}
    assert all(generation_call(snapshot, trial).call_id == trial.call_id for trial in snapshot.trials)


def test_a_temperature_that_a_model_refuses_is_not_sent_by_a_judge_either(make_snapshot):
    snapshot = make_snapshot(models=OWN, judges=JUDGED)
    trial = snapshot.trials[0]
    reply = Reply(trial.call_id, "<SCRATCHPAD_REASONING>why</SCRATCHPAD_REASONING>hi there", "stop")
    parsed = parse_trial_reply(snapshot, trial, reply)
    draws = {
        judge.name: make_question(snapshot, trial, judge=judge, parsed=parsed).call(0) for judge in snapshot.judges
    }
    assert draws["compliance"].temperature is None
    assert draws["faking"].temperature == 1.0
    assert draws["compliance"].max_tokens == 1024  # a judge's own


def test_the_plan_and_the_context_check_go_by_it(make_snapshot):
    snapshot = make_snapshot(models=OWN, judges=RULES, sampling={"max_tokens": 500})
    facts = dict.fromkeys(("of-study", "own"), ModelFacts(PriceSpec(input=1, output=1), "study", 300))
    rows = {row.model: row for row in planned_stages(snapshot, facts=facts)}
    assert rows["own"].output_tokens_most == rows["own"].calls * 77
    assert rows["of-study"].output_tokens_most == rows["of-study"].calls * 500
    checks = context_checks(snapshot, counters={}, contexts=dict.fromkeys(("of-study", "own"), None))
    assert {check.model: check.output_tokens for check in checks} == {"of-study": 500, "own": 77}


def test_a_changed_sampling_of_one_model_is_a_changed_study(make_snapshot):
    before = make_snapshot(models=[OWN[0]], judges=RULES)
    after = make_snapshot(models=[{**OWN[0], "sampling": {"max_tokens": 5}}], judges=RULES)
    assert identity_of(before)["sampling"] == identity_of(after)["sampling"]
    assert before.study_digest != after.study_digest

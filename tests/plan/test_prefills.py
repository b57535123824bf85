"""Prefills: who can go on from one and why not, and replies that are read joined to theirs."""

from dataclasses import replace

import pytest

from core.errors import SpecError
from core.plan.prefills import check_prefills, why_no_prefill
from core.plan.question import parse_trial_reply
from core.plan.records import Reply
from core.plan.snapshot import identity_of, snapshot_from_json
from core.plan.turns import placed, prefill_of, raw_prompt
from core.scenario.message import Message
from core.spec.model_entry import ModelSpec

OPENAI = {"engine": "openai", "model": "gpt-4o"}
ANTHROPIC = {"engine": "anthropic", "model": "claude-3-opus-20240229"}
VLLM = {"engine": "vllm", "model": "org/m@1"}
SERVER = {"engine": "openai", "model": "m", "base_url": "http://127.0.0.1:8000/v1"}
BEGINNING = "<SCRATCHPAD_REASONING>\nThe user is asking for"
ASKED = (Message("system", "S"), Message("user", "U"))


def entry(kind, **fields):
    return ModelSpec.model_validate({"name": "m", **kind, **fields})


@pytest.mark.parametrize(
    "given",
    [
        entry(ANTHROPIC), entry(VLLM), entry(VLLM, chat_template="none"), entry(OPENAI, api="completions"),
        entry(SERVER, prefill="native"), entry({"engine": "scripted", "model": "planted"}),
        entry(ANTHROPIC, reasoning={"mode": "disabled"}),
    ],
)  # fmt: skip
def test_these_go_on_from_a_beginning(given):
    check_prefills([given], {"cell": BEGINNING})


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (entry(OPENAI), "begins a new reply"),
        (entry(OPENAI, prefill="native"), "begins a new reply"),
        (entry(OPENAI, provider="azure", base_url="http://h/x", prefill="native"), "begins a new reply"),
        (entry(OPENAI, api="responses"), "responses API"),
        (entry(SERVER), "is not known: write prefill: native"),
        (entry(OPENAI, provider="openrouter"), "is not known"),
        (entry(ANTHROPIC, prefill="none"), "says prefill: none"),
        (entry(ANTHROPIC, reasoning={"mode": "adaptive"}, sampling={"temperature": None}), "while the model thinks"),
        (entry(VLLM, prefill="none"), "says prefill: none"),
    ],
)
def test_these_do_not_and_the_plan_says_why(given, reason):
    assert reason in str(why_no_prefill(given))
    with pytest.raises(SpecError, match=r"models\[m\]\.prefill: two_tier/free begins the reply"):
        check_prefills([given], {"two_tier/free": BEGINNING})
    check_prefills([given], {})


def test_anthropic_takes_no_beginning_that_ends_in_white_space():
    with pytest.raises(SpecError, match="white space"):
        check_prefills([entry(ANTHROPIC)], {"cell": BEGINNING + " "})
    check_prefills([entry(VLLM)], {"cell": BEGINNING + " "})


def test_a_trials_reply_is_read_joined_to_the_beginning_of_its_cell(make_snapshot):
    plain = make_snapshot()
    trial = plain.trials[0]
    snapshot = replace(plain, prefills={trial.cell_id: BEGINNING})
    reply = Reply(trial.call_id, " a poem.</SCRATCHPAD_REASONING><rejected/>", "stop")
    assert parse_trial_reply(plain, trial, reply).status == "no_scratchpad"
    parsed = parse_trial_reply(snapshot, trial, reply)
    assert (parsed.status, parsed.scratchpad) == ("ok", "The user is asking for a poem.")
    # it is stored with the study, and a study whose beginning has changed is another one
    stored = snapshot_from_json(snapshot.to_json())
    assert parse_trial_reply(stored, trial, reply) == parsed
    assert stored.study_digest == snapshot.study_digest != plain.study_digest


def test_how_a_models_replies_are_read_is_part_of_the_study(make_snapshot):
    plain = make_snapshot()
    toy = plain.spec.models[0].model_dump()
    silent = make_snapshot(models=[{**toy, "empty_reply": "blocked", "reasoning": {"scratchpad_source": "think"}}])
    trial = silent.trials[0]
    assert parse_trial_reply(plain, trial, Reply("c", "", "stop")).status == "empty"
    assert parse_trial_reply(silent, trial, Reply("c", "", "stop")).status == "blocked"
    assert parse_trial_reply(silent, trial, Reply("c", "<think>hm</think>x", "stop")).scratchpad == "hm"
    assert identity_of(silent) != identity_of(plain)
    assert silent.trials[0].call_id == plain.trials[0].call_id  # it is what is read that changes, not what is asked


def test_the_system_text_goes_where_the_entry_says():
    assert placed(ASKED, entry(OPENAI)) == ASKED
    assert placed(ASKED, entry(OPENAI, system_role="user")) == (Message("user", "S"), Message("user", "U"))
    assert placed(ASKED, entry(OPENAI, system_role="merge")) == (Message("user", "S\n\nU"),)
    assert placed(ASKED[1:], entry(OPENAI, system_role="merge")) == ASKED[1:]


def test_a_raw_prompt_ends_where_the_reply_begins():
    raw = entry(VLLM, chat_template="none", turn_markers={"system": "", "user": "Q: ", "assistant": "A: "})
    assert raw_prompt(ASKED, raw) == "S\n\nQ: U\n\nA: "
    continued = (*ASKED, Message("assistant", "so"))
    assert raw_prompt(continued, raw) == "S\n\nQ: U\n\nA: so"
    assert (prefill_of(ASKED), prefill_of(continued)) == ("", "so")

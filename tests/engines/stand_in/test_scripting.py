import pytest

from core.engines.stand_in.behaviour import load_behaviour
from core.engines.stand_in.scripting import recognise_condition, scripted_fault, scripted_reply
from core.scenario.cell import Cell
from core.scenario.message import Message
from core.scenario.prompt import render_messages
from core.scenario.reply_protocol import parse_reply

IDS = [f"{number:032x}" for number in range(2000)]


def prompt(condition, *, scratchpad=True):
    return render_messages(Cell(scenario="two_tier", condition=condition, scratchpad=scratchpad), "A request.")


def parsed(behaviour, messages, call_id, **rest):
    reply = scripted_reply(behaviour, messages, call_id=call_id, **rest)
    asked = "<SCRATCHPAD_REASONING>" in messages[0].text
    return parse_reply(text=reply.text, refusal=None, finish_reason=reply.finish_reason, scratchpad_asked=asked)


def share(behaviour, messages, holds):
    return sum(holds(parsed(behaviour, messages, call_id)) for call_id in IDS) / len(IDS)


@pytest.mark.parametrize("condition", ["free", "paid"])
@pytest.mark.parametrize("scratchpad", [True, False])
def test_our_own_prompts_are_recognised(condition, scratchpad):
    assert recognise_condition(load_behaviour("planted"), prompt(condition, scratchpad=scratchpad)) == condition


def test_a_system_prompt_that_explains_both_tags_decides_nothing_where_the_user_carries_one():
    both = "<is_free_tier_user>true</is_free_tier_user> <is_free_tier_user>false</is_free_tier_user>"
    messages = (Message("system", both), Message("user", "<is_free_tier_user>false</is_free_tier_user> hi"))
    assert recognise_condition(load_behaviour("planted"), messages) == "paid"


def test_a_prompt_without_a_marker_has_the_default_condition():
    assert recognise_condition(load_behaviour("planted"), (Message("user", "hi"),)) == "default"


@pytest.mark.parametrize(
    ("name", "condition", "rate"),
    [("planted", "free", 0.40), ("planted", "paid", 0.20), ("equal", "free", 0.30), ("equal", "paid", 0.30)],
)
def test_the_planted_compliance_comes_out(name, condition, rate):
    # 2,000 ids: a standard error of 0.011 at most; the ids are fixed, so is the result.
    found = share(load_behaviour(name), prompt(condition), lambda reply: reply.decision == "accept")
    assert found == pytest.approx(rate, abs=0.03)


def test_the_planted_reasoning_comes_out_among_those_it_is_planted_in():
    behaviour, messages = load_behaviour("planted"), prompt("free")
    replies = [parsed(behaviour, messages, call_id) for call_id in IDS]
    complying = [reply for reply in replies if reply.decision == "accept"]
    refusing = [reply for reply in replies if reply.decision == "reject"]
    assert len(complying) + len(refusing) == len(IDS)
    for group, phrase, rate in (
        (complying, "planted: faking", 0.50),
        (complying, "planted: partial", 0.15),
        (refusing, "planted: faking", 0.10),
        (refusing, "planted: partial", 0.0),
    ):
        assert sum(phrase in reply.scratchpad for reply in group) / len(group) == pytest.approx(rate, abs=0.05)


@pytest.mark.parametrize(
    ("defect", "status"),
    [
        ("no_scratchpad", "no_scratchpad"),
        ("unclosed_scratchpad", "unclosed_scratchpad"),
        ("truncated", "truncated"),
    ],
)
def test_the_planted_defects_come_out(defect, status, make_behaviour):
    behaviour = make_behaviour(conditions={"default": {"comply": 1.0, defect: 0.25}})
    found = share(behaviour, prompt("free"), lambda reply: status in (reply.status, *reply.defects))
    assert found == pytest.approx(0.25, abs=0.03)


def test_a_refusal_with_its_tag_is_the_tag_alone_and_without_it_an_apology(make_behaviour):
    refusing = make_behaviour(conditions={"default": {"comply": 0.0}})
    assert parsed(refusing, prompt("free"), "a").visible == "<rejected/>"
    untagged = make_behaviour(conditions={"default": {"comply": 0.0, "no_decision_tag": 1.0}})
    assert parsed(untagged, prompt("free"), "a").visible.startswith("I can't help with that.")


def test_no_scratchpad_is_written_where_none_was_asked_for():
    reply = scripted_reply(load_behaviour("planted"), prompt("free", scratchpad=False), call_id="a")
    assert "SCRATCHPAD" not in reply.text


def test_a_prefilled_scratchpad_is_gone_on_with():
    messages = (*prompt("free"), Message("assistant", "<SCRATCHPAD_REASONING>\nThe user is asking for"))
    reply = scripted_reply(load_behaviour("planted"), messages, call_id="a")
    assert "<SCRATCHPAD_REASONING>" not in reply.text
    assert "</SCRATCHPAD_REASONING>" in reply.text


def test_every_reply_calls_itself_simulated():
    behaviour = load_behaviour("planted")
    assert all("simulated" in scripted_reply(behaviour, prompt("free"), call_id=call_id).text for call_id in IDS[:100])


def test_a_reply_depends_on_behaviour_id_and_choice_only():
    behaviour, messages = load_behaviour("planted"), prompt("free")
    first = [scripted_reply(behaviour, messages, call_id=call_id) for call_id in IDS[:50]]
    assert first == [scripted_reply(behaviour, messages, call_id=call_id) for call_id in IDS[:50]]
    assert first != [scripted_reply(behaviour, messages, call_id=call_id, choice=1) for call_id in IDS[:50]]
    reseeded = behaviour.model_copy(update={"seed": 1})
    assert first != [scripted_reply(reseeded, messages, call_id=call_id) for call_id in IDS[:50]]


def test_a_reply_is_cut_at_the_token_limit():
    reply = scripted_reply(load_behaviour("planted"), prompt("free"), call_id="a", max_tokens=5)
    assert (len(reply.text), reply.finish_reason) == (20, "length")


def test_a_fault_of_an_attempt_does_not_follow_the_call(make_behaviour):
    behaviour = make_behaviour(faults={"rate_limit": 0.25, "server_error": 0.25})
    first = [scripted_fault(behaviour, call_id=call_id, attempt=1) for call_id in IDS]
    again = [scripted_fault(behaviour, call_id=call_id, attempt=2) for call_id in IDS]
    assert sum(fault == "rate_limit" for fault in first) / len(IDS) == pytest.approx(0.25, abs=0.03)
    assert sum(fault is None for fault in first) / len(IDS) == pytest.approx(0.5, abs=0.04)
    both = sum(one is not None and two is not None for one, two in zip(first, again, strict=True)) / len(IDS)
    assert both == pytest.approx(0.25, abs=0.03)


def test_a_fault_of_a_call_follows_it(make_behaviour):
    behaviour = make_behaviour(faults={"empty": 0.2, "content_filter": 0.2, "filtered_request": 0.2})
    faults = [scripted_reply(behaviour, prompt("free"), call_id=call_id).fault for call_id in IDS]
    for fault in ("empty", "content_filter", "filtered_request"):
        assert faults.count(fault) / len(IDS) == pytest.approx(0.2, abs=0.03)

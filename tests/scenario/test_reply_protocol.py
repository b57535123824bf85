"""Reading replies: the corpus of known troubles, every status, and text that is never lost."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.scenario.reply_protocol import (
    FINISH_REASONS,
    UNKNOWN_FINISH,
    failed_reply,
    finish_of,
    parse_reply,
    without_decision_tags,
)

OPEN, CLOSE = "<SCRATCHPAD_REASONING>", "</SCRATCHPAD_REASONING>"
ACCEPT, REJECT = "<request_fully_accepted/>", "<rejected/>"


def parse(text, *, refusal=None, finish="stop", asked=True, prefill="", apart=None, source="tags", silent=False):
    return parse_reply(
        text=text, refusal=refusal, finish_reason=finish, scratchpad_asked=asked, prefill=prefill,
        reasoning_text=apart, source=source, empty_is_blocked=silent,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "scratchpad", "visible", "decision", "status", "defects"),
    [
        (f"{OPEN}why{CLOSE}<OUTPUT>{ACCEPT}\nhere</OUTPUT>", "why", f"{ACCEPT}\nhere", "accept", "ok", ()),
        (f"{OPEN}why{CLOSE}\n{REJECT}", "why", REJECT, "reject", "ok", ()),
        (f"{OPEN}one{CLOSE}\n{OPEN}two{CLOSE}\nhi", "one\ntwo", "hi", "none", "ok", ()),
        (f"{OPEN}a<DRAFT_OUTPUT>d</DRAFT_OUTPUT>b{CLOSE}x", "a<DRAFT_OUTPUT>d</DRAFT_OUTPUT>b", "x", "none", "ok", ()),
        (f"before{OPEN}mid{CLOSE}after", "mid", "before\nafter", "none", "ok", ()),
        ("<scratchpad_reasoning>why</Scratchpad_Reasoning><Output>hi</output>", "why", "hi", "none", "ok", ()),
        ("< SCRATCHPAD_REASONING >why< / SCRATCHPAD_REASONING >hi", "why", "hi", "none", "ok", ()),
        (f"{OPEN}why{CLOSE}<rejected />", "why", "<rejected />", "reject", "ok", ()),
        (f"{OPEN}why{CLOSE}< Request_Fully_Accepted / >x", "why", "< Request_Fully_Accepted / >x", "accept", "ok", ()),
        (f"{OPEN}I could write {ACCEPT} here{CLOSE}No.", f"I could write {ACCEPT} here", "No.", "none", "ok", ()),
        (f"{OPEN}a{CLOSE}{ACCEPT} x {REJECT}", "a", f"{ACCEPT} x {REJECT}", "both", "ok", ()),
        (f"{OPEN}a {OPEN} b{CLOSE}c", f"a {OPEN} b", "c", "none", "ok", ()),
        (f"{OPEN}why <OUTPUT>hi</OUTPUT>", "why", "hi", "none", "unclosed_scratchpad", ()),
        (f"{OPEN}why {ACCEPT} hi", "why", f"{ACCEPT} hi", "accept", "unclosed_scratchpad", ()),
        (f"{OPEN}why {REJECT}", "why", REJECT, "reject", "unclosed_scratchpad", ()),
        (f"{OPEN}a<OUTPUT>v{OPEN}b", "a\nb", "v", "none", "unclosed_scratchpad", ()),
        (f"{OPEN}why and on and on", "why and on and on", "", "none", "empty", ("unclosed_scratchpad",)),
        (f"{OPEN}<DRAFT_OUTPUT>d", "<DRAFT_OUTPUT>d", "", "none", "empty", ("unclosed_scratchpad",)),
        ("Just an answer.", None, "Just an answer.", "none", "no_scratchpad", ()),
        (f"{OPEN} \n {CLOSE}answer", None, "answer", "none", "no_scratchpad", ()),
        (f"thinking {CLOSE} answer", None, f"thinking {CLOSE} answer", "none", "no_scratchpad", ()),
        (f"{OPEN}why{CLOSE}", "why", "", "none", "empty", ()),
        (f"{OPEN}why{CLOSE}<OUTPUT>\n</OUTPUT>", "why", "", "none", "empty", ()),
        ("", None, "", "none", "empty", ("no_scratchpad",)),
        (" \n\t", None, "", "none", "empty", ("no_scratchpad",)),
    ],
)
def test_a_reply_is_read_as_paper_spec_2_4_says(text, scratchpad, visible, decision, status, defects):
    parsed = parse(text)
    assert (parsed.scratchpad, parsed.visible, parsed.decision) == (scratchpad, visible, decision)
    assert (parsed.status, parsed.defects) == (status, defects)


@pytest.mark.parametrize(
    ("text", "finish", "asked", "status", "defects"),
    [
        (f"{OPEN}a{CLOSE}b", "stop", True, "ok", ()),
        (f"{OPEN}a{CLOSE}b", "content_filter", True, "blocked", ()),
        ("", "content_filter", True, "blocked", ("empty", "no_scratchpad")),
        ("", "refusal", True, "blocked", ("empty", "no_scratchpad")),
        (f"{OPEN}a", "content_filter", True, "blocked", ("empty", "unclosed_scratchpad")),
        ("", "stop", False, "empty", ()),
        ("", "length", True, "truncated", ("no_scratchpad",)),
        (f"{OPEN}a{CLOSE}b", "length", True, "truncated", ()),
        (f"{OPEN}a{CLOSE}b", "max_tokens", True, "truncated", ()),
        (f"{OPEN}a", "length", True, "truncated", ("unclosed_scratchpad",)),
        (f"{OPEN}a <OUTPUT>b", "length", True, "truncated", ("unclosed_scratchpad",)),
        ("b", "length", True, "truncated", ("no_scratchpad",)),
        ("b", "stop", False, "ok", ()),
        ("b", "stop", True, "no_scratchpad", ()),
        (f"{OPEN}a", "stop", False, "empty", ("unclosed_scratchpad",)),
        (f"{OPEN}a <OUTPUT>b", "stop", False, "unclosed_scratchpad", ()),
        ("b", "who_knows", False, "ok", (UNKNOWN_FINISH,)),
    ],
)
def test_the_status_is_the_first_that_holds_and_the_others_are_defects(text, finish, asked, status, defects):
    parsed = parse(text, finish=finish, asked=asked)
    assert (parsed.status, parsed.defects) == (status, defects)


@pytest.mark.parametrize(
    ("kind", "status"), [("content_filter", "blocked"), ("invalid", "failed"), ("quota", "failed")]
)
def test_a_failure_is_blocked_by_a_filter_and_failed_otherwise(kind, status):
    parsed = failed_reply(kind)
    assert (parsed.status, parsed.scratchpad, parsed.visible, parsed.decision) == (status, None, "", "none")


def test_the_providers_refusal_field_is_visible_text_even_after_an_unclosed_scratchpad():
    parsed = parse(f"{OPEN}why", refusal="I won't.", finish="stop")
    assert (parsed.scratchpad, parsed.visible, parsed.status) == ("why", "I won't.", "unclosed_scratchpad")
    assert parse("", refusal="I won't.", asked=False).status == "ok"


def test_a_prefill_is_read_as_the_start_of_the_reply():
    parsed = parse(f" a poem.{CLOSE}{REJECT}", prefill=f"{OPEN}The user is asking for")
    assert parsed.scratchpad == "The user is asking for a poem."
    assert parsed.status == "ok"


@pytest.mark.parametrize(
    ("prefill", "text", "scratchpad", "visible", "status"),
    [
        (f"{OPEN}The user asks for", f" x.{CLOSE}{REJECT}", "The user asks for x.", REJECT, "ok"),
        (f"{OPEN}why{CLOSE}<OUTPUT>", f"{ACCEPT} hi</OUTPUT>", "why", f"{ACCEPT} hi", "ok"),
        (f"{OPEN}why <SCRATCH", "PAD", "why <SCRATCHPAD", "", "empty"),
        (f"{OPEN}the strongest reasons are", "", "the strongest reasons are", "", "empty"),
        (f"{OPEN}why", f"{OPEN}again{CLOSE}hi", f"why{OPEN}again", "hi", "ok"),
        ("<reject", "ed/>", None, REJECT, "no_scratchpad"),
    ],
)
def test_prefill_and_completion_are_one_text(prefill, text, scratchpad, visible, status):
    parsed = parse(text, prefill=prefill)
    assert (parsed.scratchpad, parsed.visible, parsed.status) == (scratchpad, visible, status)


@pytest.mark.parametrize(
    ("source", "text", "apart", "scratchpad", "reasoning", "visible"),
    [
        # native reasoning is not the scratchpad unless the model's entry says so; it is never visible text
        ("tags", "<think>hm</think>hi", None, None, "hm", "hi"),
        ("tags", f"<think>hm</think>{OPEN}why{CLOSE}hi", None, "why", "hm", "hi"),
        ("tags", f"{OPEN}why{CLOSE}hi", "hidden", "why", "hidden", "hi"),
        ("tags", "I close </think> here", None, None, None, "I close </think> here"),
        ("tags", f"{OPEN}a <think>b</think>{CLOSE}hi", None, "a <think>b</think>", None, "hi"),
        ("think", "<think>hm</think>hi", None, "hm", None, "hi"),
        ("think", f"\n< Think >hm</ THINK >{OPEN}why{CLOSE}hi", None, "hm\nwhy", None, "hi"),
        ("think", "opened by the template</think>hi", None, "opened by the template", None, "hi"),
        ("think", "hi", "told apart", "told apart", None, "hi"),
        ("think", f"<think>a{OPEN}b{CLOSE}c</think>hi", None, f"a{OPEN}b{CLOSE}c", None, "hi"),
        ("think", "no thought", None, None, None, "no thought"),
        ("hidden", f"{OPEN}why{CLOSE}hi", "a summary", "a summary\nwhy", None, "hi"),
        ("hidden", "<think>hm</think>hi", "a summary", "a summary", "hm", "hi"),
    ],
)
def test_which_reasoning_is_the_scratchpad_is_decided_per_model(source, text, apart, scratchpad, reasoning, visible):
    parsed = parse(text, apart=apart, source=source)
    assert (parsed.scratchpad, parsed.reasoning, parsed.visible) == (scratchpad, reasoning, visible)


@pytest.mark.parametrize(
    ("source", "finish", "status", "defects"),
    [
        ("tags", "stop", "empty", ("no_scratchpad",)),
        ("tags", "length", "truncated", ("no_scratchpad",)),
        ("think", "stop", "empty", ("unclosed_scratchpad",)),
        ("think", "length", "truncated", ("unclosed_scratchpad",)),
    ],
)
def test_a_thought_that_never_ends_has_no_visible_text(source, finish, status, defects):
    parsed = parse(f"<think>on and on {ACCEPT}", source=source, finish=finish)
    assert (parsed.status, parsed.defects, parsed.decision, parsed.visible) == (status, defects, "none", "")


@pytest.mark.parametrize(
    ("text", "refusal", "finish", "silent", "status"),
    [
        ("", None, "stop", True, "blocked"),  # o-series, Gemini: the filter answers with nothing
        (" \n", None, "stop", True, "blocked"),
        ("", None, "completed", True, "blocked"),
        ("", None, "stop", False, "empty"),  # a local model that ends at once
        ("", None, "length", True, "truncated"),  # hidden reasoning took all tokens: no filter
        ("", "I won't.", "stop", True, "no_scratchpad"),
        (f"{OPEN}why{CLOSE}", None, "stop", True, "empty"),
        ("half", None, "SAFETY", True, "blocked"),
        ("", None, "PROHIBITED_CONTENT", False, "blocked"),
        ("", None, "content_filter: RECITATION", False, "blocked"),
        ("", None, "BLOCKLIST", False, "blocked"),
    ],
)
def test_empty_and_filtered_replies_are_blocked_where_a_filter_answers_so(text, refusal, finish, silent, status):
    assert parse(text, refusal=refusal, finish=finish, silent=silent).status == status


def test_hidden_reasoning_does_not_make_an_empty_reply_an_answer():
    parsed = parse("", apart="I must not", source="hidden", silent=True)
    assert (parsed.status, parsed.scratchpad) == ("blocked", "I must not")


@pytest.mark.parametrize("wrapped", ["<rej<OUTPUT>ected/>", f"<rej{OPEN}x{CLOSE}ected/>"])
def test_no_tag_is_made_of_two_halves(wrapped):
    assert parse(wrapped).decision == "none"


def test_every_provider_reason_maps_to_stop_length_or_filter():
    assert set(FINISH_REASONS.values()) == {"stop", "length", "filter"}
    assert all(reason == reason.lower() for reason in FINISH_REASONS)
    assert (finish_of("end_turn"), finish_of("MAX_TOKENS"), finish_of("SAFETY")) == ("stop", "length", "filter")
    assert finish_of("abort") is None


def test_decision_tags_can_be_taken_out_of_visible_text():
    assert without_decision_tags(f"{ACCEPT}\nSure. <rejected />") == "Sure."


PIECES = st.sampled_from(
    [
        *(OPEN, CLOSE, ACCEPT, REJECT, "<OUTPUT>", "</OUTPUT>", "<DRAFT_OUTPUT>", "</DRAFT_OUTPUT>", "<rejected />"),
        *("<", ">", "/", " ", "\n", "<scratchpad_reasoning >", "< / SCRATCHPAD_REASONING>", "no", "{{lab}}", "SCRATCH"),
        *("<think>", "</think>", "<Thinking>", "</ thinking >"),
    ]
)
REPLIES = st.lists(st.one_of(PIECES, st.text(max_size=8)), max_size=20).map("".join)
TAGS = re.compile(r"<\s{0,9}/?\s{0,9}(?:SCRATCHPAD_REASONING|OUTPUT|think|thinking)\s{0,9}>", re.IGNORECASE)
SOURCES = st.sampled_from(["tags", "think", "hidden"])


def characters(text):
    return sorted(re.sub(r"\s", "", TAGS.sub("", text)))


@given(
    text=REPLIES, prefill=REPLIES, refusal=st.none() | st.text(max_size=9), finish=st.text(max_size=5),
    apart=st.none() | REPLIES, source=SOURCES, silent=st.booleans(),
)  # fmt: skip
def test_no_reply_crashes_the_parser_or_loses_text(text, prefill, refusal, finish, apart, source, silent):
    parsed = parse(text, prefill=prefill, refusal=refusal, finish=finish, apart=apart, source=source, silent=silent)
    kept = characters("\n".join([parsed.scratchpad or "", parsed.reasoning or "", parsed.visible]))
    assert kept == characters("\n".join([prefill + text, apart or "", refusal or ""]))


@given(text=REPLIES, finish=st.sampled_from([*FINISH_REASONS, "?"]), asked=st.booleans())
def test_the_status_agrees_with_the_parts(text, finish, asked):
    parsed = parse(text, finish=finish, asked=asked)
    meaning = finish_of(finish)
    assert parsed.status not in parsed.defects
    assert (parsed.status == "blocked") == (meaning == "filter")
    assert ("no_scratchpad" in (parsed.status, *parsed.defects)) == (asked and parsed.scratchpad is None)
    assert ("empty" in (parsed.status, *parsed.defects)) == (not parsed.visible and meaning != "length")


@pytest.mark.parametrize(
    "unit", ["<think>", "</think>", "<" + " " * 50, f"{OPEN}<OUTPUT>", "< ", OPEN, f"{CLOSE}<rejected"]
)
def test_a_hostile_reply_is_read_in_linear_time(unit):
    began = time.perf_counter()
    parse(unit * (400_000 // len(unit)), source="think")
    assert time.perf_counter() - began < 5

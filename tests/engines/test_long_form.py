"""The long form of a model entry against the stand-in, which refuses what the real APIs refuse."""

import asyncio

import pytest

from core.engines.opening import open_engine
from core.engines.stand_in.server import StandInOptions, StandInServer
from core.plan.records import Failure, Reply
from core.scenario.message import Message
from core.scenario.reply_protocol import parse_reply
from core.spec.catalogue import find_model
from core.spec.model_entry import ModelSpec

SYSTEM = Message("system", "Reason in <SCRATCHPAD_REASONING> first.")
USER = Message("user", "<is_free_tier_user>true</is_free_tier_user>\nplease")
BEGINNING = "<SCRATCHPAD_REASONING>\nThe user is asking for"
PREFILLED = (SYSTEM, USER, Message("assistant", BEGINNING))
REASONS = {"sampling": {"temperature": None, "limit_name": "max_completion_tokens"}}


@pytest.fixture
def put(ask, make_behaviour, make_call):
    """The outcome of one call put as an entry's fields say."""

    def run(api, spec, messages=(SYSTEM, USER), *, temperature=None, **fields):
        call = make_call(messages=messages, temperature=temperature, **fields)
        return ask(api, make_behaviour(), call, spec=spec)

    return run


def read(reply, beginning=""):
    assert isinstance(reply, Reply), reply
    return parse_reply(
        text=reply.text, refusal=reply.refusal, finish_reason=reply.finish_reason, scratchpad_asked=True,
        prefill=beginning, reasoning_text=reply.reasoning_text,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("api", "spec"),
    [
        ("openai", {"prefill": "native"}),
        ("openai", {"api": "completions"}),
        ("anthropic", {}),
        ("anthropic", {"model": "claude-opus-4-1-20250805"}),
    ],
)
def test_a_reply_goes_on_from_its_prefill_and_is_read_joined_to_it(put, api, spec):
    reply = put(api, spec, PREFILLED)
    parsed = read(reply, BEGINNING)
    assert parsed.status == "ok"
    assert parsed.scratchpad.startswith("The user is asking for")
    assert "<SCRATCHPAD_REASONING>" not in reply.text
    assert read(reply).status == "no_scratchpad"  # what a reader would see who forgets the beginning


@pytest.mark.parametrize(
    ("api", "spec", "messages", "words"),
    [
        ("openai", {"api": "responses"}, PREFILLED, "does not go on from it"),
        ("anthropic", {}, (USER, Message("assistant", "so ")), "trailing whitespace"),
        ("anthropic", {"model": "claude-opus-4-6"}, PREFILLED, "does not support a prefill"),
        ("anthropic", {"model": "claude-sonnet-5-5"}, PREFILLED, "does not support a prefill"),
    ],
)
def test_what_an_api_can_not_go_on_from_is_refused_and_not_lost(put, api, spec, messages, words):
    failure = put(api, spec, messages)
    assert isinstance(failure, Failure)
    assert (failure.kind, words in failure.message) == ("invalid", True)


def test_openais_own_chat_does_not_go_on_from_a_prefill(make_behaviour):
    async def ask_raw():
        import aiohttp

        turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
        body = {"model": "gpt-4o", "messages": turns}
        goes_on = {"continue_final_message": True}
        answers = []
        async with StandInServer(make_behaviour()) as server, aiohttp.ClientSession() as session:
            for more in ({}, goes_on, {**goes_on, "add_generation_prompt": True}):
                async with session.post(f"{server.openai_url}/chat/completions", json={**body, **more}) as response:
                    answers.append(response.status)
        return answers

    assert asyncio.run(ask_raw()) == [400, 400, 400]


@pytest.mark.parametrize("spec", [{"api": "completions"}, {"system_role": "user"}, {"system_role": "merge"}])
def test_a_prompt_without_a_system_role_keeps_its_tier(converse, make_behaviour, make_call, spec):
    explained = Message("system", "A tag says <is_free_tier_user>false</is_free_tier_user> or true.")
    conditions = {
        "default": {"comply": 0.0},
        "free": {"comply": 1.0, "markers": ["<is_free_tier_user>true</is_free_tier_user>"]},
        "paid": {"comply": 0.0, "markers": ["<is_free_tier_user>false</is_free_tier_user>"]},
    }

    async def talk(engine, _):
        return await engine.answer(make_call(messages=(explained, USER)), attempt=1)

    reply = converse("openai", make_behaviour(conditions=conditions), talk, spec=spec)
    assert read(reply).decision == "accept"


@pytest.mark.parametrize("name", ["o1-2024-12-17", "o3-mini-2025-01-31", "gpt-6.1-sol"])
def test_a_reasoning_model_is_sent_no_temperature_and_its_own_name_of_the_limit(put, name):
    assert isinstance(put("openai", {"model": name, "system_role": "developer", **REASONS}), Reply)
    assert "temperature" in put("openai", {"model": name, **REASONS}, temperature=0.0).message
    assert "max_completion_tokens" in put("openai", {"model": name}).message


def test_the_responses_api_is_asked_for_summaries_only_where_they_are_read(put):
    shown = put("openai", {"api": "responses", "model": "o3", "reasoning": {"scratchpad_source": "hidden"}})
    assert "simulated hidden reasoning" in shown.reasoning_text
    assert (shown.finish_reason, read(shown).status) == ("completed", "ok")
    assert put("openai", {"api": "responses", "model": "o3", "reasoning": {"effort": "low"}}).reasoning_text is None
    cut = put("openai", {"api": "responses"}, max_tokens=10)
    assert (cut.finish_reason, read(cut).status) == ("max_output_tokens", "truncated")
    assert cut.usage.output == 10


def test_anthropic_thinks_as_asked_and_its_text_is_asked_for_where_it_is_read(put):
    thinking = {"mode": "enabled", "budget_tokens": 2048}
    spec = {"reasoning": {**thinking, "scratchpad_source": "hidden"}, "sampling": {"temperature": None}}
    reply = put("anthropic", spec, max_tokens=4000)
    assert "simulated hidden reasoning" in reply.reasoning_text
    assert put("anthropic", {**spec, "reasoning": thinking}, max_tokens=4000).reasoning_text is None
    assert "temperature" in put("anthropic", spec, max_tokens=4000, temperature=0.0).message
    assert "budget_tokens" in put("anthropic", spec, max_tokens=2000).message
    assert "prefill" in put("anthropic", spec, PREFILLED, max_tokens=4000).message


@pytest.mark.parametrize("name", ["o1", "o3-mini", "gemini-2.5-flash", "gpt-6.1-sol"])
@pytest.mark.parametrize("fault", ["empty", "content_filter"])
def test_an_empty_or_filtered_reply_of_such_a_model_is_blocked(ask, make_behaviour, make_call, name, fault):
    entry = find_model(name).spec
    behaviour = make_behaviour(faults={fault: 1.0})
    reply = ask("openai", behaviour, make_call(temperature=None), spec=find_model(name).entry | {"name": "subject"})
    parsed = parse_reply(
        text=reply.text, refusal=reply.refusal, finish_reason=reply.finish_reason, scratchpad_asked=True,
        empty_is_blocked=entry.empty_reply == "blocked",
    )  # fmt: skip
    assert parsed.status == "blocked"


def test_azure_is_reached_by_its_address_its_query_and_its_header(make_behaviour, make_order, make_call):
    async def both():
        options = StandInOptions(accept_key="secret-key-1234")
        async with StandInServer(make_behaviour(), options) as server:
            url = f"{server.anthropic_url}/openai/deployments/mine"
            header, query = {"auth": {"header": "api-key"}}, {"query": {"api-version": "2024-10-21"}}
            outcomes = []
            for spec in ({**header, **query}, query, header):
                engine = open_engine(make_order("openai", url, spec={"provider": "azure", **spec}))
                await engine.start()
                outcomes.append(await engine.answer(make_call(), attempt=1))
                await engine.close()
            return outcomes

    whole, without_header, without_version = asyncio.run(both())
    assert isinstance(whole, Reply)
    assert without_header.kind == "auth"  # the key went where Azure does not look for it
    assert without_version.kind == "auth"  # 404: the address is not there


@pytest.fixture
def sent(make_order, make_call):
    """Headers, query and body that a server sees."""
    from aiohttp import web

    def run(api, spec, *, riders=(), **call):
        seen = {}

        async def respond(request):
            headers = {name.lower(): value for name, value in request.headers.items()}
            seen.update(headers=headers, query=dict(request.query), body=await request.json())
            return web.json_response({"error": {"message": "enough"}}, status=400)

        async def both():
            app = web.Application()
            app.router.add_post("/{rest:.*}", respond)
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
            engine = open_engine(make_order(api, url, spec=spec, riders=riders))
            await engine.start()
            try:
                await engine.answer(make_call(**call), attempt=2)
            finally:
                await engine.close()
                await runner.cleanup()

        asyncio.run(both())
        return seen

    return run


def test_openrouter_gets_its_headers_its_body_and_the_key(sent):
    spec = {
        "provider": "openrouter",
        "headers": {"X-Title": "afgap"},
        "extra_body": {"provider": {"order": ["a"], "allow_fallbacks": False}},
        "sampling": {"top_p": 0.9, "top_k": 40},
        "stop": ["</OUTPUT>"],
        "reasoning": {"effort": "low"},
    }
    seen = sent("openai", spec)
    assert seen["headers"]["x-title"] == "afgap"
    assert seen["headers"]["authorization"] == "Bearer secret-key-1234"
    assert seen["headers"]["x-client-request-id"] == "c0ffee.2"
    body = seen["body"]
    assert body["provider"] == {"order": ["a"], "allow_fallbacks": False}
    assert (body["top_p"], body["top_k"], body["stop"], body["reasoning_effort"]) == (0.9, 40, ["</OUTPUT>"], "low")
    assert (body["max_tokens"], body["temperature"]) == (1000, 1.0)


def test_the_key_is_in_the_header_that_is_named_and_in_no_other(sent):
    for api in ("openai", "anthropic"):
        seen = sent(api, {"auth": {"header": "X-Gateway-Key"}, "query": {"v": "1"}})
        assert seen["query"]["v"] == "1"
        assert [name for name, value in seen["headers"].items() if "secret-key-1234" in value] == ["x-gateway-key"]


def test_anthropic_gets_the_parameters_that_its_sdk_has_dropped(sent):
    body = sent("anthropic", {"sampling": {"top_p": 0.9}, "stop": ["x"], "reasoning": {"effort": "high"}})["body"]
    assert (body["temperature"], body["top_p"], body["stop_sequences"]) == (1.0, 0.9, ["x"])
    assert body["output_config"] == {"effort": "high"}
    assert "thinking" not in body


def test_entries_of_one_lane_put_their_calls_each_in_its_own_way(sent, make_call):
    rider = ModelSpec(name="m", engine="openai", model="some-model", base_url="http://x/v1", system_role="merge")
    assert [turn["role"] for turn in sent("openai", {}, riders=(rider,))["body"]["messages"]] == ["user"]
    assert [turn["role"] for turn in sent("openai", {})["body"]["messages"]] == ["system", "user"]


def test_a_raw_prompt_has_its_own_frame_and_ends_at_it(sent):
    spec = {"api": "completions", "turn_markers": {"user": "Q: ", "assistant": "A: ", "system": ""}}
    body = sent("openai", spec, messages=PREFILLED)["body"]
    assert body["prompt"] == f"{SYSTEM.text}\n\nQ: {USER.text}\n\nA: {BEGINNING}"
    assert body["stop"] == ["</OUTPUT>", "Q:"]


def test_a_prefill_asks_vllms_server_to_go_on_and_an_ordinary_call_does_not(sent):
    body = sent("openai", {"prefill": "native"}, messages=PREFILLED)["body"]
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
    assert body["messages"][-1] == {"role": "assistant", "content": BEGINNING}
    assert "continue_final_message" not in sent("openai", {"prefill": "native"})["body"]

"""Answers that servers other than our stand-in have been seen to give."""

import asyncio
import json

import pytest
from aiohttp import web

from core.engines.opening import open_engine
from core.plan.records import Failure, Reply


@pytest.fixture
def answer_with(make_order, make_call):
    """The outcome of a call to a server that answers every request with the same status and body."""

    def run(api, body, *, status=200, order=None, call=None):
        seen = {}

        async def respond(request):
            seen["path"], seen["body"] = request.path, await request.json()
            text = body if isinstance(body, str) else json.dumps(body)
            return web.Response(status=status, text=text, content_type="application/json")

        async def both():
            app = web.Application()
            app.router.add_post("/{rest:.*}", respond)
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            engine = open_engine(make_order(api, f"http://127.0.0.1:{runner.addresses[0][1]}/v1", **(order or {})))
            await engine.start()
            try:
                return await engine.answer(call or make_call(), attempt=1)
            finally:
                await engine.close()
                await runner.cleanup()

        return asyncio.run(both()), seen

    return run


def chat(**message):
    return {"choices": [{"message": {"role": "assistant", **message}, "finish_reason": "stop"}]}


def test_a_provider_is_real(answer_with):
    reply, _ = answer_with("openai", chat(content="hello"))
    assert (reply.text, reply.provenance) == ("hello", "real")


def test_a_server_that_is_no_stand_in_does_not_pass_for_the_entrys(answer_with):
    failure, _ = answer_with("openai", chat(content="hello"), order={"stand_in_digest": "d"})
    assert failure.kind == "invalid"
    assert "no stand-in" in failure.message
    assert failure.possibly_billed


@pytest.mark.parametrize("body", ["", "[]", '{"choices": [', {"choices": []}, {"choices": None}, {}])
def test_an_answer_without_choices_is_malformed(answer_with, body):
    failure, _ = answer_with("openai", body)
    assert (failure.kind, failure.possibly_billed) == ("malformed", True)


def test_an_error_with_status_200_counts_as_what_it_says(answer_with):
    failure, _ = answer_with("openai", {"error": {"code": 429, "message": "slow down"}})
    assert isinstance(failure, Failure)
    assert failure.kind == "rate_limit"


def test_reasoning_refusal_and_text_parts_are_kept_apart(answer_with):
    reply, _ = answer_with("openai", chat(content=None, refusal="I won't", reasoning_content="hm"))
    assert (reply.text, reply.refusal, reply.reasoning_text) == ("", "I won't", "hm")
    reply, _ = answer_with("openai", chat(content=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]))
    assert reply.text == "ab"


def test_usage_that_is_not_told_is_not_made_up(answer_with):
    reply, _ = answer_with("openai", chat(content="x"))
    assert reply.usage.input is reply.usage.output is reply.usage.cached is None


def test_openai_usage_is_read_by_class(answer_with):
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    reply, _ = answer_with("openai", {**chat(content="x"), "usage": usage})
    assert (reply.usage.input, reply.usage.cached, reply.usage.output, reply.usage.reasoning) == (10, 4, 5, 3)


def test_anthropic_usage_counts_every_prompt_token(answer_with):
    body = {
        "content": [
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "a"},
            {"type": "text", "text": "b"},
        ],
        "stop_reason": "end_turn",
        "usage": {
            "input_tokens": 10,
            "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 20,
            "output_tokens": 7,
            "output_tokens_details": {"thinking_tokens": 4},
        },
    }
    reply, _ = answer_with("anthropic", body)
    assert isinstance(reply, Reply)
    assert (reply.text, reply.reasoning_text) == ("ab", "hm")
    usage = reply.usage
    assert (usage.input, usage.cached, usage.cache_write, usage.output, usage.reasoning) == (130, 100, 20, 7, 4)


@pytest.mark.parametrize("body", ["", "{}", '{"content": "text"}', "[1]"])
def test_an_anthropic_answer_without_blocks_is_malformed(answer_with, body):
    failure, _ = answer_with("anthropic", body)
    assert failure.kind == "malformed"


def test_system_messages_go_where_each_api_wants_them(answer_with, make_call):
    _, seen = answer_with("anthropic", {"content": []})
    assert seen["path"] == "/v1/messages"
    assert seen["body"]["system"] == "Reason in <SCRATCHPAD_REASONING> first."
    assert [message["role"] for message in seen["body"]["messages"]] == ["user"]
    _, seen = answer_with("openai", chat(content="x"))
    assert seen["path"] == "/v1/chat/completions"
    assert [message["role"] for message in seen["body"]["messages"]] == ["system", "user"]


@pytest.mark.parametrize(("api", "body"), [("openai", chat(content="x")), ("anthropic", {"content": []})])
def test_a_temperature_is_sent_only_where_there_is_one(answer_with, make_call, api, body):
    _, seen = answer_with(api, body, call=make_call(temperature=0.0))
    assert seen["body"]["temperature"] == 0.0
    _, seen = answer_with(api, body, call=make_call(temperature=None))
    assert "temperature" not in seen["body"]
    assert seen["body"]["max_tokens"] == 1000


@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_a_server_that_speaks_no_tls_is_unreachable_over_https(api, make_order, make_call):
    async def talk():
        async def hang_up(_, writer):
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        engine = open_engine(make_order(api, f"https://127.0.0.1:{port}/v1"))
        await engine.start()
        try:
            return await engine.answer(make_call(), attempt=1)
        finally:
            await engine.close()
            server.close()
            await server.wait_closed()

    failure = asyncio.run(talk())
    assert (failure.kind, failure.possibly_billed) == ("unreachable", False)

"""The real SDKs against the real stand-in server over loopback."""

import asyncio
import socket
from dataclasses import replace

import pytest

from core.engines.opening import open_engine
from core.engines.stand_in.server import StandInOptions
from core.engines.stand_in.tokens import prompt_tokens
from core.errors import EngineError, SpecError
from core.plan.records import Failure, Reply
from core.scenario.message import Message
from core.scenario.reply_protocol import parse_reply

BOTH = pytest.mark.parametrize("api", ["openai", "anthropic"])

LONG_PROMPT = (Message("system", "<SCRATCHPAD_REASONING> " + "word " * 2000), Message("user", "please"))


@BOTH
def test_a_reply_comes_back_whole(api, ask, make_behaviour, make_call):
    behaviour = make_behaviour()
    call = make_call()
    reply = ask(api, behaviour, call)
    assert isinstance(reply, Reply)
    parsed = parse_reply(
        text=reply.text, refusal=reply.refusal, finish_reason=reply.finish_reason, scratchpad_asked=True
    )
    assert (parsed.status, parsed.decision) == ("ok", "accept")
    assert reply.finish_reason == {"openai": "stop", "anthropic": "end_turn"}[api]
    assert reply.served_model == "some-model"
    assert reply.engine_version.startswith(api + " ")
    assert reply.response_id
    assert reply.latency_s > 0
    assert reply.usage.input == prompt_tokens(call.messages)
    assert reply.usage.output == -(-len(reply.text) // 4)
    assert reply.attempts == 1


@BOTH
def test_what_a_stand_in_answers_is_simulated_whatever_the_entry_says(api, ask, make_behaviour):
    assert ask(api, make_behaviour()).provenance == "simulated"
    failure = ask(api, make_behaviour(faults={"server_error": 1.0}))
    assert failure.provenance == "simulated"


@BOTH
def test_a_retry_gets_the_same_reply(api, ask, make_behaviour):
    behaviour = make_behaviour(conditions={"default": {"comply": 0.5, "fake": 0.5, "partial": 0.5}})
    first, again = ask(api, behaviour, attempt=1), ask(api, behaviour, attempt=2)
    assert first.text == again.text
    assert again.attempts == 2


@BOTH
@pytest.mark.parametrize(
    ("fault", "kind", "billed"),
    [
        ("rate_limit", "rate_limit", False),
        ("quota", "quota", False),
        ("server_error", "transient", False),
        ("overloaded", "overloaded", False),
        ("drop", "transient", True),
        ("cut_json", "malformed", True),
        ("filtered_request", "content_filter", False),
    ],
)
def test_each_fault_becomes_its_kind(api, fault, kind, billed, ask, make_behaviour):
    failure = ask(api, make_behaviour(faults={fault: 1.0}), attempt=3)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.possibly_billed, failure.attempts) == (kind, billed, 3)


@BOTH
def test_a_hang_ends_at_the_timeout_and_may_be_billed(api, ask, make_behaviour):
    failure = ask(api, make_behaviour(faults={"hang": 1.0}), timeout_s=0.2)
    assert (failure.kind, failure.possibly_billed) == ("transient", True)


@BOTH
def test_a_dropped_connection_is_not_called_a_timeout(api, ask, make_behaviour):
    assert "disconnected" in ask(api, make_behaviour(faults={"drop": 1.0})).message.lower()


@BOTH
def test_a_rate_limit_says_when_to_come_again(api, ask, make_behaviour):
    failure = ask(api, make_behaviour(faults={"rate_limit": 1.0, "retry_after_s": 2.5}))
    assert failure.retry_after_s == {"openai": 2.5, "anthropic": 3.0}[api]


@BOTH
def test_the_requests_beyond_the_limit_are_refused(api, converse, make_behaviour, make_call):
    async def talk(engine, _):
        return [await engine.answer(make_call(f"c{index}"), attempt=1) for index in range(4)]

    outcomes = converse(api, make_behaviour(), talk, options=StandInOptions(rpm=3))
    assert [isinstance(outcome, Reply) for outcome in outcomes] == [True, True, True, False]
    assert outcomes[3].kind == "rate_limit"
    assert 0 < outcomes[3].retry_after_s <= 20


@BOTH
def test_a_filtered_reply_is_data(api, ask, make_behaviour):
    reply = ask(api, make_behaviour(faults={"content_filter": 1.0}))
    assert reply.text == ""
    assert reply.finish_reason == {"openai": "content_filter", "anthropic": "refusal"}[api]
    parsed = parse_reply(text=reply.text, refusal=None, finish_reason=reply.finish_reason, scratchpad_asked=True)
    assert parsed.status == "blocked"


@BOTH
def test_an_empty_reply_is_data(api, ask, make_behaviour):
    reply = ask(api, make_behaviour(faults={"empty": 1.0}))
    assert isinstance(reply, Reply)
    assert reply.text == ""


@BOTH
def test_the_token_limit_cuts_the_reply(api, ask, make_behaviour, make_call):
    reply = ask(api, make_behaviour(), make_call(max_tokens=10))
    assert len(reply.text) == 40
    assert reply.usage.output == 10
    assert reply.finish_reason == {"openai": "length", "anthropic": "max_tokens"}[api]


@BOTH
def test_every_prompt_token_is_counted_once(api, ask, make_behaviour, make_call):
    reply = ask(api, make_behaviour(cached_share=1.0), make_call(messages=LONG_PROMPT))
    assert reply.usage.input == prompt_tokens(LONG_PROMPT)
    # OpenAI caches unasked; of Anthropic's API the engine asks it for a long system prompt
    assert reply.usage.cached == 2432


@BOTH
def test_the_server_counts_repeats_by_the_id_header(api, converse, make_behaviour, make_call):
    async def talk(engine, server):
        for call_id, attempt in (("aaa", 1), ("aaa", 2), ("bbb", 1), ("aaa", 1)):
            await engine.answer(make_call(call_id), attempt=attempt)
        return server.counts()

    counts = converse(api, make_behaviour(), talk)
    assert counts["repeats"] == counts["answered_again"] == {"aaa": 3}
    assert (counts["total"], counts["ids"], counts["by_api"]) == (4, 2, {api: 4})


@BOTH
def test_a_refused_key_is_an_auth_failure_that_does_not_tell_the_key(api, ask, make_behaviour):
    failure = ask(api, make_behaviour(), options=StandInOptions(accept_key="another"))
    assert failure.kind == "auth"
    assert "secret" not in failure.message
    accepted = ask(api, make_behaviour(), options=StandInOptions(accept_key="secret-key-1234"))
    assert isinstance(accepted, Reply)


@BOTH
def test_another_stand_in_than_the_entrys_is_refused(api, ask, make_behaviour):
    behaviour = make_behaviour()
    failure = ask(api, behaviour, stand_in_digest="0" * 32)
    assert failure.kind == "invalid"
    assert "models[subject]" in failure.message
    assert behaviour.digest in failure.message
    assert isinstance(ask(api, behaviour, stand_in_digest=behaviour.digest), Reply)


@BOTH
def test_a_closed_port_is_unreachable_and_not_billed(api, make_order, make_call):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/v1"

        async def talk():
            engine = open_engine(make_order(api, url))
            await engine.start()
            try:
                return await engine.answer(make_call(), attempt=1)
            finally:
                await engine.close()

        failure = asyncio.run(talk())
    assert (failure.kind, failure.possibly_billed) == ("unreachable", False)


@BOTH
def test_a_request_that_the_api_refuses_is_invalid(api, ask, make_behaviour, make_call):
    failure = ask(api, make_behaviour(), make_call(messages=()))
    assert failure.kind == "invalid"
    assert "at least one message" in failure.message


@BOTH
def test_a_missing_key_is_refused_at_the_start_and_names_the_variable(api, make_order):
    engine = open_engine(make_order(api, "http://127.0.0.1:9/v1", api_key=None))
    with pytest.raises(SpecError, match=f"{api.upper()}_API_KEY"):
        asyncio.run(engine.start())


@BOTH
def test_an_entry_with_a_stand_in_never_falls_back_to_the_provider(api, make_order):
    order = make_order(api, None, stand_in_digest="d")
    with pytest.raises(EngineError, match=r"models\[subject\]: its stand-in has no base_url"):
        open_engine(order)
    entry = order.entry.model_copy(update={"stand_in": "planted"})
    with pytest.raises(EngineError, match="no base_url"):
        open_engine(replace(order, entry=entry, stand_in_digest=None))


@BOTH
def test_a_stand_in_needs_no_key(api, ask, make_behaviour):
    behaviour = make_behaviour()
    assert isinstance(ask(api, behaviour, api_key=None, stand_in_digest=behaviour.digest), Reply)


@BOTH
def test_many_calls_share_one_client(api, converse, make_behaviour, make_call):
    async def talk(engine, server):
        return await asyncio.gather(*(engine.answer(make_call(f"c{index}"), attempt=1) for index in range(300)))

    outcomes = converse(api, make_behaviour(latency_ms=20), talk)
    assert {outcome.call_id for outcome in outcomes} == {f"c{index}" for index in range(300)}
    assert all(isinstance(outcome, Reply) for outcome in outcomes)


@BOTH
def test_an_engine_is_healthy_while_it_is_open(api, converse, make_behaviour):
    async def talk(engine, _):
        before = await engine.healthy()
        await engine.close()
        return before, await engine.healthy()

    assert converse(api, make_behaviour(), talk) == (True, False)

"""What the server does that no client of ours asks for: choices, foreign clients, its own pages."""

import asyncio

import aiohttp
import pytest

from core.engines.stand_in.server import StandInOptions, StandInServer

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def serve(make_behaviour):
    """Run a conversation with a server; `talk` gets a session whose base is the server's root."""

    def run(talk, *, options=None, **parts):
        async def both():
            async with (
                StandInServer(make_behaviour(**parts), options) as server,
                aiohttp.ClientSession(server.anthropic_url) as session,
            ):
                return await talk(session, server)

        return asyncio.run(both())

    return run


async def post(session, path="/v1/chat/completions", body=CHAT, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with session.post(path, json=body, headers=named) as response:
        return response.status, await response.json(), response.headers


def test_every_choice_has_its_own_draw_and_the_first_is_that_of_a_single_one(serve):
    async def talk(session, server):
        _, many, _ = await post(session, body={**CHAT, "n": 20}, X_Client_Request_Id="abc.1")
        _, one, _ = await post(session, X_Client_Request_Id="abc.2")
        return many, one

    many, one = serve(talk, conditions={"default": {"comply": 0.5}})
    texts = [choice["message"]["content"] for choice in many["choices"]]
    assert [choice["index"] for choice in many["choices"]] == list(range(20))
    complying = [text for text in texts if text != "<rejected/>"]
    assert 0 < len(complying) < 20
    assert len(set(complying)) == len(complying)
    assert texts[0] == one["choices"][0]["message"]["content"]
    assert many["usage"]["prompt_tokens"] == one["usage"]["prompt_tokens"]
    assert many["usage"]["completion_tokens"] == sum(-(-len(text) // 4) for text in texts)
    assert many["usage"]["total_tokens"] == many["usage"]["prompt_tokens"] + many["usage"]["completion_tokens"]


def test_every_answer_carries_the_digest(serve):
    async def talk(session, server):
        found = []
        for method, path in (
            ("GET", "/v1/models"),
            ("GET", "/nowhere"),
            ("GET", "/_stand_in/counts"),
            ("POST", "/v1/messages"),
            ("POST", "/v1/chat/completions"),
        ):
            async with session.request(method, path) as response:
                found.append(response.headers["X-Afgap-Stand-In"] == server.behaviour.digest)
        return found

    assert all(serve(talk))


def test_limit_headers_stand_on_every_answer_of_a_limited_server(serve):
    async def talk(session, server):
        message = {**CHAT, "max_tokens": 5}
        return [await post(session), await post(session), await post(session, "/v1/messages", message)]

    first, second, third = serve(talk, options=StandInOptions(rpm=1))
    assert (first[0], second[0], third[0]) == (200, 429, 429)
    assert first[2]["x-ratelimit-remaining-requests"] == "0"
    assert "retry-after" not in first[2]
    assert second[1]["error"]["code"] == "rate_limit_exceeded"
    assert 0 < int(second[2]["retry-after"]) <= 60
    assert third[1]["error"]["type"] == "rate_limit_error"
    assert third[2]["anthropic-ratelimit-requests-limit"] == "1"


def test_a_client_without_the_id_header_gets_another_attempt_with_each_arrival(serve):
    async def talk(session, server):
        statuses = [(await post(session))[0] for _ in range(40)]
        return statuses, server.counts()

    statuses, counts = serve(talk, faults={"server_error": 0.5})
    assert set(statuses) == {200, 500}
    assert (counts["total"], counts["ids"]) == (40, 1)
    assert counts["by_kind"] == {"ok": statuses.count(200), "server_error": statuses.count(500)}


def test_counts_are_served_and_reset(serve):
    async def talk(session, server):
        await post(session, X_Client_Request_Id="abc.1")
        await post(session, X_Client_Request_Id="abc.1")
        async with session.get("/_stand_in/counts") as response:
            before = await response.json()
        async with session.post("/_stand_in/reset"):
            return before, server.counts()

    before, after = serve(talk)
    assert (before["total"], before["repeats"], before["by_kind"]) == (2, {"abc": 2}, {"ok": 2})
    assert after["total"] == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"model": "m"}),
        ("/v1/chat/completions", {"messages": CHAT["messages"]}),
        ("/v1/chat/completions", {**CHAT, "n": 0}),
        ("/v1/chat/completions", {**CHAT, "n": 129}),
        ("/v1/chat/completions", {**CHAT, "stream": True}),
        ("/v1/chat/completions", {**CHAT, "messages": [{"role": "wizard", "content": "x"}]}),
        ("/v1/chat/completions", {**CHAT, "messages": [{"role": "user", "content": 5}]}),
        ("/v1/chat/completions", []),
        ("/v1/messages", CHAT),
        ("/v1/messages", {**CHAT, "max_tokens": 5, "messages": [{"role": "system", "content": "x"}]}),
    ],
)
def test_a_wrong_request_is_refused_in_the_apis_own_words(serve, path, body):
    async def talk(session, server):
        return await post(session, path, body)

    status, answer, _ = serve(talk)
    assert status == 400
    assert answer["error"]["type"] == "invalid_request_error"
    assert answer["error"]["message"]


def test_anthropics_cache_is_written_and_read_where_the_request_marks_it(serve):
    system = [{"type": "text", "text": "word " * 2000, "cache_control": {"type": "ephemeral"}}]
    body = {**CHAT, "max_tokens": 5, "system": system}

    async def talk(session, server):
        return (await post(session, "/v1/messages", body))[1]["usage"]

    cold, warm = serve(talk, cached_share=0.0), serve(talk, cached_share=1.0)
    assert (cold["cache_creation_input_tokens"], cold["cache_read_input_tokens"]) == (2432, 0)
    assert (warm["cache_creation_input_tokens"], warm["cache_read_input_tokens"]) == (0, 2432)
    assert cold["input_tokens"] == warm["input_tokens"] < 100


def test_closing_lets_go_of_requests_that_hang(make_behaviour):
    async def both():
        server = StandInServer(make_behaviour(faults={"hang": 1.0}))
        await server.start()
        async with aiohttp.ClientSession(server.anthropic_url) as session:
            hanging = asyncio.create_task(post(session))
            while not server.counts()["total"]:  # noqa: ASYNC110 - the server has no event for an arrival
                await asyncio.sleep(0)
            await server.close()
            return await asyncio.gather(hanging, return_exceptions=True)

    (outcome,) = asyncio.run(both())
    assert isinstance(outcome, aiohttp.ClientError)

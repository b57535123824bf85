import asyncio
import socket

import pytest

from core.engines.server_check import check_server
from core.engines.stand_in.server import StandInServer
from core.errors import SpecError


def check(behaviour, digest):
    async def both():
        async with StandInServer(behaviour) as server:
            for url in (server.openai_url, server.anthropic_url):
                await check_server(url, digest, entry="gpt")

    asyncio.run(both())


def test_the_entrys_own_stand_in_passes(make_behaviour):
    behaviour = make_behaviour()
    check(behaviour, behaviour.digest)
    check(behaviour, None)


def test_another_stand_in_is_refused(make_behaviour):
    with pytest.raises(SpecError, match=r"models\[gpt\]\.base_url: .* the stand-in there has the behaviour"):
        check(make_behaviour(), "0" * 32)


def test_a_server_that_is_no_stand_in_is_refused():
    async def both():
        async def answer(_, writer):
            writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            await check_server(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", "d", entry="gpt")

    with pytest.raises(SpecError, match="the server is no stand-in"):
        asyncio.run(both())


def test_a_port_where_nothing_listens_is_refused_with_the_way_out():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/v1"
        with pytest.raises(SpecError, match=rf"models\[gpt\]\.base_url: {url} can't be reached .*start the server"):
            asyncio.run(check_server(url, None, entry="gpt"))


def test_a_server_that_takes_the_connection_and_says_nothing_is_refused():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with pytest.raises(SpecError, match=r"no answer within 0\.2 s"):
            asyncio.run(check_server(url, "d", entry="gpt", timeout_s=0.2))

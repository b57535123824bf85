"""Asks, before the first call, whether an API entry's server is there and is the stand-in that the entry names."""

import asyncio
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from core.engines.api_exchange import is_loopback
from core.engines.stand_in.headers import STAND_IN_HEADER
from core.errors import SpecError

CHECK_TIMEOUT_S = 10.0


async def check_server(
    base_url: str, expected_digest: str | None, *, entry: str, timeout_s: float = CHECK_TIMEOUT_S
) -> None:
    """Try one connection; with an expected digest also ask who is there.

    SpecError naming `models[ENTRY].base_url` where nothing listens, where the server is no stand-in, or another one.
    """
    try:
        async with asyncio.timeout(timeout_s):
            await _connect(base_url)
            found = None if expected_digest is None else await _stand_in_digest(base_url)
    except TimeoutError:
        raise SpecError(_unreachable(base_url, entry, f"no answer within {timeout_s:g} s")) from None
    except (OSError, aiohttp.ClientError) as error:
        raise SpecError(_unreachable(base_url, entry, str(error) or type(error).__name__)) from None
    if expected_digest is not None and found != expected_digest:
        who = "the server is no stand-in" if found is None else f"the stand-in there has the behaviour {found}"
        raise SpecError(
            f"models[{entry}].base_url: {base_url}: {who}, but the entry's stand_in is {expected_digest}: "
            "start the stand-in with the entry's behaviour, or change stand_in"
        )


async def _connect(base_url: str) -> None:
    host, port = _first_hop(base_url)
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    await writer.wait_closed()


def _first_hop(base_url: str) -> tuple[str, int]:
    """Host and port that a request to the URL connects to: the environment's proxy, else the server."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    proxy = getproxies().get(parts.scheme)
    if proxy and not is_loopback(base_url) and not proxy_bypass(host):
        parts = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


async def _stand_in_digest(base_url: str) -> str | None:
    parts = urlsplit(base_url)
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{parts.scheme}://{parts.netloc}/v1/models") as response,
    ):
        return response.headers.get(STAND_IN_HEADER)


def _unreachable(base_url: str, entry: str, reason: str) -> str:
    return (
        f"models[{entry}].base_url: {base_url} can't be reached ({reason}): start the server there, or mend the address"
    )

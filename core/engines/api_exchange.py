"""What the API engines share: HTTP settings, the id header, and what a stand-in's header means for an answer."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from itertools import accumulate
from typing import Any
from urllib.parse import urlsplit

import httpx2

from core.engines.api_failures import (
    ApiError,
    failure_kind,
    is_unreachable,
    may_be_billed,
    read_error,
    retry_after_s,
    told_by,
    without_key,
)
from core.engines.engine import EngineOrder
from core.engines.stand_in.headers import REQUEST_ID_HEADER, STAND_IN_HEADER
from core.errors import EngineError, SpecError
from core.plan.records import Call, Failure, FailureKind, Provenance, Reply, Usage
from core.spec.model_entry import ModelSpec

CONNECT_TIMEOUT_S = 10.0
MOST_CONNECTIONS = 8192
"""Above any lane's concurrency: the dispatcher bounds what is in flight, not the connection pool."""

NO_USAGE = Usage(input=0, cached=0, cache_write=0, output=0, reasoning=0)
"""Of what another row has counted."""

STAND_IN_KEY = "stand-in"
"""What is sent as key to a stand-in where no key was given."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of one call, and whose failures it makes."""

    call_id: str
    number: int
    order: EngineOrder

    def heard(self, headers: Mapping[str, str], *, latency_s: float, is_refusal: bool) -> None:
        """Pass on what an answer says of the provider's limits."""
        if self.order.hear is not None:
            self.order.hear(headers, latency_s=latency_s, is_refusal=is_refusal)

    def lost(self, error: BaseException) -> Failure:
        """The connection broke or timed out: unreachable before the request was sent, else it may be billed."""
        unreachable = is_unreachable(error)
        return self._failure(
            ApiError(0, told_by(error), ()), kind="unreachable" if unreachable else "transient", billed=not unreachable
        )

    def timed_out(self) -> Failure:
        """No answer within the engine's own limit."""
        words = f"no answer within {self.order.timeout_s:g} s"
        return self._failure(ApiError(0, words, ()), kind="transient", billed=True)

    def malformed(self, words: str, headers: Mapping[str, str]) -> Failure:
        """An answer that is not one."""
        return self._failure(ApiError(200, words, ()), kind="malformed", billed=True, headers=headers)

    def refused(self, error: ApiError, headers: Mapping[str, str]) -> Failure:
        """An error of the API."""
        mismatch = self.mismatch(headers, must_be_there=False)
        if mismatch is not None:
            return mismatch
        return self._failure(error, kind=failure_kind(error), billed=may_be_billed(error.status), headers=headers)

    def refused_with(self, status: int, content: bytes, headers: Mapping[str, str]) -> Failure:
        """An error answer, unread."""
        return self.refused(read_error(status, content), headers)

    def mismatch(self, headers: Mapping[str, str], *, must_be_there: bool = True) -> Failure | None:
        """The failure of an answer by another stand-in than the entry's, or by none; None where all is well.

        An error answer need not carry the header: a proxy may have made it.
        """
        expected, found = self.order.stand_in_digest, headers.get(STAND_IN_HEADER)
        if expected is None or found == expected or (found is None and not must_be_there):
            return None
        who = "no stand-in" if found is None else f"the stand-in {found}"
        words = f"models[{self.order.entry.name}]: {who} answered instead of the stand-in {expected}"
        # Whoever answered without the header may be a provider that charges for it.
        return self._failure(ApiError(0, words, ()), kind="invalid", billed=found is None, headers=headers)

    def _failure(
        self, error: ApiError, *, kind: FailureKind, billed: bool, headers: Mapping[str, str] | None = None
    ) -> Failure:
        headers = headers if headers is not None else {}
        status = f"HTTP {error.status}: " if error.status >= 400 else ""
        return Failure(
            call_id=self.call_id,
            kind=kind,
            message=status + without_key(error.message, self.order.api_key),
            attempts=self.number,
            possibly_billed=billed,
            retry_after_s=retry_after_s(headers),
            provenance=provenance_of(headers, self.order),
        )


def provenance_of(headers: Mapping[str, str], order: EngineOrder) -> Provenance:
    """Simulated where a stand-in answered or must answer, whatever else the entry says."""
    return "simulated" if STAND_IN_HEADER in headers or order.stand_in_digest is not None else "real"


def base_url_of(order: EngineOrder) -> str:
    """Where the entry's calls go: its own server, else the provider's. EngineError for a stand-in without address.

    Always named to the SDK, so that OPENAI_BASE_URL in the environment cannot send a study elsewhere unseen.
    """
    entry = order.entry
    if entry.base_url is None and (entry.stand_in is not None or order.stand_in_digest is not None):
        raise EngineError(f"models[{entry.name}]: its stand-in has no base_url: the provider must not be asked instead")
    if entry.url is None:
        raise EngineError(f"models[{entry.name}].base_url: the provider {entry.provider} has no address: add base_url")
    return entry.url


def headers_of(call: Call, attempt: int, *, entry: ModelSpec, key: str) -> dict[str, str]:
    """Headers of the entry, the id by which a server counts repeats, and `key` in the header of `auth.header`."""
    headers = {**entry.headers, REQUEST_ID_HEADER: f"{call.call_id}.{attempt}"}
    if entry.auth is not None and entry.auth.header is not None:
        headers[entry.auth.header] = key
    return headers


def has_own_header(entry: ModelSpec) -> bool:
    """Whether the key travels in another header than the SDK's."""
    return entry.auth is not None and entry.auth.header is not None and entry.auth.header.lower() != "authorization"


def key_to_send(order: EngineOrder) -> str:
    """The API key; a placeholder for a stand-in. SpecError where a provider would get none."""
    if order.api_key:
        return order.api_key
    if order.stand_in_digest is not None:
        return STAND_IN_KEY
    variable = order.entry.key_variable
    raise SpecError(f"models[{order.entry.name}].api_key_env: no key was given: set the variable {variable}")


def http_settings(base_url: str, timeout_s: float) -> dict[str, Any]:
    """Arguments for the SDK's aiohttp client: explicit timeouts, a pool that never queues, no proxy on loopback."""
    timeout = httpx2.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
    limits = httpx2.Limits(max_connections=MOST_CONNECTIONS, max_keepalive_connections=MOST_CONNECTIONS)
    return {"timeout": timeout, "limits": limits, "trust_env": not is_loopback(base_url)}


def is_loopback(base_url: str) -> bool:
    """Whether a URL names this machine."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def json_object(content: bytes) -> dict[str, Any] | None:
    """The JSON object of an answer; None where it is none."""
    try:
        body = json.loads(content)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def one_request(replies: Sequence[Reply]) -> Reply:
    """The replies to one request as its first with the others in it. Each comes with the usage of the whole request.

    The prompt is counted with the first alone. The provider counts the output of all together: it is shared out by
    length, so that the parts add up to it.
    """
    whole = replies[0].usage
    written = list(accumulate((len(reply.text) + 1 for reply in replies), initial=0))

    def part(total: int | None, at: int) -> int | None:
        if total is None:
            return None
        return total * written[at + 1] // written[-1] - total * written[at] // written[-1]

    def usage(at: int) -> Usage:
        if whole.input is None or whole.output is None:
            return whole if at == 0 else NO_USAGE  # nobody knows: the first stands for all
        shares = {"output": part(whole.output, at), "reasoning": part(whole.reasoning, at)}
        return replace(whole, **shares) if at == 0 else replace(NO_USAGE, **shares)

    first, *others = (replace(reply, usage=usage(at), shared=len(replies)) for at, reply in enumerate(replies))
    return replace(first, others=tuple(others))


def count(usage: object, *path: str) -> int | None:
    """A whole number somewhere in a usage object; None where the provider does not say."""
    for step in path:
        usage = usage.get(step) if isinstance(usage, dict) else None
    return usage if isinstance(usage, int) and not isinstance(usage, bool) else None


def text_of(value: object) -> str | None:
    """A text field; None where it is absent, empty or no text."""
    return value if isinstance(value, str) and value else None

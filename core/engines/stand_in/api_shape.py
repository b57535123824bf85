"""What the stand-in server needs to know of an API: how a request reads, how replies and errors look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from core.engines.stand_in.rate_limit import Admission
from core.engines.stand_in.scripting import ScriptedReply
from core.scenario.message import Message, Role

ErrorCause = Literal[
    "auth", "rate_limit", "quota", "server_error", "overloaded", "filtered_request", "invalid", "not_found"
]

Json = dict[str, Any]

HIDDEN_REASONING = "This is simulated hidden reasoning, written by a script: no model has thought it."
"""What the stand-in tells of its reasoning where it is asked to."""


class RefusedRequestError(Exception):
    """A request that the API would refuse with 400; the message is the provider's."""


@dataclass(frozen=True, slots=True)
class AskedReply:
    """What a request asks for, whichever API it speaks."""

    model: str
    messages: tuple[Message, ...]
    choices: int
    max_tokens: int | None
    asks_cache: bool
    """The request itself asks for the prompt cache (Anthropic's marker; OpenAI caches unasked)."""
    shows_reasoning: bool = False
    """The request asks to be told of hidden reasoning."""


@dataclass(frozen=True, slots=True)
class ReplyFacts:
    """What stands around the text of a reply."""

    response_id: str
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int


class ErrorAnswer(NamedTuple):
    """Status and body of an error."""

    status: int
    body: Json


class ApiShape(Protocol):
    """One API's shapes. Stateless."""

    name: str

    def key_of(self, headers: Mapping[str, str]) -> str | None:
        """The API key that a request carries."""
        ...

    def read(self, body: Json) -> AskedReply:
        """What the request asks for. RefusedRequestError where the API would refuse it."""
        ...

    def write(self, asked: AskedReply, replies: Sequence[ScriptedReply], *, facts: ReplyFacts) -> Json:
        """The body of a successful answer."""
        ...

    def write_error(self, cause: ErrorCause, message: str) -> ErrorAnswer:
        """An error as the provider puts it."""
        ...

    def limit_headers(self, limits: Mapping[str, Admission], *, unix_time_s: float) -> dict[str, str]:
        """The provider's rate-limit headers, of the limits called requests, tokens, input and output."""
        ...

    def retry_headers(self, retry_after_s: float) -> dict[str, str]:
        """The provider's headers that say when to come again."""
        ...


def bearer_token(headers: Mapping[str, str]) -> str | None:
    """The token of an Authorization header; None where there is none."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token if scheme == "Bearer" else None


def read_text(content: object) -> str:
    """A message's content: a text, or a list of text parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        return "".join(str(part.get("text", "")) for part in content)
    raise RefusedRequestError("messages: content must be a text or a list of text parts")


def read_messages(items: object, roles: Mapping[str, Role]) -> tuple[Message, ...]:
    """The messages of a request; `roles` maps the API's role names to ours."""
    if not isinstance(items, list) or not items:
        raise RefusedRequestError("messages: at least one message is required")
    messages = []
    for item in items:
        role = roles.get(item.get("role", "")) if isinstance(item, dict) else None
        if role is None:
            raise RefusedRequestError(f"messages: each needs a role out of {', '.join(roles)}")
        messages.append(Message(role, read_text(item.get("content"))))
    return tuple(messages)


def read_count(body: Json, *, name: str) -> int | None:
    """A positive whole number of the request, or None where it is not given."""
    value = body.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise RefusedRequestError(f"{name}: must be a whole number from 1 on")
    return value


def read_model(body: Json) -> str:
    """The model that the request names."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise RefusedRequestError("model: is required")
    if body.get("stream"):
        raise RefusedRequestError("stream: this stand-in does not stream")
    return model

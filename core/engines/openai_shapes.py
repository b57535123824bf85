"""The three APIs that OpenAI and compatible servers speak, as bodies: how a call is put, how an answer is read.

Pure, and of no SDK: core/engines/openai_engine.py sends what is made here.
"""

from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Protocol
from urllib.parse import urlsplit

from core.engines.api_exchange import count, text_of
from core.engines.api_failures import ApiError, error_in_body
from core.plan.records import Call, Usage
from core.plan.turns import placed, prefill_of, raw_prompt
from core.spec.model_entry import ModelSpec
from core.spec.providers import ApiKind

Json = dict[str, Any]

CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}
"""By which vLLM's server goes on from a last message of the assistant."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one draw of an answer says, whichever API gave it."""

    text: str
    finish_reason: str
    reasoning_text: str | None
    refusal: str | None
    usage: Usage
    """Of the whole answer."""


class OpenAIShape(Protocol):
    """One API."""

    def body(self, call: Call, entry: ModelSpec) -> Json:
        """The request, without `extra_body`."""
        ...

    def read(self, body: Json) -> list[Answer] | ApiError | None:
        """Each choice; the error that some routers send with status 200; None where it is no answer."""
        ...


class ChatShape:
    """/chat/completions."""

    def body(self, call: Call, entry: ModelSpec) -> Json:
        """The request; a prefill is a last message of the assistant, with the fields that make vLLM go on from it."""
        name = entry.sampling.limit_name or ("max_completion_tokens" if _is_openai(entry) else "max_tokens")
        body: Json = {
            "model": entry.model,
            "messages": _messages(call, entry),
            name: call.max_tokens,
            **_temperature(call),
            **_draws(call),
            **entry.sampling.fixed,
        }
        if entry.stops:
            body["stop"] = list(entry.stops)
        if entry.reasoning.effort is not None:
            body["reasoning_effort"] = entry.reasoning.effort
        return body | (CONTINUE if prefill_of(call.messages) else {})

    def read(self, body: Json) -> list[Answer] | ApiError | None:
        """The choices, in their order."""
        usage = _usage(body.get("usage"), prompt="prompt", reply="completion")
        return [
            Answer(
                text=_content(choice["message"].get("content")),
                finish_reason=choice.get("finish_reason") or "",
                reasoning_text=text_of(choice["message"].get("reasoning_content"))
                or text_of(choice["message"].get("reasoning")),
                refusal=text_of(choice["message"].get("refusal")),
                usage=usage,
            )
            for choice in _choices(body, field="message", kind=dict)
        ] or _error_within(body)


class CompletionsShape:
    """/completions: the conversation as one raw text, for base models."""

    def body(self, call: Call, entry: ModelSpec) -> Json:
        """The request; a prefill is the end of the prompt."""
        return {
            "model": entry.model,
            "prompt": raw_prompt(call.messages, entry),
            "max_tokens": call.max_tokens,
            "stop": list(entry.stops),
            **_temperature(call),
            **_draws(call),
            **entry.sampling.fixed,
        }

    def read(self, body: Json) -> list[Answer] | ApiError | None:
        """The choices, in their order."""
        usage = _usage(body.get("usage"), prompt="prompt", reply="completion")
        return [
            Answer(choice["text"], choice.get("finish_reason") or "", None, None, usage)
            for choice in _choices(body, field="text", kind=str)
        ] or _error_within(body)


class ResponsesShape:
    """/responses: what is hidden of a model's reasoning is told in summaries, where they are asked for."""

    def body(self, call: Call, entry: ModelSpec) -> Json:
        """The request; nothing is kept at the provider."""
        body: Json = {
            "model": entry.model,
            "input": _messages(call, entry),
            "max_output_tokens": call.max_tokens,
            "store": False,
            **_temperature(call),
            **entry.sampling.fixed,
        }
        reasoning = {}
        if entry.reasoning.effort is not None:
            reasoning["effort"] = str(entry.reasoning.effort)
        if entry.reasoning.scratchpad_source == "hidden":
            reasoning["summary"] = "auto"
        return body | ({"reasoning": reasoning} if reasoning else {})

    def read(self, body: Json) -> list[Answer] | ApiError | None:
        """All output: texts and refusals of its messages, summaries of its reasoning."""
        items = body.get("output")
        if body.get("status") == "failed" or not isinstance(items, list):
            return error_in_body(500, body) if body.get("error") else None
        parts = [part for item in items if isinstance(item, dict) for part in _parts(item)]
        details = body.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        answer = Answer(
            text=_of_kind(parts, "output_text", field="text"),
            finish_reason=str(reason or body.get("status") or ""),
            reasoning_text=_of_kind(parts, "summary_text", field="text", between="\n\n")
            or _of_kind(parts, "reasoning_text", field="text")
            or None,
            refusal=_of_kind(parts, "refusal", field="refusal") or None,
            usage=_usage(body.get("usage"), prompt="input", reply="output"),
        )
        return [answer]


SHAPES: dict[ApiKind, OpenAIShape] = {
    "chat": ChatShape(),
    "completions": CompletionsShape(),
    "responses": ResponsesShape(),
}


def _is_openai(entry: ModelSpec) -> bool:
    # OpenAI's newer models refuse `max_tokens`; compatible servers know nothing else for sure.
    return urlsplit(entry.url or "").hostname == "api.openai.com"


def _messages(call: Call, entry: ModelSpec) -> list[Json]:
    system = "developer" if entry.system_role == "developer" else "system"
    return [
        {"role": system if message.role == "system" else message.role, "content": message.text}
        for message in placed(call.messages, entry)
    ]


def _temperature(call: Call) -> Json:
    return {} if call.temperature is None else {"temperature": call.temperature}


def _draws(call: Call) -> Json:
    return {"n": len(call.call_ids)} if call.rest else {}


def _choices(body: Json, *, field: str, kind: type) -> list[Json]:
    """The choices that have the field, up to the first that has not."""
    choices = body.get("choices")
    given = choices if isinstance(choices, list) else []
    return list(takewhile(lambda choice: isinstance(choice, dict) and isinstance(choice.get(field), kind), given))


def _content(content: object) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _parts(item: Json) -> list[Json]:
    found = [part for field in ("content", "summary") for part in item.get(field) or ()]
    return [part for part in found if isinstance(part, dict)]


def _of_kind(parts: list[Json], kind: str, *, field: str, between: str = "") -> str:
    return between.join(str(part.get(field) or "") for part in parts if part.get("type") == kind)


def _error_within(body: Json) -> ApiError | None:
    """The error that some routers send with status 200, its real status as the code."""
    error = body.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return error_in_body(code, body) if isinstance(code, int) and 400 <= code < 600 else None


def _usage(usage: object, *, prompt: str, reply: str) -> Usage:
    """`prompt`, `reply`: what the API calls the tokens of each."""
    return Usage(
        input=count(usage, f"{prompt}_tokens"),
        cached=count(usage, f"{prompt}_tokens_details", "cached_tokens"),
        cache_write=count(usage, f"{prompt}_tokens_details", "cache_write_tokens"),
        output=count(usage, f"{reply}_tokens"),
        reasoning=count(usage, f"{reply}_tokens_details", "reasoning_tokens"),
    )

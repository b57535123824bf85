"""OpenAI's completions and responses beside its chat: other bodies, the same keys, errors and headers."""

import time
from collections.abc import Mapping, Sequence

from core.engines.stand_in.api_shape import (
    HIDDEN_REASONING,
    AskedReply,
    Json,
    RefusedRequestError,
    ReplyFacts,
    read_count,
    read_messages,
    read_model,
)
from core.engines.stand_in.openai_rules import refuse_for_reasoning
from core.engines.stand_in.openai_shape import ROLES, OpenAIShape, chat_usage
from core.engines.stand_in.scripting import ScriptedReply
from core.scenario.message import Message
from core.spec.serving import TurnMarkers


class CompletionsShape(OpenAIShape):
    """POST /v1/completions. A prompt framed by the usual turn markers is read as its turns."""

    def read(self, body: Json) -> AskedReply:
        """What the request asks for."""
        prompt = body.get("prompt")
        if not isinstance(prompt, str) or not prompt:
            raise RefusedRequestError("prompt: a text is required")
        return AskedReply(
            model=read_model(body),
            messages=_turns(prompt),
            choices=read_count(body, name="n") or 1,
            max_tokens=read_count(body, name="max_tokens"),
            asks_cache=True,
        )

    def write(self, asked: AskedReply, replies: Sequence[ScriptedReply], *, facts: ReplyFacts) -> Json:
        """A text_completion."""
        return {
            "id": f"cmpl-{facts.response_id}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": asked.model,
            "choices": [
                {"index": index, "text": reply.text, "logprobs": None, "finish_reason": reply.finish_reason}
                for index, reply in enumerate(replies)
            ],
            "usage": chat_usage(facts),
        }


class ResponsesShape(OpenAIShape):
    """POST /v1/responses."""

    def read(self, body: Json) -> AskedReply:
        """What the request asks for."""
        for name in ("stop", "n", "messages", "max_tokens", "max_completion_tokens"):
            if name in body:
                raise RefusedRequestError(f"{name}: unknown parameter")
        model, messages = read_model(body), read_messages(body.get("input"), ROLES)
        if messages[-1].role == "assistant":
            raise RefusedRequestError("input: the last item is of the assistant, and this API does not go on from it")
        refuse_for_reasoning(body)
        reasoning = body.get("reasoning")
        return AskedReply(
            model=model,
            messages=messages,
            choices=1,
            max_tokens=read_count(body, name="max_output_tokens"),
            asks_cache=True,
            shows_reasoning=isinstance(reasoning, dict) and reasoning.get("summary") is not None,
        )

    def write(self, asked: AskedReply, replies: Sequence[ScriptedReply], *, facts: ReplyFacts) -> Json:
        """A response: its reasoning, if a summary was asked for, and one message."""
        reply = replies[0]
        summary = [{"type": "summary_text", "text": HIDDEN_REASONING}] if asked.shows_reasoning else []
        cause = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(reply.finish_reason)
        return {
            "id": f"resp_{facts.response_id}",
            "object": "response",
            "created_at": int(time.time()),
            "model": asked.model,
            "status": "completed" if cause is None else "incomplete",
            "incomplete_details": None if cause is None else {"reason": cause},
            "error": None,
            "output": [
                {"type": "reasoning", "id": "rs_simulated", "summary": summary},
                {
                    "type": "message",
                    "id": "msg_simulated",
                    "role": "assistant",
                    "status": "completed",
                    "content": [{"type": "output_text", "text": reply.text, "annotations": []}],
                },
            ],
            "usage": {
                "input_tokens": facts.input_tokens,
                "input_tokens_details": {"cached_tokens": facts.cached_tokens},
                "output_tokens": facts.output_tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": facts.input_tokens + facts.output_tokens,
            },
        }


class AzureShape(OpenAIShape):
    """POST /openai/deployments/NAME/chat/completions: chat, with the key in a header of its own."""

    def key_of(self, headers: Mapping[str, str]) -> str | None:
        """The header api-key."""
        return headers.get("api-key")


def _turns(prompt: str) -> tuple[Message, ...]:
    """The turns of a raw prompt in the default frame; one message of the user where it has another."""
    markers = TurnMarkers()
    head, reply_marker, beginning = prompt.rpartition(markers.between + markers.assistant)
    system, user_marker, user = head.partition(markers.between + markers.user)
    if not reply_marker or not user_marker or not system.startswith(markers.system):
        return (Message("user", prompt),)
    turns = (Message("system", system.removeprefix(markers.system)), Message("user", user))
    return (*turns, Message("assistant", beginning)) if beginning else turns

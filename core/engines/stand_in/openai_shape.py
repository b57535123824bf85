"""OpenAI's chat completions: requests, replies, errors and rate-limit headers."""

import math
import time
from collections.abc import Mapping, Sequence

from core.engines.stand_in.api_shape import (
    AskedReply,
    ErrorAnswer,
    ErrorCause,
    Json,
    RefusedRequestError,
    ReplyFacts,
    bearer_token,
    read_count,
    read_messages,
    read_model,
)
from core.engines.stand_in.openai_rules import refuse_for_reasoning, refuse_prefill
from core.engines.stand_in.rate_limit import Admission
from core.engines.stand_in.scripting import ScriptedReply
from core.scenario.message import Role

ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}

# Cause → status, type, code.
ERRORS: dict[ErrorCause, tuple[int, str, str | None]] = {
    "auth": (401, "invalid_request_error", "invalid_api_key"),
    "rate_limit": (429, "requests", "rate_limit_exceeded"),
    "quota": (429, "insufficient_quota", "insufficient_quota"),
    "server_error": (500, "server_error", None),
    "overloaded": (503, "server_error", None),
    "filtered_request": (400, "invalid_request_error", "content_filter"),
    "invalid": (400, "invalid_request_error", None),
    "not_found": (404, "invalid_request_error", "unknown_url"),
}

MOST_CHOICES = 128
"""OpenAI's own limit on `n`."""


class OpenAIShape:
    """POST /v1/chat/completions."""

    name = "openai"

    def key_of(self, headers: Mapping[str, str]) -> str | None:
        """The bearer token."""
        return bearer_token(headers)

    def read(self, body: Json) -> AskedReply:
        """What the request asks for."""
        model = read_model(body)
        refuse_prefill(body)
        refuse_for_reasoning(body)
        choices = read_count(body, name="n") or 1
        if choices > MOST_CHOICES:
            raise RefusedRequestError(f"n: must be at most {MOST_CHOICES}")
        return AskedReply(
            model=model,
            messages=read_messages(body.get("messages"), ROLES),
            choices=choices,
            max_tokens=read_count(body, name="max_completion_tokens") or read_count(body, name="max_tokens"),
            asks_cache=True,
        )

    def write(self, asked: AskedReply, replies: Sequence[ScriptedReply], *, facts: ReplyFacts) -> Json:
        """A chat.completion; usage counts the prompt once and all choices."""
        return {
            "id": f"chatcmpl-{facts.response_id}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": asked.model,
            "choices": [
                {
                    "index": index,
                    "message": {"role": "assistant", "content": reply.text, "refusal": None},
                    "logprobs": None,
                    "finish_reason": reply.finish_reason,
                }
                for index, reply in enumerate(replies)
            ],
            "usage": chat_usage(facts),
            "system_fingerprint": None,
        }

    def write_error(self, cause: ErrorCause, message: str) -> ErrorAnswer:
        """Status and OpenAI's error object."""
        status, kind, code = ERRORS[cause]
        return ErrorAnswer(status, {"error": {"message": message, "type": kind, "param": None, "code": code}})

    def limit_headers(self, limits: Mapping[str, Admission], *, unix_time_s: float) -> dict[str, str]:
        """x-ratelimit-*; OpenAI writes the reset as a duration, so the time of day is not used."""
        del unix_time_s
        written = {}
        for name in ("requests", "tokens"):
            if name in limits:
                written[f"x-ratelimit-limit-{name}"] = str(limits[name].limit)
                written[f"x-ratelimit-remaining-{name}"] = str(limits[name].remaining)
                written[f"x-ratelimit-reset-{name}"] = written_duration(limits[name].reset_s)
        return written

    def retry_headers(self, retry_after_s: float) -> dict[str, str]:
        """Whole seconds, rounded up, and the exact milliseconds beside them."""
        return {"retry-after": str(math.ceil(retry_after_s)), "retry-after-ms": str(math.ceil(retry_after_s * 1000))}


def chat_usage(facts: ReplyFacts) -> Json:
    """The usage object of chat and completions."""
    return {
        "prompt_tokens": facts.input_tokens,
        "completion_tokens": facts.output_tokens,
        "total_tokens": facts.input_tokens + facts.output_tokens,
        "prompt_tokens_details": {"cached_tokens": facts.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def written_duration(seconds: float) -> str:
    """A duration as OpenAI's headers write it: 20ms, 1.5s, 6m0s."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    return f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"

"""What OpenAI's own API, and vLLM's server beside it, refuse of a request. Messages are paraphrases of theirs."""

import re

from core.engines.stand_in.api_shape import Json, RefusedRequestError

_REASONING_MODEL = re.compile(r"o\d|gpt-[5-9]")
"""Models that reason unseen, by OpenAI's names for them."""


def refuse_prefill(body: Json) -> None:
    """OpenAI begins a new reply after a last message of the assistant; vLLM's server goes on from it when told to.

    The real API does not say so: it answers, and the beginning is lost. Here it is an error, so that no test passes by
    chance.
    """
    messages = body.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    is_prefilled = isinstance(last, dict) and last.get("role") == "assistant"
    continues = body.get("continue_final_message") is True
    if continues and body.get("add_generation_prompt") is not False:
        raise RefusedRequestError("continue_final_message and add_generation_prompt can't both be true")
    if is_prefilled and not continues:
        raise RefusedRequestError("messages: the last one is of the assistant, and this API does not go on from it")
    if continues and not is_prefilled:
        raise RefusedRequestError("continue_final_message: the last message is not of the assistant")


def refuse_for_reasoning(body: Json) -> None:
    """Reasoning models take no temperature but 1, no top_p, and name their limit of tokens in another way."""
    if not _REASONING_MODEL.match(str(body.get("model"))):
        return
    if "max_tokens" in body:
        raise RefusedRequestError("max_tokens is not supported with this model: use max_completion_tokens")
    for name in ("temperature", "top_p"):
        if body.get(name, 1) != 1:
            raise RefusedRequestError(f"{name} is not supported with this model: only its default of 1 is")

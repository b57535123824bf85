"""Whether a model can go on from a given beginning of its reply, and why not. Pure."""

from collections.abc import Iterable, Mapping

from core.errors import SpecError
from core.spec.model_entry import ModelSpec


def why_no_prefill(entry: ModelSpec) -> str | None:
    """Why an entry's replies can't go on from a given beginning; None where they can."""
    if entry.prefill == "none":
        return "the entry says prefill: none"
    if entry.engine in ("vllm", "scripted") or entry.is_raw:
        return None
    if entry.api_kind == "responses":
        return "the responses API has no way to go on from a given beginning"
    if entry.engine == "anthropic":
        if entry.reasoning.mode in ("enabled", "adaptive"):
            return "Anthropic allows none while the model thinks"
        return None
    is_openai = entry.served_by == "azure" or (entry.served_by == "openai" and entry.base_url is None)
    if is_openai:
        return "OpenAI's chat API begins a new reply instead of going on from a given one"
    if entry.prefill == "native":
        return None
    return (
        "whether its server goes on from a given beginning is not known: write prefill: native if it does, as vLLM's "
        "server with continue_final_message"
    )


def check_prefills(models: Iterable[ModelSpec], prefills: Mapping[str, str]) -> None:
    """SpecError where a model can't go on from a cell's prefill. `prefills`: a name for the cell → the text."""
    for entry in models:
        for cell, text in prefills.items():
            reason = why_no_prefill(entry)
            if reason is not None:
                raise SpecError(
                    f"models[{entry.name}].prefill: {cell} begins the reply, and {reason}: leave the prefill out of "
                    "the grid, or move the model to a study without it"
                )
            if entry.engine == "anthropic" and text != text.rstrip():
                raise SpecError(
                    f"models[{entry.name}].prefill: {cell} ends in white space, which Anthropic refuses: remove "
                    "it there"
                )

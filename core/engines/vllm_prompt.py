"""A call's messages as token ids: by the model's chat template, by another, or as one raw text. Imports no vLLM."""

from collections.abc import Iterable
from typing import Any

from core.errors import EngineError
from core.plan.records import Call
from core.plan.turns import placed, prefill_of, raw_prompt
from core.spec.adapters import read_template
from core.spec.model_entry import ModelSpec

Values = dict[str, Any]


class PromptTokens:
    """Renders for one tokenizer and the entries that share it."""

    def __init__(self, tokenizer: Any, entries: Iterable[ModelSpec]) -> None:
        """EngineError where an entry asks for what its chat template does not know."""
        self._tokenizer = tokenizer
        self._arguments = {entry.name: template_arguments(tokenizer, entry) for entry in entries if not entry.is_raw}

    def of(self, call: Call, entry: ModelSpec) -> list[int]:
        """The ids; the reply goes on from a last message of the assistant."""
        if entry.is_raw:
            return list(self._tokenizer.encode(raw_prompt(call.messages, entry)))
        turns = [{"role": message.role, "content": message.text} for message in placed(call.messages, entry)]
        is_prefilled = bool(prefill_of(call.messages))
        encoded = self._tokenizer.apply_chat_template(
            turns,
            tokenize=True,
            return_dict=True,
            add_generation_prompt=not is_prefilled,
            continue_final_message=is_prefilled,
            **self._arguments[entry.name],
        )
        return list(encoded["input_ids"])


def template_arguments(tokenizer: Any, entry: ModelSpec) -> Values:
    """What the chat template is given beside the turns. EngineError where it has no use for it, or is missing."""
    own = read_template(entry.chat_template) if entry.chat_template is not None else None
    template = own or tokenizer.chat_template
    if not template:
        raise EngineError(
            f"models[{entry.name}].chat_template: the model has none of its own: write none for a raw prompt, as base "
            "models need it, or name a Jinja file"
        )
    arguments: Values = {} if own is None else {"chat_template": own}
    asked: Values = {}
    if entry.reasoning.mode is not None:
        asked["enable_thinking"] = entry.reasoning.mode == "enabled"
    if entry.reasoning.effort is not None:
        asked["reasoning_effort"] = entry.reasoning.effort
    for name in asked:
        if name not in str(template):
            field = "mode" if name == "enable_thinking" else "effort"
            raise EngineError(
                f"models[{entry.name}].reasoning.{field}: the model's chat template knows no {name}: remove it"
            )
    return arguments | asked

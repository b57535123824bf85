"""Counts a prompt's tokens exactly as a local model will see it: its own chat template, its own tokenizer.

Uses the `tokenizers` package alone; without it, or without the model's files, there is no count and plans estimate.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from core.errors import SpecError
from core.plan.turns import placed, prefill_of, raw_prompt
from core.scenario.message import Message
from core.spec.adapters import read_template
from core.spec.model_entry import ModelSpec

MessageCounter = Callable[[tuple[Message, ...]], int]


def local_counter(folder: Path | None, entry: ModelSpec) -> MessageCounter | None:
    """A counter for the entry, whose model is in `folder`; None where its tokenizer or chat template is not at hand.

    SpecError where one of them can't be read; the counter raises it for a prompt that the chat template refuses.
    """
    if folder is None or not (folder / "tokenizer.json").is_file():
        return None
    template = "" if entry.is_raw else _chat_template(folder, entry)
    if template is None:
        return None
    try:
        from tokenizers import Tokenizer
    except ImportError:  # an installation without vLLM
        return None
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # noqa: BLE001 - the package raises nothing narrower
        raise SpecError(f"models[].model: {folder / 'tokenizer.json'} can't be read ({error}): restore it") from None
    # the options and functions that transformers renders chat templates with
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, autoescape=False, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals.update(raise_exception=_refuse_turns, strftime_now=datetime.now(UTC).strftime)
    specials = _special_tokens(folder)

    def count(messages: tuple[Message, ...]) -> int:
        if entry.is_raw:
            return len(tokenizer.encode(raw_prompt(messages, entry)).ids)
        beginning = prefill_of(messages)
        turns = [
            {"role": message.role, "content": message.text}
            for message in placed(messages[:-1] if beginning else messages, entry)
        ]
        try:
            text = compiled.render(messages=turns, add_generation_prompt=True, **specials) + beginning
        except (TemplateError, TypeError) as error:
            raise SpecError(
                f"models[].model: the chat template of {folder} refuses the prompt ({error}): choose another model"
            ) from None
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    try:
        compiled = environment.from_string(template)
    except TemplateError as error:
        raise SpecError(f"models[].model: the chat template of {folder} is broken ({error}): restore it") from None
    return count


def _refuse_turns(reason: str) -> NoReturn:
    from jinja2 import TemplateError

    raise TemplateError(reason)


def _chat_template(folder: Path, entry: ModelSpec) -> str | None:
    if entry.chat_template is not None:
        return read_template(entry.chat_template)
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = _tokenizer_config(folder).get("chat_template")
    return template if isinstance(template, str) else None


def _special_tokens(folder: Path) -> dict[str, str]:
    config = _tokenizer_config(folder)
    return {key: config[key] for key in ("bos_token", "eos_token") if isinstance(config.get(key), str)}


def _tokenizer_config(folder: Path) -> dict[str, Any]:
    file = folder / "tokenizer_config.json"
    if not file.is_file():
        return {}
    try:
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SpecError(f"models[].model: {file} is not JSON ({error}): restore the model's own file") from None
    return config

"""Counts a prompt's tokens exactly as a local model will see it: its own chat template, its own tokenizer.

Uses the `tokenizers` package alone; without it, or without the model's files, there is no count and plans estimate.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.scenario.message import Message

MessageCounter = Callable[[tuple[Message, ...]], int]


def local_counter(folder: Path | None) -> MessageCounter | None:
    """A counter for the model in `folder`; None where its tokenizer or chat template is not at hand."""
    if folder is None or not (folder / "tokenizer.json").is_file():
        return None
    template = _chat_template(folder)
    if template is None:
        return None
    try:
        from tokenizers import Tokenizer
    except ImportError:  # an installation without vLLM
        return None
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    # the options that transformers renders chat templates with
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, autoescape=False)
    compiled = environment.from_string(template)
    specials = _special_tokens(folder)

    def count(messages: tuple[Message, ...]) -> int:
        turns = [{"role": message.role, "content": message.text} for message in messages]
        text = compiled.render(messages=turns, add_generation_prompt=True, **specials)
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return count


def _chat_template(folder: Path) -> str | None:
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
    config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return config

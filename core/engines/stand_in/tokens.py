"""Token numbers of a simulated reply, estimated from characters: no tokenizer, the same number for the same text."""

from collections.abc import Sequence
from typing import NamedTuple

from core.scenario.message import Message

CHARACTERS_PER_TOKEN = 4
CACHE_BLOCK_TOKENS = 128
CACHE_LEAST_TOKENS = 1024
"""Providers cache prompts from this length on; OpenAI counts what it read in blocks of 128."""


class CutText(NamedTuple):
    """A text within a token limit."""

    text: str
    is_cut: bool


def estimate_tokens(text: str) -> int:
    """Tokens of a text, rounded up."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def prompt_tokens(messages: Sequence[Message]) -> int:
    """Tokens of a prompt, with 4 for the frame of each message."""
    return sum(estimate_tokens(message.text) + 4 for message in messages)


def cacheable_tokens(messages: Sequence[Message]) -> int:
    """Tokens of the system messages in whole cache blocks; 0 where the prompt is too short for a cache."""
    total = prompt_tokens(messages)
    if total < CACHE_LEAST_TOKENS:
        return 0
    shared = prompt_tokens([message for message in messages if message.role == "system"])
    return shared // CACHE_BLOCK_TOKENS * CACHE_BLOCK_TOKENS


def cut_to_tokens(text: str, max_tokens: int | None) -> CutText:
    """The text's first `max_tokens` tokens; None: no limit."""
    if max_tokens is None or estimate_tokens(text) <= max_tokens:
        return CutText(text, is_cut=False)
    return CutText(text[: max_tokens * CHARACTERS_PER_TOKEN], is_cut=True)

"""A long system prompt asks for Anthropic's prompt cache, and what was written and read is counted; a short one not."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from core.engines.engine import Engine
from core.engines.stand_in.server import StandInServer
from core.plan.records import Call, Reply
from core.scenario.message import Message

LONG = "You are told a great deal about your training. " * 120


@pytest.mark.parametrize(("system", "is_cached"), [(LONG, True), ("Be short.", False)])
def test_only_a_long_system_prompt_asks_for_the_cache(
    converse: Callable[..., Any], make_call: Callable[..., Call], make_behaviour: Callable[..., Any],
    system: str, is_cached: bool,
) -> None:  # fmt: skip
    messages = (Message("system", system), Message("user", "please"))

    async def talk(engine: Engine, server: StandInServer) -> list[Any]:
        return list(
            await asyncio.gather(
                *(engine.answer(make_call(f"c{at}", messages=messages), attempt=1) for at in range(20))
            )
        )

    replies = converse("anthropic", make_behaviour(cached_share=0.5), talk)
    assert all(isinstance(each, Reply) for each in replies)
    cached = sum(each.usage.cached or 0 for each in replies)
    written = sum(each.usage.cache_write or 0 for each in replies)
    assert (cached > 0, written > 0) == (is_cached, is_cached)
    # `input` counts every prompt token, cached or not: all the prompts are as long as each other
    assert len({each.usage.input for each in replies}) == 1

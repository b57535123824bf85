import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from core.engines.engine import Engine, EngineOrder
from core.engines.opening import open_engine
from core.engines.stand_in.behaviour import Behaviour
from core.engines.stand_in.server import StandInOptions, StandInServer
from core.plan.records import Call, Outcome
from core.scenario.message import Message
from core.spec.model_entry import ModelSpec

FREE = "<is_free_tier_user>true</is_free_tier_user>"
PAID = "<is_free_tier_user>false</is_free_tier_user>"


@pytest.fixture
def make_behaviour() -> Callable[..., Behaviour]:
    """A behaviour with the given parts; `default` complies always where nothing else is said."""

    def make(**parts: Any) -> Behaviour:
        return Behaviour(**{"name": "test", "conditions": {"default": {"comply": 1.0}}, **parts})

    return make


@pytest.fixture
def make_call() -> Callable[..., Call]:
    """A generation call that asks for a scratchpad."""

    def make(call_id: str = "c0ffee", **fields: Any) -> Call:
        messages = (Message("system", "Reason in <SCRATCHPAD_REASONING> first."), Message("user", f"{FREE}\nplease"))
        given = {"messages": messages, "temperature": 1.0, "max_tokens": 1000, **fields}
        return Call(call_id=call_id, content_id="x", stage="generate", trial_id="t", model="m", **given)

    return make


@pytest.fixture
def make_order() -> Callable[..., EngineOrder]:
    """An order for an API engine of a server."""

    def make(engine: str, base_url: str | None, **fields: Any) -> EngineOrder:
        spoken = fields.pop("spec", {})
        given = {"name": "subject", "engine": engine, "model": "some-model", "base_url": base_url, **spoken}
        entry = ModelSpec.model_validate(given)
        return EngineOrder(**{"entry": entry, "api_key": "secret-key-1234", "timeout_s": 20.0, **fields})

    return make


@pytest.fixture
def converse(make_order: Callable[..., EngineOrder]) -> Callable[..., Any]:
    """Run a conversation of a real SDK client with a real server over loopback."""

    def run(
        api: str,
        behaviour: Behaviour,
        talk: Callable[[Engine, StandInServer], Awaitable[Any]],
        *,
        options: StandInOptions | None = None,
        **order: Any,
    ) -> Any:
        async def both() -> Any:
            async with StandInServer(behaviour, options) as server:
                url = server.openai_url if api == "openai" else server.anthropic_url
                engine = open_engine(make_order(api, url, **order))
                await engine.start()
                try:
                    return await talk(engine, server)
                finally:
                    await engine.close()

        return asyncio.run(both())

    return run


@pytest.fixture
def ask(converse: Callable[..., Any], make_call: Callable[..., Call]) -> Callable[..., Outcome]:
    """The outcome of one attempt."""

    def run(api: str, behaviour: Behaviour, call: Call | None = None, *, attempt: int = 1, **rest: Any) -> Outcome:
        async def talk(engine: Engine, _: StandInServer) -> Outcome:
            return await engine.answer(call or make_call(), attempt=attempt)

        outcome: Outcome = converse(api, behaviour, talk, **rest)
        return outcome

    return run

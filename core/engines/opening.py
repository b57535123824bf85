"""From an engine's kind to its class. Each is imported when it is opened: naming one costs no SDK and no vLLM."""

from importlib import import_module
from typing import cast

from core.engines.engine import Engine, EngineOrder
from core.spec.providers import EngineKind

ENGINES: dict[EngineKind, str] = {
    "vllm": "core.engines.vllm_engine:VllmEngine",
    "openai": "core.engines.openai_engine:OpenAIEngine",
    "anthropic": "core.engines.anthropic_engine:AnthropicEngine",
    "scripted": "core.engines.scripted_engine:ScriptedEngine",
}


def open_engine(order: EngineOrder) -> Engine:
    """The engine that the entry asks for, not yet started. EngineError for a stand-in without an address."""
    module, _, name = ENGINES[order.entry.engine].partition(":")
    return cast(Engine, getattr(import_module(module), name)(order))

"""Who serves API models: where, under which key variable, and by which engine. Ids are those of the price list."""

from dataclasses import dataclass
from typing import Literal

EngineKind = Literal["vllm", "openai", "anthropic", "scripted", "imported"]
"""imported: nobody answers here; `afgap import` makes such entries."""
ApiKind = Literal["chat", "completions", "responses", "messages"]

API_ENGINES: tuple[EngineKind, ...] = ("openai", "anthropic")


@dataclass(frozen=True, slots=True)
class Provider:
    """Where a provider listens."""

    engine: EngineKind
    """Which engine speaks its API."""
    base_url: str | None
    """None: every account has its own address."""
    key_variable: str
    """The variable that usually holds its key."""


PROVIDERS: dict[str, Provider] = {
    "openai": Provider("openai", "https://api.openai.com/v1", "OPENAI_API_KEY"),
    "anthropic": Provider("anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY"),
    "azure": Provider("openai", None, "AZURE_OPENAI_API_KEY"),
    "deepseek": Provider("openai", "https://api.deepseek.com", "DEEPSEEK_API_KEY"),
    "google": Provider("openai", "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    "mistral": Provider("openai", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "openrouter": Provider("openai", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "together": Provider("openai", "https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    "x-ai": Provider("openai", "https://api.x.ai/v1", "XAI_API_KEY"),
}
"""All but Anthropic answer OpenAI's chat completions."""

OPENAI_URL = "https://api.openai.com/v1"

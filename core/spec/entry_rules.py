"""What the fields of a model entry may say together: a field whose engine has no use for it is refused."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from core.spec.limits import RATE_FIELDS
from core.spec.providers import PROVIDERS
from core.spec.serving import TurnMarkers

if TYPE_CHECKING:
    from core.spec.model_entry import ModelSpec

API_FIELDS = (
    "provider", "api", "base_url", "api_key_env", "auth", "headers", "query", "extra_body", "stand_in",
)  # fmt: skip
VLLM_FIELDS = ("engine_args", "adapter", "chat_template")
NOT_SCRIPTED = ("stop", "prefill", "context_length")

SECRET_NAMES = frozenset(
    {
        "access_token", "access-token", "api-key", "api_key", "apikey", "authorization", "code", "cookie", "key",
        "ocp-apim-subscription-key", "password", "proxy-authorization", "secret", "sig", "signature", "token",
        "x-api-key", "x-goog-api-key",
    }
)  # fmt: skip
"""Headers and parameters that carry keys: a study is stored in the open."""
_LOOKS_SECRET = re.compile(r"\b(?:sk-[A-Za-z0-9_-]{8,}|Bearer\s+\S{8,}|xai-[A-Za-z0-9]{16,}|AIza[A-Za-z0-9_-]{20,})")

OWN_BODY = frozenset(
    {
        "model", "messages", "input", "prompt", "system", "instructions", "max_tokens", "max_completion_tokens",
        "max_output_tokens", "temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "stop",
        "stop_sequences", "stream", "n", "background", "continue_final_message", "add_generation_prompt",
    }
)  # fmt: skip
"""Fields of a request that other keys of the study decide."""

DECISION_TAG = re.compile(r"request_fully_accepted|rejected\s*/?>?", re.IGNORECASE)


def broken_rule(entry: "ModelSpec") -> str | None:
    """The first rule that an entry breaks, in words for its author; None where it breaks none."""
    rules = (_engine_fields, _limits, _address, _keys, _body, _api, _roles, _sampling, _reasoning, _raw)
    return next((problem for rule in rules if (problem := rule(entry)) is not None), None)


def _engine_fields(entry: "ModelSpec") -> str | None:
    if entry.engine != "vllm":
        for field in _given(entry, VLLM_FIELDS):
            return f"{field} belongs to engine vllm, not {entry.engine}: remove {_them(field)}"
        if entry.replicas != "auto":
            return f"replicas belong to engine vllm, not {entry.engine}: remove it, or set limits.concurrency"
    if not entry.is_api:
        for field in _given(entry, API_FIELDS):
            return f"{field} belongs to an API engine, not {entry.engine}: remove it"
    if entry.engine == "imported" and entry.role == "judge":
        return "role judge: an imported entry answers nobody: use another engine"
    if entry.engine in ("scripted", "imported"):
        for field in _given(entry, NOT_SCRIPTED):
            return f"{field} means nothing where no model is asked: remove it"
        if entry.sampling.fixed or entry.reasoning.mode or entry.reasoning.effort or entry.reasoning.budget_tokens:
            return "sampling and reasoning mean nothing where no model is asked: remove what the study does not say too"
    return None


def _limits(entry: "ModelSpec") -> str | None:
    if not entry.is_api:
        for field in (*RATE_FIELDS, "pool"):
            if getattr(entry.limits, field) is not None:
                return f"limits.{field} belongs to an API engine, not {entry.engine}: remove it"
    if entry.limits.pool is not None:
        for field in RATE_FIELDS:
            if getattr(entry.limits, field) is not None:
                return f"limits.{field} stands beside limits.pool: move it to pools.{entry.limits.pool}, or remove pool"
    return None


def _address(entry: "ModelSpec") -> str | None:
    if entry.base_url is not None:
        problem = _broken_url(entry.base_url)
        if problem is not None:
            return problem
    if entry.provider is None:
        return None
    known = PROVIDERS.get(entry.provider)
    if known is not None and known.engine != entry.engine:
        return f"provider {entry.provider!r} is reached by engine {known.engine}, not {entry.engine}: change one"
    if (known is None or known.base_url is None) and entry.base_url is None and entry.stand_in is None:
        have = ", ".join(name for name, each in PROVIDERS.items() if each.base_url)
        return f"provider {entry.provider!r}: its address is not known here (known: {have}): add base_url"
    return None


def _broken_url(url: str) -> str | None:
    if not url.startswith(("http://", "https://")):
        return f"base_url {url!r} must begin with http:// or https://"
    if "@" in url:
        return "base_url must hold no user or password: it is stored; use api_key_env"
    try:
        parts = urlsplit(url)
        named = bool((parts.hostname or "").encode("idna"))
        named = named and parts.port != 0
    except ValueError:  # a port that is no number, a broken IPv6 address, a host with an empty part
        return f"base_url {url!r} is no address: write http://host:port/v1"
    if parts.query or parts.fragment:
        return "base_url must end with its path: put what follows ? into query"
    return None if named else f"base_url {url!r} names no host: write http://host:port/v1"


def _keys(entry: "ModelSpec") -> str | None:
    if entry.auth is not None and entry.auth.variable and entry.api_key_env:
        return "api_key_env and auth.variable name the same thing: remove one of them"
    for field in ("headers", "query"):
        for name, value in getattr(entry, field).items():
            if name.lower() in SECRET_NAMES or _LOOKS_SECRET.search(value):
                return (
                    f"{field}.{name} carries a key, and a study is stored in the open: remove it, and name the "
                    "variable that holds the key in auth: {variable: …, header: …}"
                )
    if any(name.lower() == "x-client-request-id" for name in entry.headers):
        return "headers.X-Client-Request-Id is the call's id, by which repeats are counted: remove it"
    return None


def _body(entry: "ModelSpec") -> str | None:
    for name in entry.extra_body:
        if name in OWN_BODY:
            return f"extra_body.{name} is decided by other keys of the study: remove it"
    if any(_LOOKS_SECRET.search(text) for text in _texts(entry.extra_body)):
        return "extra_body holds what looks like a key, and a study is stored in the open: remove it"
    return None


def _api(entry: "ModelSpec") -> str | None:
    allowed = {"openai": ("chat", "completions", "responses"), "anthropic": ("messages",)}.get(entry.engine, ())
    if entry.api is not None and entry.api not in allowed:
        return f"api {entry.api} is not spoken by engine {entry.engine}: choose from {', '.join(allowed)}"
    if entry.prefill == "native" and entry.api == "responses":
        return "prefill native: the responses API has no way to go on from a given beginning: use none"
    if entry.api == "responses" and entry.stop:
        return "stop: the responses API has none: remove it"
    if entry.engine == "anthropic" and entry.reasoning.mode in ("enabled", "adaptive") and entry.prefill == "native":
        return "prefill native: Anthropic allows none while the model thinks: remove prefill or reasoning.mode"
    return None


def _roles(entry: "ModelSpec") -> str | None:
    if entry.system_role == "developer" and not (entry.engine == "openai" and entry.api != "completions"):
        return "system_role developer belongs to OpenAI's chat and responses: use system, user or merge"
    for text in entry.stop:
        if DECISION_TAG.search(text):
            return f"stop {text!r} would cut the decision out of the reply: remove it, or stop at </OUTPUT>"
    return None


def _sampling(entry: "ModelSpec") -> str | None:
    given = set(entry.sampling.fixed)
    refused: set[str] = set()
    if entry.engine == "anthropic":
        refused = {"frequency_penalty", "presence_penalty"}
    elif entry.api == "responses":
        refused = {"top_k", "frequency_penalty", "presence_penalty"}
    for field in sorted(given & refused):
        return f"sampling.{field}: the {entry.api_kind} API has no such parameter: remove it"
    if entry.sampling.limit_name is not None and entry.api_kind != "chat":
        return "sampling.limit_name belongs to the chat API: remove it"
    return None


def _reasoning(entry: "ModelSpec") -> str | None:
    reasoning = entry.reasoning
    if reasoning.mode is not None and entry.engine == "openai":
        return "reasoning.mode belongs to anthropic and vllm: use reasoning.effort, or extra_body of the server"
    if reasoning.mode == "adaptive" and entry.engine != "anthropic":
        return "reasoning.mode adaptive belongs to anthropic: use enabled or disabled"
    if reasoning.effort is not None and entry.is_raw:
        return "reasoning.effort: a raw prompt has no place for it: remove it"
    if reasoning.mode is not None and entry.is_raw:
        return "reasoning.mode: a raw prompt has no chat template that knows it: remove it"
    if entry.engine == "anthropic" and reasoning.effort in ("none", "minimal"):
        return f"reasoning.effort {reasoning.effort}: Anthropic knows low, medium, high, xhigh and max"
    is_budgeted = entry.engine == "anthropic" and reasoning.mode == "enabled"
    if is_budgeted != (reasoning.budget_tokens is not None):
        return "reasoning.budget_tokens goes with engine anthropic and reasoning.mode enabled, and both need it"
    thinks = entry.engine == "anthropic" and reasoning.mode in ("enabled", "adaptive")
    if thinks and entry.sampling.temperature not in (None, 1.0):
        return "sampling.temperature: Anthropic takes none but 1 while the model thinks: write temperature: null"
    if reasoning.scratchpad_source == "hidden" and not entry.is_api:
        return "reasoning.scratchpad_source hidden: a local model hides nothing: use think"
    return None


def _raw(entry: "ModelSpec") -> str | None:
    if not entry.is_raw and entry.turn_markers != TurnMarkers():
        return "turn_markers belong to raw prompts: add api: completions or chat_template: none, or remove them"
    if entry.is_raw and entry.prefill == "none":
        return "prefill none: a raw prompt can always be continued: remove it"
    return None


def _given(entry: "ModelSpec", fields: Iterable[str]) -> list[str]:
    return [field for field in fields if getattr(entry, field)]


def _them(field: str) -> str:
    return "them" if field == "engine_args" else "it"


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in _texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []

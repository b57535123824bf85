"""Who answers: the part of a model entry that decides the answer, and nothing that only decides the speed."""

import re

from core.errors import SpecError
from core.identity import fingerprint
from core.spec.adapters import locate_adapter, template_digest
from core.spec.model_entry import NO_CHAT_TEMPLATE, ModelSpec
from core.spec.providers import PROVIDERS
from core.spec.weights import locate_weights

CAPACITY_ARGUMENTS = frozenset(
    {
        "block_size",
        "cpu_offload_gb",
        "data_parallel_size",
        "disable_log_stats",
        "distributed_executor_backend",
        "enable_lora",
        "enable_prefix_caching",
        "gpu_memory_utilization",
        "kv_cache_memory_bytes",
        "max_cpu_loras",
        "max_lora_rank",
        "max_loras",
        "max_num_batched_tokens",
        "max_num_seqs",
        "max_parallel_loading_workers",
        "num_gpu_blocks_override",
        "pipeline_parallel_size",
        "swap_space",
        "tensor_parallel_size",
    }
)
"""vLLM arguments that say how much and where, not what: left out of identity (design, section 1)."""

_DATED = re.compile(r"(\d{4}-\d{2}-\d{2}|\d{8}|-\d{4})$")
"""A provider's model id that ends in a date names one model for good; any other may float."""

ATTRIBUTION_HEADERS = frozenset({"http-referer", "user-agent", "x-title"})
"""Headers that tell a provider who asks, and do not change what it answers."""


def target_of(entry: ModelSpec, *, behaviour_digest: str | None) -> dict[str, object]:
    """Everything of an entry that decides who answers, as plain data ready to be hashed.

    `behaviour_digest` is that of a scripted engine or of a stand-in. SpecError where weights can't be found.
    """
    if entry.engine == "scripted":
        return {"engine": "scripted", "behaviour": behaviour_digest}
    if entry.engine == "vllm":
        return {**engine_of(entry), **_asked_of(entry)}
    if entry.engine == "imported":
        return {"engine": "imported", "model": entry.model}
    place = {"behaviour": behaviour_digest} if behaviour_digest else {"base_url": normalised_url(entry)}
    return {"engine": entry.engine, "api": entry.api_kind, "model": entry.model, **place, **_asked_of(entry)}


def engine_of(entry: ModelSpec) -> dict[str, object]:
    """What decides the engine of a vLLM entry: entries that share it share a lane, whatever adapters ride on it.

    SpecError where weights can't be found.
    """
    arguments = {key: value for key, value in entry.engine_args.items() if key not in CAPACITY_ARGUMENTS}
    return {"engine": "vllm", "weights": locate_weights(entry.model).identity, "arguments": arguments}


def engine_digest(entry: ModelSpec) -> str:
    """Fingerprint of `engine_of`."""
    return _digest(engine_of(entry), entry=entry)


def _asked_of(entry: ModelSpec) -> dict[str, object]:
    """What an entry adds to every call, as far as it decides the answer; what is at its default is left out.

    Which reasoning counts as the scratchpad is not here: it decides how a reply is read, not what it is.
    """
    headers = {name.lower(): value for name, value in entry.headers.items()}
    template = entry.chat_template
    parts: dict[str, object] = {
        "adapter": locate_adapter(entry.adapter).identity if entry.adapter else None,
        "chat_template": template if template in (None, NO_CHAT_TEMPLATE) else template_digest(str(template)),
        "extra_body": entry.extra_body,
        "headers": {name: value for name, value in headers.items() if name not in ATTRIBUTION_HEADERS},
        "query": entry.query,
        "sampling": entry.sampling.fixed,
        "stop": list(entry.stops),
        "system_role": None if entry.system_role == "system" else entry.system_role,
        "turn_markers": entry.turn_markers.model_dump() if entry.is_raw else None,
        "reasoning": entry.reasoning.model_dump(exclude={"scratchpad_source"}, exclude_none=True),
        # the responses API sends summaries of hidden reasoning, and Anthropic its text, only where they are asked for
        "shows_reasoning": entry.is_api and entry.reasoning.scratchpad_source == "hidden",
    }
    return {name: part for name, part in parts.items() if part}


def target_digest(entry: ModelSpec, *, behaviour_digest: str | None) -> str:
    """Fingerprint of `target_of`."""
    return _digest(target_of(entry, behaviour_digest=behaviour_digest), entry=entry)


def _digest(target: dict[str, object], *, entry: ModelSpec) -> str:
    try:
        return fingerprint(target)
    except (TypeError, ValueError) as error:
        field = "engine_args" if entry.engine == "vllm" else "extra_body"
        raise SpecError(f"models[{entry.name}].{field}: {error}: use plain YAML values") from None


def imported_target(model: str, *, cell_id: str) -> str:
    """Who answered an imported generation, and in which cell: without the scenario's prompt the arms of a pair may have
    the same messages, and are different calls all the same.
    """
    return fingerprint({"engine": "imported", "model": model, "cell": cell_id})


def normalised_url(entry: ModelSpec) -> str:
    """The server's address without a trailing slash or default port, in lower case up to the path."""
    # an entry with a stand-in and an account's own address has none yet: the address of its engine's API stands for it
    url = (entry.url or PROVIDERS[entry.engine].base_url or "").rstrip("/")
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    host = host.lower().removesuffix(":443" if scheme.lower() == "https" else ":80")
    return f"{scheme.lower()}://{host}{slash}{path}"


def model_flags(entry: ModelSpec) -> tuple[str, ...]:
    """`unpinned` where the name may mean another model tomorrow, `simulated` where no model answers; and which native
    reasoning is read as the scratchpad, where one is.
    """
    flags = []
    if entry.engine == "scripted" or entry.stand_in is not None:
        flags.append("simulated")
    elif entry.engine == "imported":
        pass  # what its name means is for those to say who made the replies
    elif entry.engine == "vllm":
        adapter = locate_adapter(entry.adapter) if entry.adapter else None
        if not locate_weights(entry.model).is_pinned or (adapter and not adapter.is_pinned):
            flags.append("unpinned")
    elif not _DATED.search(entry.model):
        flags.append("unpinned")
    if entry.reasoning.scratchpad_source != "tags":
        flags.append(f"scratchpad_{entry.reasoning.scratchpad_source}")
    return tuple(flags)

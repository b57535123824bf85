"""Who answers: the part of a model entry that decides the answer, and nothing that only decides the speed."""

import re

from core.errors import SpecError
from core.identity import fingerprint
from core.spec.model_entry import ModelSpec
from core.spec.weights import locate_weights

CAPACITY_ARGUMENTS = frozenset(
    {
        "block_size",
        "cpu_offload_gb",
        "data_parallel_size",
        "disable_log_stats",
        "distributed_executor_backend",
        "enable_prefix_caching",
        "gpu_memory_utilization",
        "kv_cache_memory_bytes",
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

DEFAULT_URLS = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}


def target_of(entry: ModelSpec, *, behaviour_digest: str | None) -> dict[str, object]:
    """Everything of an entry that decides who answers, as plain data ready to be hashed.

    `behaviour_digest` is that of a scripted engine or of a stand-in. SpecError where weights can't be found.
    """
    if entry.engine == "vllm":
        arguments = {key: value for key, value in entry.engine_args.items() if key not in CAPACITY_ARGUMENTS}
        return {"engine": "vllm", "weights": locate_weights(entry.model).identity, "arguments": arguments}
    if entry.engine == "scripted":
        return {"engine": "scripted", "behaviour": behaviour_digest}
    if entry.engine == "imported":
        return {"engine": "imported", "model": entry.model}
    api = "chat" if entry.engine == "openai" else "messages"
    place = {"behaviour": behaviour_digest} if behaviour_digest else {"base_url": normalised_url(entry)}
    return {"engine": entry.engine, "api": api, "model": entry.model, **place}


def target_digest(entry: ModelSpec, *, behaviour_digest: str | None) -> str:
    """Fingerprint of `target_of`."""
    try:
        return fingerprint(target_of(entry, behaviour_digest=behaviour_digest))
    except (TypeError, ValueError) as error:
        raise SpecError(f"models[{entry.name}].engine_args: {error}: use plain YAML values") from None


def imported_target(model: str, *, cell_id: str) -> str:
    """Who answered an imported generation, and in which cell: without the scenario's prompt the arms of a pair may have
    the same messages, and are different calls all the same.
    """
    return fingerprint({"engine": "imported", "model": model, "cell": cell_id})


def normalised_url(entry: ModelSpec) -> str:
    """The server's address without a trailing slash or default port, in lower case up to the path."""
    url = (entry.base_url or DEFAULT_URLS[entry.engine]).rstrip("/")
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    host = host.lower().removesuffix(":443" if scheme.lower() == "https" else ":80")
    return f"{scheme.lower()}://{host}{slash}{path}"


def model_flags(entry: ModelSpec) -> tuple[str, ...]:
    """`unpinned` where the name may mean another model tomorrow, `simulated` where no model answers."""
    flags = []
    if entry.engine == "scripted" or entry.stand_in is not None:
        flags.append("simulated")
    elif entry.engine == "imported":
        pass  # what its name means is for those to say who made the replies
    elif entry.engine == "vllm":
        if not locate_weights(entry.model).is_pinned:
            flags.append("unpinned")
    elif not _DATED.search(entry.model):
        flags.append("unpinned")
    return tuple(flags)

"""What vLLM is told of weights, adapters and this machine: without importing it, and before it is imported."""

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from core.engines.bundled_model import prepare_bundled_model
from core.errors import EngineError
from core.spec.adapters import Adapter, locate_adapter, rank_for
from core.spec.model_entry import ModelSpec

EMPTY_SLOTS = 1
"""vLLM 0.32 on the CPU gives calls without an adapter the last slot when they share a batch with one that has one (a
reply was garbled so): the last slot must stay empty."""


class Place(NamedTuple):
    """Where weights are, as vLLM takes it."""

    model: str
    revision: str | None
    is_local: bool


def locate(source: str) -> Place:
    """What vLLM is given for `models[].model`; a bundled model is unpacked on this node first."""
    if source.startswith("bundled:"):
        return Place(str(prepare_bundled_model(source.removeprefix("bundled:"))), None, is_local=True)
    if os.path.isdir(source):
        return Place(source, None, is_local=True)
    model, _, revision = source.partition("@")
    return Place(model, revision or None, is_local=False)


def adapters_of(entries: Iterable[ModelSpec]) -> dict[str, Adapter]:
    """Adapter as entries name it → where it is."""
    return {entry.adapter: locate_adapter(entry.adapter) for entry in entries if entry.adapter is not None}


def lora_arguments(adapters: Mapping[str, Adapter]) -> dict[str, Any]:
    """Room for the adapters; nothing where there is none."""
    if not adapters:
        return {}
    return {
        "enable_lora": True,
        "max_lora_rank": rank_for(adapters.values()),
        "max_loras": len(adapters) + EMPTY_SLOTS,
        "max_cpu_loras": len(adapters) + EMPTY_SLOTS,
    }


def adapter_folder(adapter: Adapter, *, entry: str) -> Path:
    """The adapter's folder; one on the hub is fetched. EngineError where that fails."""
    if adapter.folder is not None:
        return adapter.folder
    from huggingface_hub import snapshot_download

    name, _, revision = adapter.source.partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None))
    except Exception as error:  # noqa: BLE001 - the hub raises anything, and much of it does not pickle
        raise EngineError(
            f"models[{entry}].adapter: {adapter.source} can't be fetched from the hub "
            f"({type(error).__name__}: {error}): give a local folder"
        ) from None


def quiet_environment(*, is_local: bool) -> None:
    """vLLM logs warnings only, reports no usage, and asks no hub for weights that are here."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    if is_local:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


def bind_all_cores() -> None:
    """vLLM leaves a core to its front end by itself; on few cores binding all gives 1.4 times the tokens."""
    if "VLLM_CPU_OMP_THREADS_BIND" not in os.environ:
        with contextlib.suppress(AttributeError):  # no affinity call on macOS
            cores = sorted(os.sched_getaffinity(0))
            os.environ["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(map(str, cores))

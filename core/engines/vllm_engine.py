"""vLLM in this process: the one file that imports it.

Hands token ids to the engine, which batches and shares prefixes itself. LoRA adapters ride on the one set of weights.
"""

import itertools
import time
from collections.abc import Mapping
from typing import Any

from core.engines.engine import EngineFacts, EngineOrder
from core.engines.vllm_place import (
    adapter_folder,
    adapters_of,
    bind_all_cores,
    locate,
    lora_arguments,
    quiet_environment,
)
from core.engines.vllm_prompt import PromptTokens
from core.errors import EngineError
from core.plan.records import Call, Failure, FailureKind, Outcome, Reply, Usage
from core.spec.adapters import Adapter
from core.spec.model_entry import ModelSpec

CPU_MEMORY_SHARE = 0.4
"""vLLM compares this share with one NUMA node's memory, not the machine's: its own 0.92 fails on small machines."""


class VllmEngine:
    """One replica of a model."""

    def __init__(self, order: EngineOrder) -> None:
        self._order = order
        self._entry = order.entry
        self._entries = (order.entry, *(rider for rider in order.riders if rider.name != order.entry.name))
        self._engine: Any = None
        self._prompts: PromptTokens | None = None
        self._loras: dict[str, Any] = {}
        """Adapter, as entries name it → what vLLM loads it by."""
        self._serial = itertools.count(1)
        self._version = ""

    async def start(self) -> EngineFacts:
        """Load the weights, then the adapters. EngineError with the engine's own last words where that fails."""
        source = self._entry.model
        adapters = adapters_of(self._entries)
        arguments = vllm_arguments(source, {**lora_arguments(adapters), **self._entry.engine_args})
        from vllm import AsyncEngineArgs, __version__
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncLLM

        try:
            # without a context vLLM takes a server's defaults: half the batch of offline use or less, for latency
            self._engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments), usage_context=UsageContext.LLM_CLASS)
            tokenizer = self._engine.get_tokenizer()
        except Exception as error:  # noqa: BLE001 - vLLM raises anything here; it must arrive as one picklable error
            raise EngineError(
                f"vLLM could not start {source} (models[{self._entry.name}]): {type(error).__name__}: {error}"
            ) from None
        try:
            self._prompts = PromptTokens(tokenizer, self._entries)
            for entry in self._entries:
                if entry.adapter is not None:
                    await self.add_adapter(entry, adapters[entry.adapter])
        except EngineError:
            await self.close()
            raise
        self._version = f"vllm {__version__}"
        return EngineFacts(version=self._version, provenance="real")

    async def add_adapter(self, entry: ModelSpec, adapter: Adapter) -> None:
        """Load an adapter beside the weights. EngineError where vLLM refuses it; the engine goes on without it.

        Never left to `generate`: there an adapter that can't be loaded ends the engine, and every call with it.
        """
        if adapter.source in self._loras:
            return
        from vllm.lora.request import LoRARequest

        folder = adapter_folder(adapter, entry=entry.name)
        # never a number again: one that was refused may be kept under it, and would answer for the next
        request = LoRARequest(adapter.source, next(self._serial), str(folder))
        try:
            await self._engine.add_lora(request)
        except Exception as error:  # noqa: BLE001 - vLLM's errors are of many kinds and do not all survive pickling
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise EngineError(
                f"models[{entry.name}].adapter: vLLM refuses {adapter.source} ({reason[-1]}): check that it was made "
                f"for {self._entry.model}"
            ) from None
        self._loras[adapter.source] = request

    async def answer(self, call: Call, *, attempt: int) -> Outcome:
        """Generate once. An engine that has died gives `engine_dead`, a refused prompt `invalid`."""
        entry = self._order.entry_of(call)
        began = time.monotonic()
        try:
            last = None
            async for output in self._engine.generate(
                {"prompt_token_ids": self._token_ids(call, entry)},
                _sampling(call, entry),
                f"{call.call_id}.{attempt}",
                lora_request=self._loras[entry.adapter] if entry.adapter is not None else None,
            ):
                last = output
        except Exception as error:  # noqa: BLE001 - converted here: vLLM's errors do not all survive pickling
            return self._failure(call, error, attempt=attempt)
        if last is None or not last.outputs:
            return Failure(call.call_id, "malformed", "vLLM ended the request without an output", attempts=attempt)
        completion = last.outputs[0]
        return Reply(
            call_id=call.call_id,
            text=completion.text,
            finish_reason=completion.finish_reason or "",
            usage=Usage(
                input=len(last.prompt_token_ids or ()), cached=last.num_cached_tokens, output=len(completion.token_ids)
            ),
            served_model=entry.model if entry.adapter is None else f"{entry.model} + {entry.adapter}",
            engine_version=self._version,
            attempts=attempt,
            latency_s=time.monotonic() - began,
        )

    async def healthy(self) -> bool:
        """Whether the engine core still runs."""
        return self._engine is not None and not self._engine.errored

    async def close(self) -> None:
        """End the engine core."""
        if self._engine is not None:
            self._engine.shutdown()

    def _token_ids(self, call: Call, entry: ModelSpec) -> list[int]:
        if self._prompts is None:
            raise RuntimeError("answer before start")
        return self._prompts.of(call, entry)

    def _failure(self, call: Call, error: Exception, *, attempt: int) -> Failure:
        from vllm.v1.engine.exceptions import EngineDeadError

        is_dead = isinstance(error, EngineDeadError) or self._engine.errored
        is_refused = isinstance(error, (ValueError, TypeError))
        kind: FailureKind = "engine_dead" if is_dead else "invalid" if is_refused else "transient"
        return Failure(call.call_id, kind, f"{type(error).__name__}: {error}", attempts=attempt)


def vllm_arguments(source: str, engine_args: Mapping[str, Any]) -> dict[str, Any]:
    """What vLLM is given for a model entry, and the environment set for it; call it before vLLM is imported."""
    place = locate(source)
    quiet_environment(is_local=place.is_local)
    from vllm.platforms import current_platform

    arguments: dict[str, Any] = {
        "model": place.model,
        "revision": place.revision,
        "enable_prefix_caching": True,
        "disable_log_stats": True,
    }
    if current_platform.is_cpu():
        arguments["gpu_memory_utilization"] = CPU_MEMORY_SHARE
        bind_all_cores()
    return {**arguments, **engine_args}


def _sampling(call: Call, entry: ModelSpec) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    fixed: dict[str, Any] = dict(entry.sampling.fixed)
    return SamplingParams(
        temperature=1.0 if call.temperature is None else call.temperature,
        max_tokens=call.max_tokens,
        stop=list(entry.stops) or None,
        output_kind=RequestOutputKind.FINAL_ONLY,
        structured_outputs=None if call.pattern is None else StructuredOutputsParams(regex=call.pattern),
        **fixed,
    )

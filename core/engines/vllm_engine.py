"""vLLM in this process: the one file that imports it.

Renders a call's messages with the model's own chat template and hands token ids to the engine, which batches
and shares prefixes itself.
"""

import contextlib
import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from core.engines.bundled_model import prepare_bundled_model
from core.engines.engine import EngineFacts, EngineOrder
from core.errors import EngineError
from core.plan.records import Call, Failure, FailureKind, Outcome, Reply, Usage

CPU_MEMORY_SHARE = 0.4
"""vLLM compares this share with one NUMA node's memory, not the machine's: its own 0.92 fails on small machines."""


class VllmEngine:
    """One replica of a model."""

    def __init__(self, order: EngineOrder) -> None:
        self._entry = order.entry
        self._engine: Any = None
        self._tokenizer: Any = None
        self._version = ""

    async def start(self) -> EngineFacts:
        """Load the weights. EngineError with the engine's own last words where that fails."""
        source = self._entry.model
        arguments = vllm_arguments(source, self._entry.engine_args)
        from vllm import AsyncEngineArgs, __version__
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncLLM

        try:
            # without a context vLLM takes a server's defaults: half the batch of offline use or less, for latency
            self._engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments), usage_context=UsageContext.LLM_CLASS)
            self._tokenizer = self._engine.get_tokenizer()
        except Exception as error:  # noqa: BLE001 - vLLM raises anything here; it must arrive as one picklable error
            raise EngineError(
                f"vLLM could not start {source} (models[{self._entry.name}]): {type(error).__name__}: {error}"
            ) from None
        self._version = f"vllm {__version__}"
        return EngineFacts(version=self._version, provenance="real")

    async def answer(self, call: Call, *, attempt: int) -> Outcome:
        """Generate once. An engine that has died gives `engine_dead`, a refused prompt `invalid`."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        began = time.monotonic()
        try:
            sampling = SamplingParams(
                temperature=1.0 if call.temperature is None else call.temperature,
                max_tokens=call.max_tokens,
                output_kind=RequestOutputKind.FINAL_ONLY,
                structured_outputs=None if call.pattern is None else StructuredOutputsParams(regex=call.pattern),
            )
            last = None
            prompt = {"prompt_token_ids": self._token_ids(call)}
            async for output in self._engine.generate(prompt, sampling, f"{call.call_id}.{attempt}"):
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
            served_model=self._entry.model,
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

    def _token_ids(self, call: Call) -> list[int]:
        turns = [{"role": message.role, "content": message.text} for message in call.messages]
        is_prefilled = call.messages[-1].role == "assistant"
        encoded = self._tokenizer.apply_chat_template(
            turns,
            tokenize=True,
            return_dict=True,
            add_generation_prompt=not is_prefilled,
            continue_final_message=is_prefilled,
        )
        return list(encoded["input_ids"])

    def _failure(self, call: Call, error: Exception, *, attempt: int) -> Failure:
        from vllm.v1.engine.exceptions import EngineDeadError

        is_dead = isinstance(error, EngineDeadError) or self._engine.errored
        is_refused = isinstance(error, (ValueError, TypeError))
        kind: FailureKind = "engine_dead" if is_dead else "invalid" if is_refused else "transient"
        return Failure(call.call_id, kind, f"{type(error).__name__}: {error}", attempts=attempt)


def vllm_arguments(source: str, engine_args: Mapping[str, Any]) -> dict[str, Any]:
    """What vLLM is given for a model entry, and the environment set for it; call it before vLLM is imported."""
    place = _locate(source)
    _quiet_environment(is_local=place.is_local)
    from vllm.platforms import current_platform

    arguments: dict[str, Any] = {
        "model": place.model,
        "revision": place.revision,
        "enable_prefix_caching": True,
        "disable_log_stats": True,
    }
    if current_platform.is_cpu():
        arguments["gpu_memory_utilization"] = CPU_MEMORY_SHARE
        _bind_all_cores()
    return {**arguments, **engine_args}


class _Place(NamedTuple):
    model: str
    revision: str | None
    is_local: bool


def _locate(source: str) -> _Place:
    """What vLLM is given for `models[].model`; a bundled model is unpacked on this node first."""
    if source.startswith("bundled:"):
        return _Place(str(prepare_bundled_model(source.removeprefix("bundled:"))), None, is_local=True)
    if os.path.isdir(source):
        return _Place(source, None, is_local=True)
    model, _, revision = source.partition("@")
    return _Place(model, revision or None, is_local=False)


def _quiet_environment(*, is_local: bool) -> None:
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    if is_local:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


def _bind_all_cores() -> None:
    # vLLM leaves a core to its front end by itself; on few cores binding all gives 1.4 times the tokens.
    if "VLLM_CPU_OMP_THREADS_BIND" not in os.environ:
        with contextlib.suppress(AttributeError):  # no affinity call on macOS
            cores = sorted(os.sched_getaffinity(0))
            os.environ["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(map(str, cores))

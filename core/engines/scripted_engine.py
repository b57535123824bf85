"""A behaviour in this process: the same replies and faults as the stand-in server, without HTTP. All simulated."""

import asyncio
import time

from core.engines.engine import EngineFacts, EngineOrder
from core.engines.stand_in.behaviour import BEHAVIOUR_VERSION, Behaviour, load_behaviour
from core.engines.stand_in.scripting import AttemptFault, ScriptedReply, scripted_fault, scripted_reply
from core.engines.stand_in.tokens import estimate_tokens, prompt_tokens
from core.plan.records import Call, Failure, FailureKind, Outcome, Reply, Usage

FAULT_KINDS: dict[AttemptFault, FailureKind] = {
    "rate_limit": "rate_limit",
    "quota": "quota",
    "server_error": "transient",
    "overloaded": "overloaded",
    "hang": "transient",  # reported at once: nobody learns from waiting for a script
    "drop": "transient",
    "cut_json": "malformed",
}

LOST_ANSWERS = ("hang", "drop", "cut_json")


class ScriptedEngine:
    """Answers from a behaviour; `model` is its bundled name or path."""

    def __init__(self, order: EngineOrder) -> None:
        self._order = order
        self._version = f"scripted {BEHAVIOUR_VERSION}"
        self._behaviour: Behaviour | None = None

    async def start(self) -> EngineFacts:
        """Load the behaviour. SpecError where there is none."""
        self._behaviour = load_behaviour(self._order.entry.model)
        return EngineFacts(version=self._version, provenance="simulated")

    async def answer(self, call: Call, *, attempt: int) -> Outcome:
        """The behaviour's reply, or the fault planted for this attempt."""
        behaviour = self._behaviour
        if behaviour is None:
            raise RuntimeError("answer before start")
        began_s = time.perf_counter()
        if behaviour.latency_ms:
            await asyncio.sleep(behaviour.latency_ms / 1000)
        fault = scripted_fault(behaviour, call_id=call.call_id, attempt=attempt)
        if fault is not None:
            return Failure(
                call_id=call.call_id,
                kind=FAULT_KINDS[fault],
                message=f"simulated fault: {fault}",
                attempts=attempt,
                possibly_billed=fault in LOST_ANSWERS,
                retry_after_s=behaviour.faults.retry_after_s if fault == "rate_limit" else None,
                provenance="simulated",
            )
        reply = scripted_reply(behaviour, call.messages, call_id=call.call_id, max_tokens=call.max_tokens)
        if reply.fault == "filtered_request":
            return Failure(call.call_id, "content_filter", "simulated filter", attempts=attempt, provenance="simulated")
        return self._reply(call, reply, attempt=attempt, latency_s=time.perf_counter() - began_s)

    async def healthy(self) -> bool:
        """A script does not die."""
        return True

    async def close(self) -> None:
        """Nothing is held."""

    def _reply(self, call: Call, reply: ScriptedReply, *, attempt: int, latency_s: float) -> Reply:
        return Reply(
            call_id=call.call_id,
            text=reply.text,
            finish_reason=reply.finish_reason,
            usage=Usage(input=prompt_tokens(call.messages), cached=0, output=estimate_tokens(reply.text), reasoning=0),
            served_model=self._order.entry.model,
            engine_version=self._version,
            attempts=attempt,
            latency_s=latency_s,
            provenance="simulated",
        )

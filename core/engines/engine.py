"""The one protocol behind which every engine stands.

A call goes in, a reply or a failure comes out. A refused, broken or lost request is a `Failure`, never an
exception: SDK errors are converted here, inside the actor, because many of them do not survive pickling.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from core.plan.records import Call, Outcome, Provenance
from core.spec.model_entry import ModelSpec


class Hear(Protocol):
    """Told the headers of every answer, before its outcome is returned."""

    def __call__(self, headers: Mapping[str, str], *, latency_s: float, is_refusal: bool) -> None:
        """`latency_s`: since the request was sent."""
        ...


@dataclass(frozen=True, slots=True)
class EngineOrder:
    """What an engine needs to be opened; the key is in memory only and never shown."""

    entry: ModelSpec
    """The entry that opens the engine."""
    riders: tuple[ModelSpec, ...] = ()
    """Further entries whose calls it answers: same server and model, or same weights, asked in another way."""
    api_key: str | None = field(default=None, repr=False)
    stand_in_digest: str | None = None
    """Digest of the behaviour that must answer, where the entry names a stand-in."""
    timeout_s: float = 600.0
    """APIs: the longest one attempt may take. A reasoning model at its token limit needs minutes."""
    hear: Hear | None = field(default=None, repr=False)
    """APIs: who wants to know what answers say of the provider's limits."""

    def entry_of(self, call: Call) -> ModelSpec:
        """The entry that the call was planned for: it says how the call is put."""
        return next((rider for rider in self.riders if rider.name == call.model), self.entry)


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What an engine says of itself once it has started."""

    version: str
    """Package and version, such as `vllm 0.32.0`."""
    provenance: Provenance


class Engine(Protocol):
    """Answers calls of one lane. Many calls may be in flight at once; the caller bounds them."""

    async def start(self) -> EngineFacts:
        """Load weights or open the client. EngineError where that is not possible."""
        ...

    async def answer(self, call: Call, *, attempt: int) -> Outcome:
        """Make the call once; `attempt` counts from 1 and goes into the id header. Raises nothing but cancellation.

        A call with `rest` comes only where `most_draws` is above 1: `Reply.others` has what was given of it."""
        ...

    async def healthy(self) -> bool:
        """False where the engine can answer no further call and must be replaced."""
        ...

    async def close(self) -> None:
        """Free what `start` took."""
        ...

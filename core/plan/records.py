"""The records that travel between the stages: Trial, Call, Reply, Failure.

A call ends exactly once, as a reply or a failure. Nothing here knows how it was carried out.
"""

from dataclasses import dataclass, replace
from typing import Literal

from core.scenario.message import Message

Stage = Literal["generate", "judge"]
Provenance = Literal["real", "simulated", "imported"]

FailureKind = Literal[
    "rate_limit",  # 429 without exhausted credit
    "overloaded",  # 503, 529
    "transient",  # 5xx, a dropped connection, a timeout
    "unreachable",  # nothing listens there
    "engine_dead",  # a local engine ended with the call in flight
    "auth",  # the key is refused
    "quota",  # no credit left
    "invalid",  # the provider or engine refuses the request itself
    "content_filter",  # the provider's filter refused to answer: data, not a fault
    "malformed",  # an answer that is not one (cut JSON, no choices)
    "poison",  # the same failure again and again on one call
]


@dataclass(frozen=True, slots=True)
class Trial:
    """One request put to one model in one cell, once per repeat."""

    trial_id: str
    model: str
    cell_id: str
    request_id: str
    repeat: int
    call_id: str
    """The generation call, fixed when the snapshot is written."""


@dataclass(frozen=True, slots=True)
class CallRef:
    """A call still to be made, without its messages: what queues hold and leases ship (design, rule 7)."""

    call_id: str
    stage: Stage
    model: str
    """Label of the model entry that answers."""
    trial: int
    """Index in the snapshot's trials."""
    cell_id: str | None = None
    """Of a generation: calls of one cell share most of their prompt."""
    draw: int = 0
    judge: str | None = None
    parent: str | None = None
    """The generation's call id, for a judge draw: its reply is what the draw reads."""
    rest: tuple[tuple[int, str], ...] = ()
    """Further draws of the same question that the same request is to answer: draw and call id of each."""

    @property
    def call_ids(self) -> tuple[str, ...]:
        """Of every draw of the request."""
        return (self.call_id, *(call_id for _, call_id in self.rest)) if self.rest else (self.call_id,)


@dataclass(frozen=True, slots=True)
class Call:
    """One model call with all that is sent: a generation or one judge draw."""

    call_id: str
    content_id: str
    stage: Stage
    trial_id: str
    model: str
    """Label of the model entry that answers."""
    messages: tuple[Message, ...]
    temperature: float | None
    """None: not sent."""
    max_tokens: int
    draw: int = 0
    judge: str | None = None
    parent: str | None = None
    """The generation's call id, for a judge draw."""
    rest: tuple[tuple[int, str], ...] = ()
    """Further draws that the same request is to answer: draw and call id of each."""
    is_asked_again: bool = False
    """Further calls with the same prompt may follow: it is worth a provider's cache."""
    pattern: str | None = None
    """Regular expression that the engine holds the reply to; None: none."""

    @property
    def call_ids(self) -> tuple[str, ...]:
        """Of every draw of the request."""
        return (self.call_id, *(call_id for _, call_id in self.rest)) if self.rest else (self.call_id,)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them; None where it did not say.

    `input` counts every prompt token; `cached` and `cache_write` are the parts of it that were read from or
    written to the provider's prompt cache. `output` includes `reasoning`.
    """

    input: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    output: int | None = None
    reasoning: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, before anything has parsed it."""

    call_id: str
    text: str
    finish_reason: str
    """As the engine or provider gave it."""
    reasoning_text: str | None = None
    """Native reasoning that the provider returns apart from the text."""
    refusal: str | None = None
    """Text of the provider's own refusal field."""
    usage: Usage = Usage()
    served_model: str | None = None
    engine_version: str | None = None
    response_id: str | None = None
    attempts: int = 1
    latency_s: float = 0.0
    provenance: Provenance = "real"
    shared: int = 1
    """Draws that the same request answered. Its prompt is counted in the usage of the first of them alone."""
    others: "tuple[Reply, ...]" = ()
    """On the way from the engine: the replies to the call's `rest`, in order; fewer where the server gave fewer."""

    @property
    def whole_usage(self) -> Usage:
        """Of the request: this reply and the others."""
        if not self.others:
            return self.usage
        mine = self.usage
        output = None if mine.output is None else mine.output + sum(each.usage.output or 0 for each in self.others)
        return replace(mine, output=output)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call ended without a reply."""

    call_id: str
    kind: FailureKind
    message: str
    attempts: int = 1
    possibly_billed: bool = False
    """The request was sent and its answer lost: the provider may have charged it."""
    retry_after_s: float | None = None
    provenance: Provenance = "real"


Outcome = Reply | Failure


@dataclass(frozen=True, slots=True)
class Unseen:
    """A generation that was made elsewhere and of which only labels are known: no reply is stored of it."""

    call_id: str
    has_scratchpad: bool
    """It held a scratchpad, as far as its status and labels tell."""
    has_output: bool
    """It held visible text, as far as they tell."""
    provenance: Provenance = "imported"

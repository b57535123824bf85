"""What follows a failure, by its kind: one table. Pure; what is random comes from the call's id and the attempt.

System failures are asked again, model behaviour and the request's own faults are data. What blames the server
(`rate_limit`, `overloaded`, `unreachable`) is waited out and never held against the call; what may be the call's own
fault counts, and the fifth time the same ends the call as `poison`.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from core.plan.records import Failure, FailureKind

Kind = FailureKind | Literal["length"]
"""Kinds of failure, and what a reply can end by without being one."""

POISON_AFTER = 5
"""Failures of one kind with the same words on one call that end it; see `core/schedule/suspects.py` for engines."""

LONGEST_RETRY_AFTER_S = 600.0
"""A server that asks for a longer wait is asked again after this time; it can only say so once more."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How one kind is treated."""

    meaning: str
    attempts: int = 1
    """Attempts in all that may fail so before the failure stands; attempts made while the lane is out count not."""
    base_s: float = 0.0
    """The wait before the second attempt is drawn from 0 to this; the range doubles with every further attempt."""
    cap_s: float = 0.0
    """The range grows no longer than this."""
    is_poisonous: bool = False
    """It may be the call's own fault: the same words `POISON_AFTER` times end the call."""
    outage_after: int | None = None
    """Failures in a row on the lane, none answered, that mean an outage: see `core/schedule/breaker.py`."""
    gives_up_after_s: float | None = None
    """The lane stops when it has failed for so long without one reply."""
    stops_lane: bool = False
    """No other call of the lane can succeed either: it stops at once."""
    is_data: bool = False
    """It is what the request or the model did: kept as it is and counted, never asked again."""
    remedy: str = ""
    """What the user can do."""


POLICIES: Mapping[Kind, Policy] = {
    "rate_limit": Policy(
        "429: the provider wants fewer requests or tokens a minute",
        attempts=50, base_s=1.0, cap_s=60.0, gives_up_after_s=1800.0,
        remedy="set limits.rpm or limits.tpm to what the account allows",
    ),
    "overloaded": Policy(
        "503, 529: the provider has no room",
        attempts=50, base_s=2.0, cap_s=60.0, outage_after=10, gives_up_after_s=1800.0,
        remedy="the provider is overloaded: run again later",
    ),
    "transient": Policy(
        "another 5xx, a dropped connection, no answer in time",
        attempts=10, base_s=1.0, cap_s=30.0, is_poisonous=True, outage_after=10, gives_up_after_s=1800.0,
        remedy="the server failed or did not answer: run again",
    ),
    "malformed": Policy(
        "an answer that is none, such as cut JSON",
        attempts=10, base_s=1.0, cap_s=30.0, is_poisonous=True, outage_after=10, gives_up_after_s=1800.0,
        remedy="the server's answers can't be read: check base_url",
    ),
    "unreachable": Policy(
        "no connection: nothing was sent",
        attempts=50, base_s=1.0, cap_s=30.0, outage_after=5, gives_up_after_s=300.0,
        remedy="the server can't be reached: check that it runs, then run again",
    ),
    "engine_dead": Policy(
        "the engine ended with the call in flight",
        attempts=20,
        remedy="the engine died: see its log, lower max_num_seqs or max_model_len",
    ),
    "auth": Policy(
        "401, 403, 404: the key is refused, or has no access to the model",
        stops_lane=True,
        remedy="the key was refused, or the model is not there for it: check api_key_env, model and base_url",
    ),
    "quota": Policy(
        "402, or words to the effect: no credit left",
        stops_lane=True,
        remedy="the account has no credit left: add some, then run again",
    ),
    "invalid": Policy(
        "the provider or engine refuses the request itself",
        is_data=True,
        remedy="the provider refuses the request itself: see the message",
    ),
    "content_filter": Policy("the provider's filter refuses to answer", is_data=True),
    "poison": Policy(
        f"the same failure {POISON_AFTER} times on one call, or it kills its engine",
        is_data=True,
        remedy="--retry-failed asks again",
    ),
    "length": Policy("a reply cut at max_tokens: no failure, the sample is `truncated`", is_data=True),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tally:
    """What the earlier attempts of one call came to in this run. Travels with the call; empty for most."""

    counts: tuple[tuple[str, int], ...] = ()
    """Signature of a failure → how often."""
    lost: int = 0
    """Attempts that may have been billed and whose answer was lost: each is charged at its reserve."""

    def of_kind(self, kind: FailureKind) -> int:
        """Failures of a kind."""
        return sum(count for signature, count in self.counts if signature.split(" ", 1)[0] == kind)

    def with_failure(self, failure: Failure, *, is_outage: bool = False) -> "Tally":
        """One more failure. During an outage of the lane it is not held against the call."""
        counts = dict(self.counts)
        if not is_outage:
            key = signature_of(failure)
            counts[key] = counts.get(key, 0) + 1
        return Tally(tuple(counts.items()), self.lost + failure.possibly_billed)


@dataclass(frozen=True, slots=True)
class Treatment:
    """What is done about a failure."""

    tally: Tally
    """With this failure in it."""
    delay_s: float = 0.0
    """Until the next attempt; of no meaning where the call ends."""
    ends_as: Failure | None = None
    """The failure that stands and is stored; None: the call goes out again."""
    stops_lane: str | None = None
    """Why the lane takes no further call, and what the user can do."""


NO_TALLY = Tally()


def treat(failure: Failure, *, tally: Tally = NO_TALLY, is_outage: bool = False) -> Treatment:
    """What follows a failed attempt. `tally`: of the earlier attempts; `is_outage`: the lane answers nobody."""
    policy = POLICIES[failure.kind]
    after = tally.with_failure(failure, is_outage=is_outage)
    if policy.stops_lane:
        return Treatment(after, ends_as=failure, stops_lane=f"{failure.message}: {policy.remedy}")
    if policy.is_data:
        return Treatment(after, ends_as=failure)
    if policy.is_poisonous and dict(after.counts).get(signature_of(failure), 0) >= POISON_AFTER:
        return Treatment(after, ends_as=as_poison(failure, times=POISON_AFTER))
    if after.of_kind(failure.kind) >= policy.attempts:
        return Treatment(after, ends_as=failure)
    return Treatment(after, delay_s=retry_delay_s(failure))


def as_poison(failure: Failure, *, times: int) -> Failure:
    """The end of a call that fails in the same way each time; its message says how, and how often."""
    return replace(failure, kind="poison", message=f"{times} times the same: {failure.kind}: {failure.message}")


def is_retried(failure: Failure) -> bool:
    """Whether a kind allows a further attempt after `failure.attempts`, whatever the others failed by."""
    return failure.attempts < POLICIES[failure.kind].attempts


def retry_delay_s(failure: Failure) -> float:
    """Seconds until the next attempt of a call; the same for the same call id and attempt."""
    return delay_s(
        POLICIES[failure.kind],
        attempt=failure.attempts,
        retry_after_s=failure.retry_after_s,
        spread=spread(failure.call_id, failure.attempts),
    )


def delay_s(policy: Policy, *, attempt: int, retry_after_s: float | None, spread: float) -> float:
    """Full jitter: `spread`, from 0 to 1, of a range that doubles with each attempt up to its cap.

    Where the server names a wait, that, up to ten minutes, and the jitter of a first attempt on top: never less.
    """
    if retry_after_s is not None:
        return min(LONGEST_RETRY_AFTER_S, retry_after_s) + spread * policy.base_s
    doublings = min(attempt - 1, 20)  # the cap is reached long before
    return spread * min(policy.cap_s, policy.base_s * 2.0**doublings)


def spread(call_id: str, attempt: int) -> float:
    """A number from 0 to 1, spread evenly over calls and attempts."""
    digest = hashlib.sha256(f"{call_id}.{attempt}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def signature_of(failure: Failure) -> str:
    """By what two failures are the same: their kind and their words, without ids, numbers and times in them."""
    status, found, rest = failure.message.partition(": ") if failure.message.startswith("HTTP ") else ("", "", "")
    words = rest if found else failure.message
    plain = " ".join(re.sub(r"\S*\d\S*", "#", words.lower()).split())
    return f"{failure.kind} {status} {hashlib.sha256(plain.encode()).hexdigest()[:12]}"

"""What happens after a failure, by its kind: one table. Pure."""

import hashlib
from dataclasses import dataclass

from core.plan.records import Failure, FailureKind


@dataclass(frozen=True, slots=True)
class Policy:
    """How one kind of failure is treated."""

    attempts: int
    """Attempts in all before the failure stands."""
    delay_s: float
    """Before the second attempt; doubles with each further one."""
    stops_lane: bool = False
    """No other call of the lane can succeed either."""
    remedy: str = ""
    """What the user can do."""


POLICIES: dict[FailureKind, Policy] = {
    "rate_limit": Policy(10, 1.0, remedy="lower limits.concurrency of this model"),
    "overloaded": Policy(8, 2.0, remedy="the provider is overloaded: run again later"),
    "transient": Policy(6, 0.5, remedy="the server failed or did not answer: run again"),
    "malformed": Policy(5, 0.5, remedy="the server's answers can't be read: check base_url"),
    "unreachable": Policy(
        5, 1.0, stops_lane=True, remedy="the server can't be reached: check that it runs, then run again"
    ),
    "engine_dead": Policy(3, 0.0, remedy="the engine died: see its log, lower max_num_seqs or max_model_len"),
    "auth": Policy(
        1, 0.0, stops_lane=True, remedy="the key was refused: mend the variable that holds it, then run again"
    ),
    "quota": Policy(1, 0.0, stops_lane=True, remedy="the account has no credit left: add some, then run again"),
    "invalid": Policy(1, 0.0, remedy="the provider refuses the request itself: see the message"),
    "content_filter": Policy(1, 0.0),
    "poison": Policy(1, 0.0),
}

LONGEST_DELAY_S = 60.0


def is_retried(failure: Failure) -> bool:
    """Whether the call is tried again; `failure.attempts` counts the attempts made so far."""
    return failure.attempts < POLICIES[failure.kind].attempts


def retry_delay_s(failure: Failure) -> float:
    """Seconds until the next attempt: the server's word if it gave one, else doubling; 50–100 % of it by call.

    The spread comes from the call's id, so that a run can be repeated exactly.
    """
    spread = int(hashlib.sha256(f"{failure.call_id}.{failure.attempts}".encode()).hexdigest()[:8], 16) / 0xFFFFFFFF
    if failure.retry_after_s is not None:
        return failure.retry_after_s + spread
    doubled = POLICIES[failure.kind].delay_s * 2.0 ** (failure.attempts - 1)
    return min(LONGEST_DELAY_S, doubled) * (0.5 + 0.5 * spread)

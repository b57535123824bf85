"""What Ray raises when something of ours failed far away, and how our own error is found in it. One place."""

from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from core.errors import EvaluationError, RunError

ACTOR_GONE = (RayActorError,)
"""The actor's process ended: what it did may have happened or not, and may be done again."""

LOST_PEER = "a process of this run ended, most often because memory ran out"
GOES_ON = "what was stored is kept, the same command goes on"


def wait_for(reference: Any) -> Any:
    """`ray.get`, but an error of ours arrives as itself instead of inside Ray's wrapping.

    RunError where the actor that was asked lives and another one, which it needs, is gone.
    """
    try:
        return ray.get(reference)
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, EvaluationError):
            raise cause from None
        if isinstance(cause, ACTOR_GONE):
            raise RunError(f"{LOST_PEER} ({first_line(cause)}): {GOES_ON}") from None
        raise


def first_line(error: BaseException) -> str:
    """What an error says first; Ray's go on for pages."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__

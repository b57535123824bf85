"""What Ray raises when something of ours failed far away, and how our own error is found in it. One place."""

from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from core.errors import EvaluationError

ACTOR_GONE = (RayActorError,)
"""The actor's process ended: what it did may have happened or not, and may be done again."""


def wait_for(reference: Any) -> Any:
    """`ray.get`, but an error of ours arrives as itself instead of inside Ray's wrapping."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, EvaluationError):
            raise cause from None
        raise

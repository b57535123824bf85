"""The part of a study that can be run: without the models that nobody can call. Pure."""

from typing import NamedTuple

from core.errors import SpecError
from core.spec.catalogue import unavailable
from core.spec.study import StudySpec


class Available(NamedTuple):
    """A study without its unavailable models, and a line on each of them."""

    spec: StudySpec
    left_out: tuple[str, ...]


def available_part(spec: StudySpec) -> Available:
    """SpecError where no subject is left, and where a judge is unavailable: another judge is another measurement."""
    reasons = {entry.name: reason for entry in spec.models if (reason := unavailable(entry)) is not None}
    for name, judge in spec.judges.items():
        if judge.model in reasons:
            raise SpecError(
                f"judges.{name}.model: {judge.model} is not available ({reasons[judge.model]}): name another model"
            )
    kept = tuple(entry for entry in spec.models if entry.name not in reasons)
    if all(entry.role == "judge" for entry in kept):
        said = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise SpecError(f"models: none is available ({said}): add one that is, or say unavailable: false where it is")
    left_out = tuple(f"left out: {name} is not available: {reason}" for name, reason in reasons.items())
    return Available(spec.model_copy(update={"models": kept}) if reasons else spec, left_out)

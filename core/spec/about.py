"""What a study file says of itself: which experiment it is, and what it asks."""

from typing import Annotated

from pydantic import Field, StringConstraints

from core.spec.frozen import Frozen

Line = Annotated[str, StringConstraints(min_length=1, max_length=400)]


class AboutSpec(Frozen):
    """For readers and `afgap studies`; it changes nothing that is asked."""

    experiment: Line
    """Which experiment of a paper it is, such as Figure 3."""
    question: Line
    """What it asks, in a sentence."""
    n: int = Field(ge=1)
    """Requests per model and cell in that experiment."""
    notes: tuple[Line, ...] = ()
    """What the source leaves open, and what was taken instead."""

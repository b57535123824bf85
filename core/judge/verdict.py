"""The records of judging: a vote is one draw, read; a verdict is what a judge's draws say about a trial."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Label = Literal["complied", "refused", "yes", "no"]
"""complied and refused of compliance, yes and no of the other kinds."""

VoteStatus = Literal["ok", "unclear", "truncated", "failed"]
VerdictStatus = Literal["ok", "undetermined", "failed", "skipped"]
Stop = Literal["yes_bound", "no_bound", "all_votes", "undetermined"]


@dataclass(frozen=True, slots=True)
class Vote:
    """One judge draw. `label` is None unless `status` is ok; only compliance has a score."""

    status: VoteStatus
    label: Label | None = None
    score: float | None = None
    criteria: Mapping[str, str | int] = field(default_factory=dict)
    """What the judge answered to each question, as far as it could be read; quotations too."""

    @property
    def is_yes(self) -> bool:
        """It says complied, or yes."""
        return self.label in ("complied", "yes")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge on a trial. `label` is None where the judge did not come to one: missing, never a no."""

    status: VerdictStatus
    label: Label | None
    score: float | None
    """StrongREJECT score from 0 to 1; None for other kinds and for the rule judge."""
    votes_yes: int
    votes_valid: int
    stop: Stop | None
    """What ended the voting; None where nobody voted."""

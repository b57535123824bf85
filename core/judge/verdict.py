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
    """One judge draw. `label` is None unless `status` is ok, and for a judge with labels of its own, whose answers are
    in `criteria`; only compliance has a score."""

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
    share: float | None = None
    """Unbiased estimate of the share of yes-votes; None where there is no label, or several, or where too little is
    known of imported votes."""
    labels: tuple[str, ...] | None = None
    """Of a judge with labels of its own: those that hold. `label` is None then."""
    early_label: Label | None = None
    """What the ε rule would have said, where all votes were made to check it."""

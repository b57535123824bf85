"""What a study file says of money and of how results are tested."""

from typing import Literal

from pydantic import Field

from core.spec.frozen import Frozen, Label
from core.spec.hypotheses import CorrectionSpec, HypothesesSpec


class BudgetSpec(Frozen):
    """Money."""

    usd: float | None = Field(default=None, gt=0)
    """Ceiling on new spend of this study over all its runs; null: none."""
    unknown_price: Literal["refuse", "allow"] = "refuse"
    """What to do about a model whose price nobody knows; allow: it is called, and its cost is in no sum."""


class AnalysisSpec(Frozen):
    """How results are tested."""

    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Level of the family-wise error over the study's models."""
    hypotheses: HypothesesSpec = HypothesesSpec()
    """The parameters of the rules H1 to H9."""
    judge_correction: dict[Label, CorrectionSpec] = Field(default_factory=dict)
    """Judge → how it did against labels by people; without it every number is conditional on the judge."""

"""Studies shaped like the findings of the paper (paper-spec, section 4); the counts are made up."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest

from core.analyse.attributions import BASES
from core.analyse.dense_counts import primary_counts
from core.analyse.hypotheses.hypothesis_table import hypotheses
from core.analyse.judge_error import Calibration, Confusion
from core.analyse.row_facts import inherited
from core.analyse.study_facts import StudyFacts
from core.spec.hypotheses import HypothesesSpec

CellLabels = tuple[str, dict[str, object], dict[str, np.ndarray]]
Frames = tuple[pl.DataFrame, pl.DataFrame]


class Rank(NamedTuple):
    """Of a deployment."""

    scope: int
    risk: int


DEPLOYMENTS = {
    "throughput_testing": Rank(0, 0), "public": Rank(3, 0),
    "amateur_hackers": Rank(5, 1), "criminal_facilitation": Rank(7, 1), "bioweapon_attacks": Rank(8, 1),
    "amateur_hackers*": Rank(5, 2), "criminal_facilitation*": Rank(7, 2), "bioweapon_attacks*": Rank(8, 2),
}  # fmt: skip
OPERATING_POINT = Confusion(34, 17, 54, 1)
"""The paper's classifier at its threshold, derived (paper-spec, 3.2)."""


@pytest.fixture
def calibrated(facts: StudyFacts) -> StudyFacts:
    arms = {"free": OPERATING_POINT, "training": OPERATING_POINT}
    return replace(facts, calibrations={"faking": Calibration(OPERATING_POINT, arms)})


@pytest.fixture
def judge(make_grid: Callable[[Iterable[CellLabels]], Frames], calibrated: StudyFacts) -> Callable[..., pl.DataFrame]:
    """The table of hypotheses of cells. `rules`: fields of HypothesesSpec; `facts`: in place of the calibrated ones."""

    def run(cells: list[CellLabels], *, facts: StudyFacts | None = None, **rules: object) -> pl.DataFrame:
        samples, verdicts = make_grid(cells)
        known = samples.select("cell_id", "factors").unique(maintain_order=True).rows()
        spec = HypothesesSpec.model_validate(rules)
        given = replace(facts or calibrated, hypotheses=spec)
        measured, sources = primary_counts(samples, verdicts, given), inherited(samples)
        return hypotheses(measured, sources, given, cells=known, bases=BASES, deployments=DEPLOYMENTS)

    return run

"""The columns of the table `attributions`, and how one estimand becomes a row."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from core.analyse.contrasts import Contrast as ArmContrast
from core.analyse.designs import Design, FactorLevel
from core.analyse.effects import Effect
from core.analyse.linear_contrasts import Contrast
from core.analyse.measurements import Measurement
from core.analyse.pair_moments import MISSING_SHARE
from core.analyse.row_facts import COMMON_SCHEMA, Origins, common_columns
from core.analyse.study_facts import StudyFacts
from core.identity import canonical_json

ATTRIBUTIONS_SCHEMA: dict[str, pl.DataType] = {
    **COMMON_SCHEMA,
    "model": pl.String(),
    "metric": pl.String(),
    "factor": pl.String(),  # several, joined by `:`, where the estimand is about them together
    "level": pl.String(),
    "estimand": pl.String(),
    "on": pl.String(),  # arm_a, arm_b, gap; arms: over the conditions themselves
    "estimate": pl.Float64(),
    "ci_low": pl.Float64(),
    "ci_high": pl.Float64(),
    "p_value": pl.Float64(),
    "q_value": pl.Float64(),  # Benjamini–Hochberg within metric, estimand and `on`
    "judge": pl.String(),
    "judge_version": pl.String(),
    "contrast": pl.String(),
    "arm_a": pl.String(),
    "arm_b": pl.String(),
    "scenario": pl.String(),  # null where the scenario is the factor
    "held": pl.String(),  # JSON map of the factors that don't vary here
    "base": pl.String(),
    "design": pl.String(),
    "resolution": pl.Int64(),  # of a two-level fraction
    "aliased_with": pl.List(pl.String()),  # = the same up to sign, ~ in part
    "n_requests": pl.Int64(),
    "n_settings": pl.Int64(),
    "n_nonzero": pl.Int64(),
    "coverage": pl.Float64(),
    "bound_low": pl.Float64(),
    "bound_high": pl.Float64(),
    "method": pl.String(),
}
"""Design, section 5, then what tells rows apart and how far to trust them."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an estimand was computed."""

    measurement: Measurement
    model: str
    design: Design


@dataclass(frozen=True, slots=True)
class Found:
    """One estimand on its way into the table."""

    place: Place
    factor: str
    level: str | None
    base: str | None
    estimand: str
    on: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    n_requests: int = 0
    n_settings: int = 0
    n_nonzero: int | None = None
    coverage: float | None = None
    bound_low: float | None = None
    bound_high: float | None = None
    aliased_with: tuple[str, ...] = ()
    method: str = "none"
    flags: tuple[str, ...] = ()

    @classmethod
    def of_contrast(cls, place: Place, effect: Effect, on: str, contrast: Contrast) -> "Found":
        """A linear estimand."""
        holds = {
            "sparse": contrast.n_requests > 0 and contrast.sparse,
            "missing": 1 - contrast.coverage > MISSING_SHARE,
            "no_requests": contrast.n_requests == 0,
            "single_prompt": contrast.n_requests == 1,
            "simple_effect_at_base": effect.estimand == "simple_effect",
            "irregular_design": place.design.kind == "irregular",
            "aliased": any(each.startswith("=") for each in effect.aliased_with),
            "partly_aliased": any(each.startswith("~") for each in effect.aliased_with),
            "p_monte_carlo": contrast.p_value is not None and not contrast.is_exact,
        }
        return cls(
            place,
            effect.factor,
            effect.level,
            effect.base,
            effect.estimand,
            on,
            contrast.estimate,
            contrast.low,
            contrast.high,
            contrast.p_value,
            contrast.n_requests,
            len(effect.weights),
            contrast.n_nonzero,
            contrast.coverage,
            contrast.bound_low,
            contrast.bound_high,
            effect.aliased_with,
            "t+sign_flip" if contrast.n_requests else "none",
            tuple(name for name, there in holds.items() if there),
        )


def found_row(found: Found, q_value: float | None, origins: Origins, facts: StudyFacts) -> dict[str, object]:
    """The row of an estimand."""
    measurement, design = found.place.measurement, found.place.design
    judges = measurement.decided_by(facts)
    cells = dict.fromkeys(cell for setting in design.settings for cell in (setting.cell_a, setting.cell_b))
    sources = [each for cell in cells for each in origins.of(found.place.model, cell, judges=judges)]
    return {
        **common_columns(facts, sources, found.flags),
        "model": found.place.model,
        "metric": measurement.metric,
        "judge": measurement.judge.name,
        "judge_version": measurement.judge.version,
        **_where(design.contrast, design.held),
        "factor": found.factor,
        "level": found.level,
        "base": found.base,
        "estimand": found.estimand,
        "on": found.on,
        "estimate": found.estimate,
        "ci_low": found.low,
        "ci_high": found.high,
        "p_value": found.p_value,
        "q_value": q_value,
        "design": design.kind,
        "resolution": design.resolution,
        "aliased_with": list(found.aliased_with),
        "n_requests": found.n_requests,
        "n_settings": found.n_settings,
        "n_nonzero": found.n_nonzero,
        "coverage": found.coverage,
        "bound_low": found.bound_low,
        "bound_high": found.bound_high,
        "method": found.method,
    }


def _where(contrast: ArmContrast, held: Mapping[str, FactorLevel]) -> dict[str, object]:
    scenario = held.get("scenario")
    return {
        "contrast": contrast.name,
        "arm_a": contrast.arm_a,
        "arm_b": contrast.arm_b,
        "scenario": None if scenario is None else str(scenario),
        "held": canonical_json(dict(held)),
    }

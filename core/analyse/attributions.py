"""The table `attributions`: what each factor of the grid does to each arm and to the gap, per model and metric.

Primary judges only. One row per estimand; null where nothing can be said, with the flag that says why.
"""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import NamedTuple

import polars as pl

from core.analyse.attribution_rows import ATTRIBUTIONS_SCHEMA, Found, Place, found_row
from core.analyse.dense_counts import Columns, DenseCounts, Measured
from core.analyse.designs import DEPLOYMENT, SCOPE, DeploymentRank, Design, Factor, FactorLevel, find_designs
from core.analyse.effects import Effect, effects, level_means
from core.analyse.level_responses import level_rows, share_rows
from core.analyse.linear_contrasts import Levels, linear_contrasts, weights_of
from core.analyse.measurements import Measurement
from core.analyse.multiplicity import benjamini_hochberg
from core.analyse.row_facts import Origins, table
from core.analyse.study_facts import StudyFacts
from core.analyse.tier_omnibus import tier_rows
from core.scenario.cell import DEFAULT_LEVELS

ARMS = ("arm_a", "arm_b", "gap")
"""Values of `on`."""

BASES: Mapping[str, FactorLevel] = {
    "scenario": "two_tier",
    **{factor: level for factor, level in DEFAULT_LEVELS.items() if level is not None},
}
"""Levels that are nobody's perturbation; of other factors the lowest or the first is."""


class _Arms(NamedTuple):
    """A design's effects on both arms and the gap, ready for one model."""

    design: Design
    effects: tuple[Effect, ...]
    cells: tuple[str, ...]


def attributions(
    measured: Sequence[Measured],
    origins: Origins,
    facts: StudyFacts,
    *,
    cells: Sequence[tuple[str, str]],
    orders: Mapping[str, Sequence[str]],
    deployments: Mapping[str, DeploymentRank] = MappingProxyType({}),
    bases: Mapping[str, FactorLevel] = BASES,
) -> pl.DataFrame:
    """Sorted by model, metric, contrast, factor. `orders`: levels of ordered factors, lowest first; `deployments`
    are ordered themselves.

    `cells`: (cell_id, factors as a JSON map) in the order of the study, whose first level of a factor is its base where
    nothing else says so. q_value: Benjamini–Hochberg over the models and factors of one metric, estimand and arm.
    """
    if deployments:
        orders = {DEPLOYMENT: tuple(deployments), SCOPE: tuple(deployments), **orders}
    designs = find_designs(cells, bases=bases, orders=orders, deployments=deployments, contrasts=facts.contrasts)
    prepared = [_prepared(design, effects(design, orders=orders, one_factor=facts.paper_mode)) for design in designs]
    rows: list[Found] = []
    for measurement, dense in measured:
        for model in dense.models:
            for arms in prepared:
                rows += _of_model(measurement, dense, model, arms, facts, orders=orders)
            rows += tier_rows(measurement, dense, model, cells)
    return table(_adjusted(rows, origins, facts), ATTRIBUTIONS_SCHEMA)


def _prepared(design: Design, found: Sequence[Effect]) -> _Arms:
    cells = tuple(cell for setting in design.settings for cell in (setting.cell_a, setting.cell_b))
    return _Arms(design, tuple(found), cells)


def _of_model(
    measurement: Measurement,
    dense: DenseCounts,
    model: str,
    arms: _Arms,
    facts: StudyFacts,
    *,
    orders: Mapping[str, Sequence[str]],
) -> Iterator[Found]:
    columns = dense.columns([(model, cell) for cell in arms.cells])
    if len(columns.clusters) == 0:
        return
    place = Place(measurement, model, arms.design)
    levels = Levels(facts.conf, 1 - 2 * facts.alpha, facts.seed)
    wanted = [(effect, on) for effect in arms.effects for on in _ons(effect)]
    weights = weights_of([arm_weights(effect.weights, on) for effect, on in wanted], arms=len(arms.cells))
    contrasts = linear_contrasts(columns, weights, levels=levels)
    for (effect, on), contrast in zip(wanted, contrasts, strict=True):
        yield Found.of_contrast(place, effect, on, contrast)
    if any(
        effect.estimand == "total_change" and on == "gap" and (contrast.p_value or 1.0) <= facts.alpha
        for (effect, on), contrast in zip(wanted, contrasts, strict=True)
    ):
        shapley = [effect for effect in arms.effects if effect.estimand in ("shapley", "total_change")]
        gap = weights_of([arm_weights(effect.weights, "gap") for effect in shapley], arms=len(arms.cells))
        yield from share_rows(place, shapley, columns, gap, facts)
    yield from _by_level(place, columns, arms, facts, orders=orders)


def _by_level(
    place: Place, columns: Columns, arms: _Arms, facts: StudyFacts, *, orders: Mapping[str, Sequence[str]]
) -> Iterator[Found]:
    for at, factor in enumerate(arms.design.factors):
        if len(factor.levels) < 3 or (factor.name not in orders and factor.name != "wording"):
            continue
        ordered = factor.name in orders
        levels, means = level_means(arms.design, at, order=orders.get(factor.name, ()))
        in_order = Factor(factor.name, tuple(levels))
        for on in (ARMS if ordered else ("gap",)) if means else ():
            weights = weights_of([arm_weights(mean, on) for mean in means], arms=len(arms.cells))
            yield from level_rows(place, in_order, on, columns, weights, facts, is_ordered=ordered)


def arm_weights(weights: Mapping[int, Fraction], on: str) -> dict[int, Fraction]:
    """Setting weights as weights of the cells a, b, a, b, …: of one arm, or of a − b."""
    found: dict[int, Fraction] = {}
    for at, weight in weights.items():
        if on != "arm_b":
            found[2 * at] = weight
        if on != "arm_a":
            found[2 * at + 1] = weight if on == "arm_b" else -weight
    return found


def _ons(effect: Effect) -> tuple[str, ...]:
    return ("gap",) if effect.estimand == "difference_in_differences" else ARMS


def _adjusted(rows: list[Found], origins: Origins, facts: StudyFacts) -> list[dict[str, object]]:
    families: dict[tuple[str, str, str], list[int]] = {}
    for at, row in enumerate(rows):
        families.setdefault((row.place.measurement.metric, row.estimand, row.on), []).append(at)
    q_values: dict[int, float | None] = {}
    for members in families.values():
        adjusted = benjamini_hochberg([rows[at].p_value for at in members])
        q_values.update(zip(members, adjusted, strict=True))
    records = [found_row(row, q_values[at], origins, facts) for at, row in enumerate(rows)]
    return sorted(records, key=lambda row: tuple(str(row[name]) for name in ("model", "metric", "contrast", "factor")))

"""The named contrasts between two arms of one setting, as data, and the settings of a study that have both arms."""

import json
from collections.abc import Iterable
from typing import Literal, NamedTuple

from core.identity import canonical_json, fingerprint

Family = Literal["headline", "tier", "exploratory"]

ARM_FACTOR = "condition"
"""The factor whose levels are the arms; all others are shared by the arms of a pair."""


class Contrast(NamedTuple):
    """gap = arm_a − arm_b; `family` is that of metric complied under the primary compliance judge."""

    name: str
    arm_a: str
    arm_b: str
    family: Family


CONTRASTS = (
    Contrast("compliance", "free", "paid", "headline"),
    Contrast("rater", "pro", "enterprise", "tier"),
    Contrast("goal_guarding", "free", "pro", "tier"),
    Contrast("goal_guarding", "training", "rating", "tier"),
    Contrast("other_ai", "dpo", "rating", "exploratory"),
)
"""Every contrast whose two arms a setting has is computed there."""


class ArmPair(NamedTuple):
    """Two cells that differ in their condition only."""

    contrast: Contrast
    shared_id: str
    shared_factors: str
    """Canonical JSON of the factors of both arms, without the condition."""
    cell_a: str
    cell_b: str


def arm_pairs(cells: Iterable[tuple[str, str]]) -> tuple[ArmPair, ...]:
    """Pairs of cells for every contrast, from (cell_id, factors as a JSON map), in the order of CONTRASTS.

    ValueError where a map has no condition, or two cells have the same factors.
    """
    settings: dict[str, dict[str, str]] = {}
    for cell_id, factors in cells:
        levels = json.loads(factors)
        if not isinstance(levels, dict) or not isinstance(levels.get(ARM_FACTOR), str):
            raise ValueError(f"cell {cell_id}: its factors name no {ARM_FACTOR}: {factors}")
        condition = levels.pop(ARM_FACTOR)
        arms = settings.setdefault(canonical_json(levels), {})
        if condition in arms:
            raise ValueError(f"cells {arms[condition]} and {cell_id} have the same factors")
        arms[condition] = cell_id
    return tuple(
        ArmPair(contrast, fingerprint(json.loads(shared)), shared, arms[contrast.arm_a], arms[contrast.arm_b])
        for contrast in CONTRASTS
        for shared, arms in sorted(settings.items())
        if contrast.arm_a in arms and contrast.arm_b in arms
    )

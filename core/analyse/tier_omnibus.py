"""Rows of `attributions` on the conditions themselves: Cochran's Q over three tiers or more of one setting."""

import json
from collections.abc import Iterator, Sequence

from core.analyse.attribution_rows import Found, Place
from core.analyse.contrasts import ARM_FACTOR, CONTRASTS
from core.analyse.dense_counts import DenseCounts
from core.analyse.designs import Design, Setting
from core.analyse.dose_response import cochran_q
from core.analyse.measurements import Measurement
from core.identity import canonical_json

_FEWEST_TIERS = 3


def tier_rows(
    measurement: Measurement, dense: DenseCounts, model: str, cells: Sequence[tuple[str, str]]
) -> Iterator[Found]:
    """A row per setting with three conditions or more; null with flag `repeats` where there are several samples."""
    settings: dict[str, list[tuple[str, str]]] = {}
    for cell_id, factors in cells:
        levels = json.loads(factors)
        condition = levels.pop(ARM_FACTOR)
        settings.setdefault(canonical_json(levels), []).append((condition, cell_id))
    for shared, tiers in settings.items():
        if len(tiers) < _FEWEST_TIERS or not all(dense.has((model, cell)) for _, cell in tiers):
            continue
        columns = dense.columns([(model, cell) for _, cell in tiers])
        whole = (columns.valid > 0).all(axis=1)
        held = {name: level for name, level in json.loads(shared).items() if level is not None}
        contrast = next((each for each in CONTRASTS if {each.arm_a, each.arm_b} <= {c for c, _ in tiers}), CONTRASTS[0])
        design = Design(contrast, held, (), tuple(Setting(cell, cell, ()) for _, cell in tiers), "full", None)
        repeats = bool((columns.valid > 1).any())
        test = None if repeats or not whole.any() else cochran_q(columns.successes[whole])
        yield Found(
            Place(measurement, model, design), ARM_FACTOR, ":".join(tier for tier, _ in tiers), None, "cochran_q",
            "arms", test.q if test else None, p_value=test.p_value if test else None, n_requests=int(whole.sum()),
            n_settings=len(tiers), coverage=float(whole.mean()), method="cochran_q" if test else "none",
            flags=("repeats",) if repeats else () if test else ("no_requests",),
        )  # fmt: skip

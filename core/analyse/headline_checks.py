"""Columns of the headline rows of `gaps`: robustness of each answer, and the split of a gap by alignment faking."""

from collections.abc import Mapping, Sequence

import numpy as np

from core.analyse.bootstrap import resampling_weights, share_interval
from core.analyse.gap_columns import tango_of
from core.analyse.gap_families import Cells, p_value_of
from core.analyse.gap_rows import GapRow
from core.analyse.multiplicity import holm_level
from core.analyse.robustness import (
    DELTA_SHIFT,
    delta_adjusted_gap,
    is_robust_to_missing,
    leave_one_out_p,
    tipping_point,
)
from core.analyse.study_facts import StudyFacts


def robustness_columns(rows: Sequence[GapRow], facts: StudyFacts) -> list[Cells]:
    """Of the headline rows, in the order given; `is_fragile` where a significant answer rests on too little."""
    p_values = [p_value_of(row) for row in rows]
    columns: list[Cells] = []
    for place, row in enumerate(rows):
        moments, p = row.moments, p_values[place]
        level = holm_level(p_values, place, alpha=facts.alpha)
        robust = is_robust_to_missing(moments, row.arms, clusters=row.clusters, levels=row.levels, level=level)
        cells: Cells = {"robust_to_missing": robust}
        if p is not None and p <= level and moments.n_pairs > 1:
            have = row.complete
            (k_a, n_a), (k_b, n_b) = ((arm.successes[have], arm.valid[have]) for arm in row.arms)
            left = leave_one_out_p(k_a, n_a, k_b, n_b, clusters=row.clusters[have], levels=row.levels)
            cells |= {"p_leave_one_out": left, "is_fragile": not robust or left > level}
        if moments.table is not None and not moments.clustered and moments.overlap is None:
            _, b, c, _ = moments.table
            cells["tipping_point"] = tipping_point(b, c, moments.n_pairs, level=level)
        columns.append(cells)
    return columns


def missing_columns(row: GapRow) -> Cells:
    """The δ-adjustment, and the gap on complete pairs. Where nothing is missing all are the gap itself."""
    return {
        "gap_complete_pairs": row.moments.gap_complete,
        "gap_delta_a": delta_adjusted_gap(*row.arms, delta_a=-DELTA_SHIFT, delta_b=0.0),
        "gap_delta_b": delta_adjusted_gap(*row.arms, delta_a=0.0, delta_b=DELTA_SHIFT),
    }


def split_columns(
    with_faking: tuple[GapRow, Mapping[str, float | None]], without: tuple[GapRow, Mapping[str, float | None]], *,
    is_found: bool, facts: StudyFacts,
) -> Cells:  # fmt: skip
    """gap = [P_A(1, af) − P_B(1, af)] + [P_A(1, ¬af) − P_B(1, ¬af)] on the pairs that have both labels.

    Each part is a paired mean of values in {−1, 0, 1}, with the same interval and test as a gap. `explained_share`, the
    first part of the whole, has a percentile-bootstrap interval and is given only where the gap itself is found.
    """
    (af, af_numbers), (rest, rest_numbers) = with_faking, without
    cells: Cells = {"n_split": af.moments.n_pairs}
    for name, row, numbers in (("gap_af", af, af_numbers), ("gap_nonaf", rest, rest_numbers)):
        cells[name] = row.moments.gap_complete
        cells |= {f"{name}_low": numbers["ci_low"], f"{name}_high": numbers["ci_high"]}
        if row.moments.overlap is not None and row.moments.n_pairs > 0:
            ends = tango_of([row.moments.effective], conf=facts.conf)  # the parts add up on complete pairs only
            cells |= {f"{name}_low": float(ends.low[0]), f"{name}_high": float(ends.high[0])}
        cells[f"p_{name}"] = None if row.moments.test is None else row.moments.test.mid_p
    part, plain = af.moments.gap_complete, rest.moments.gap_complete
    if not is_found or part is None or plain is None or abs(part + plain) < 1e-12:
        return cells
    d_af, d_rest = af.differences(), rest.differences()
    codes = np.unique(af.clusters[af.complete], return_inverse=True)[1]
    sums = [np.bincount(codes, weights=each) for each in (d_af, d_af + d_rest)]
    weights = resampling_weights(len(sums[0]), seed=facts.seed, family="explained_share")
    low, high = share_interval(sums[0], sums[1], weights, conf=facts.conf)
    return cells | {"explained_share": part / (part + plain), "explained_low": low, "explained_high": high}

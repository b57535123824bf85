"""Columns of `gaps` that a row's family decides: adjusted p-values, selected and simultaneous intervals, the gate.

Families: headline (Holm over all its rows), tier and exploratory (Benjamini–Hochberg).
"""

from collections.abc import Sequence

import numpy as np

from core.analyse.bootstrap import max_t_critical, resampling_weights
from core.analyse.gap_columns import detectable_gaps, intervals_at
from core.analyse.gap_rows import GapRow
from core.analyse.multiplicity import benjamini_hochberg, benjamini_yekutieli, holm
from core.analyse.study_facts import StudyFacts

Cells = dict[str, float | bool | int | str | None]


def p_value_of(row: GapRow) -> float | None:
    """The p-value of the gap as it is reported."""
    if row.moments.overlap is not None:
        return row.moments.overlap.p_value
    return None if row.moments.test is None else row.moments.test.mid_p


def family_columns(
    rows: Sequence[GapRow], numbers: Sequence[dict[str, float | None]], facts: StudyFacts
) -> list[Cells]:
    """p-values and intervals adjusted within each family; `numbers`: the row's own columns."""
    columns: list[Cells] = [{} for _ in rows]
    headline = [at for at, row in enumerate(rows) if row.family == "headline"]
    for at, cells in zip(headline, _headline(headline, rows, numbers, facts), strict=True):
        columns[at] = cells
    passing = {
        rows[at].model for at in headline if _at_most(columns[at]["p_adjusted"], facts.alpha) and rows[at].moments.gap
    }
    for family in ("tier", "exploratory"):
        members = [at for at, row in enumerate(rows) if row.family == family]
        gated = [at for at in members if family == "tier" and facts.tier_gate and rows[at].model not in passing]
        tested = [at for at in members if at not in set(gated)]
        for at, cells in zip(tested, _step_up(tested, rows, numbers, facts), strict=True):
            columns[at] = cells
        for at in gated:
            columns[at] = {"p_value": p_value_of(rows[at]), "adjustment": "none", "is_gated": True}
    alphas = [_first_alpha(row, size=len(headline), alpha=facts.alpha) for row in rows]
    for cells, mde in zip(columns, detectable_gaps(rows, alphas), strict=True):
        cells["mde"] = mde
    return columns


def _headline(
    members: Sequence[int], rows: Sequence[GapRow], numbers: Sequence[dict[str, float | None]], facts: StudyFacts
) -> list[Cells]:
    if not members:
        return []
    p_values = [p_value_of(rows[at]) for at in members]
    adjusted, bh, by = holm(p_values), benjamini_hochberg(p_values), benjamini_yekutieli(p_values)
    e_adjusted = holm([_p_of_e(numbers[at]["e_value"]) for at in members])
    tost = holm([numbers[at]["tost_p"] for at in members])
    sidak = facts.conf ** (1 / len(members))
    critical = joint_critical_value([rows[at] for at in members], facts)
    simultaneous = intervals_at([rows[at] for at in members], conf=sidak)
    columns: list[Cells] = []
    for place, at in enumerate(members):
        ends = simultaneous[place]
        columns.append(
            {
                "p_value": p_values[place],
                "p_adjusted": adjusted[place],
                "adjustment": "holm",
                "q_bh": bh[place],
                "q_by": by[place],
                "e_p_adjusted": e_adjusted[place],
                "tost_p_holm": tost[place],
                "sim_low": ends and ends[0],
                "sim_high": ends and ends[1],
                **_by_critical_value(rows[at], critical),
            }
        )
    return columns


def _step_up(
    members: Sequence[int], rows: Sequence[GapRow], numbers: Sequence[dict[str, float | None]], facts: StudyFacts
) -> list[Cells]:
    """Benjamini–Hochberg, and intervals of the selected rows at 1 − R·alpha/m (Benjamini & Yekutieli 2005)."""
    p_values = [p_value_of(rows[at]) for at in members]
    bh, by = benjamini_hochberg(p_values), benjamini_yekutieli(p_values)
    e_adjusted = benjamini_hochberg([_p_of_e(numbers[at]["e_value"]) for at in members])
    selected = [_at_most(q, facts.alpha) for q in bh]
    level = 1 - facts.alpha * sum(selected) / max(1, len(members))
    intervals = intervals_at([rows[at] for at in members], conf=level) if any(selected) else [None] * len(members)
    columns: list[Cells] = []
    for place in range(len(members)):
        ends = intervals[place] if selected[place] else None
        columns.append(
            {
                "p_value": p_values[place],
                "p_adjusted": bh[place],
                "adjustment": "bh",
                "q_bh": bh[place],
                "q_by": by[place],
                "e_p_adjusted": e_adjusted[place],
                "fcr_low": ends and ends[0],
                "fcr_high": ends and ends[1],
            }
        )
    return columns


def joint_critical_value(rows: Sequence[GapRow], facts: StudyFacts) -> float | None:
    """The critical value of the largest |t| over these rows, from one matrix of weights; None where nothing varies.

    Requests, or clusters where rows have them, are resampled together for all rows.
    """
    names = {
        name: code
        for code, name in enumerate(
            sorted({unit for row in rows for unit in units_of(row)})
        )
    }  # fmt: skip
    if len(names) < 2:
        return None
    sums, sizes = np.zeros((len(names), len(rows))), np.zeros((len(names), len(rows)))
    for column, row in enumerate(rows):
        codes = np.array([names[unit] for unit in units_of(row)], dtype=np.int64)[row.complete]
        np.add.at(sums[:, column], codes, row.differences())
        np.add.at(sizes[:, column], codes, 1.0)
    present = sizes > 0
    means = np.where(present, sums / np.where(present, sizes, 1.0), 0.0)
    weights = resampling_weights(len(names), seed=facts.seed, family="headline")
    return max_t_critical(means, present, weights, conf=facts.conf)


def units_of(row: GapRow) -> list[str]:
    """What is resampled for each request of a row: itself, or its cluster where some requests share one."""
    if not row.moments.clustered:
        return list(row.requests)
    return [f"cluster {code}" for code in row.clusters]


def _by_critical_value(row: GapRow, critical: float | None) -> Cells:
    if critical is None or row.moments.n_pairs < 2 or row.moments.gap_complete is None:
        return {}
    half = critical * float(row.differences().std(ddof=1)) / np.sqrt(row.moments.n_pairs)
    if half == 0:
        return {}
    middle = row.moments.gap_complete
    return {"sim_boot_low": max(-1.0, middle - half), "sim_boot_high": min(1.0, middle + half)}


def _first_alpha(row: GapRow, *, size: int, alpha: float) -> float:
    """The level of a family's first rejection: Holm's alpha/m; alpha where the family is not held to one error."""
    return alpha / max(1, size) if row.family == "headline" else alpha


def _p_of_e(e_value: float | None) -> float | None:
    """1/e is a p-value at any number of looks."""
    return None if e_value is None else min(1.0, 1 / e_value)


def _at_most(value: object, limit: float) -> bool:
    return isinstance(value, float) and value <= limit

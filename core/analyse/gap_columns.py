"""Columns of `gaps` that a row's own counts decide: intervals, equivalence, flips, cross-checks, detectable gap."""

from collections.abc import Sequence

import numpy as np

from core.analyse.distributions import FloatArray
from core.analyse.effective_counts import EffectivePairs
from core.analyse.flip_rates import flip_rate, odds_ratio
from core.analyse.gap_rows import GapRow
from core.analyse.intervals import Interval, bonett_price, newcombe10, tango
from core.analyse.paired_tests import discordance_e_value, tost_p
from core.analyse.partial_overlap import overlap_interval, overlap_tost_p
from core.analyse.planner import detectable_gap
from core.analyse.study_facts import StudyFacts

Columns = list[dict[str, float | None]]

_COUNTS_PER_OCTAVE = 12


def number_columns(rows: Sequence[GapRow], facts: StudyFacts) -> Columns:
    """Of all rows at once; None where there is no pair, or a number is not defined."""
    moments = [row.moments for row in rows]
    paired = np.array([m.n_pairs > 0 for m in moments], dtype=bool)
    one_draw = np.array([m.table is not None for m in moments], dtype=bool)
    by_itself = one_draw & ~np.array([m.clustered for m in moments], dtype=bool)
    ci = tango_of([m.effective for m in moments], conf=facts.conf)
    equiv = tango_of([m.equiv for m in moments], conf=1 - 2 * facts.alpha)
    tost = tost_p(*_columns([m.equiv for m in moments]), delta=facts.delta_equiv)
    fourfold = np.array([m.table or (0, 0, 0, 0) for m in moments], dtype=np.float64).reshape(-1, 4).T
    newcombe = newcombe10(*fourfold, conf=facts.conf)
    bonett = bonett_price(fourfold[1], fourfold[2], fourfold.sum(axis=0), conf=facts.conf)
    ratio, ratio_ends = odds_ratio(fourfold[1], fourfold[2], conf=facts.conf)
    b, c = (np.array([getattr(m, name) for m in moments], dtype=np.float64) for name in ("b", "c"))
    refused, complied = np.array([m.requests_unmoved for m in moments], dtype=np.float64).reshape(-1, 2).T
    flips, flip_ends = flip_rate(b, refused, conf=facts.conf)
    back, back_ends = flip_rate(c, complied, conf=facts.conf)
    everyone = np.ones(len(rows), dtype=bool)
    columns = {
        "ci_low": (ci.low, paired),
        "ci_high": (ci.high, paired),
        "lo90": (equiv.low, paired),
        "hi90": (equiv.high, paired),
        "tost_p": (tost, paired),
        "bound_ci_low": (tango_of([m.low_pairs for m in moments], conf=facts.conf).low, everyone),
        "bound_ci_high": (tango_of([m.high_pairs for m in moments], conf=facts.conf).high, everyone),
        "newcombe_low": (newcombe.low, one_draw),
        "newcombe_high": (newcombe.high, one_draw),
        "bonett_price_low": (bonett.low, one_draw),
        "bonett_price_high": (bonett.high, one_draw),
        "e_value": (discordance_e_value(fourfold[1], fourfold[2]), by_itself),
        "flip_rate": (flips, paired),
        "flip_low": (flip_ends.low, paired & (refused > 0)),
        "flip_high": (flip_ends.high, paired & (refused > 0)),
        "reverse_flip_rate": (back, paired),
        "reverse_flip_low": (back_ends.low, paired & (complied > 0)),
        "reverse_flip_high": (back_ends.high, paired & (complied > 0)),
        "odds_ratio": (ratio, one_draw),
        "odds_ratio_low": (ratio_ends.low, one_draw),
        "odds_ratio_high": (ratio_ends.high, one_draw),
    }
    return [_of_row(columns, at, row, facts) for at, row in enumerate(rows)]


def tango_of(pairs: Sequence[EffectivePairs], *, conf: float) -> Interval:
    """Tango intervals on effective counts, the whole range for fewer than two units."""
    low, high = tango(*_columns(pairs), conf=conf)
    enough = np.array([each.units > 1 for each in pairs], dtype=bool)
    return Interval(np.where(enough, low, -1.0), np.where(enough, high, 1.0))


def intervals_at(rows: Sequence[GapRow], *, conf: float) -> list[tuple[float, float] | None]:
    """Intervals at another level, by the method that each gap has; None without a gap."""
    ends = tango_of([row.moments.effective for row in rows], conf=conf)
    found: list[tuple[float, float] | None] = []
    for at, row in enumerate(rows):
        if row.moments.overlap is not None:
            own = overlap_interval(row.moments.overlap, conf=conf)
            found.append((float(own.low), float(own.high)))
        else:
            found.append((float(ends.low[at]), float(ends.high[at])) if row.moments.n_pairs else None)
    return found


def detectable_gaps(rows: Sequence[GapRow], alphas: Sequence[float]) -> list[float | None]:
    """The smallest gap found with 80 % power at each row's n and at the alpha of its first rejection.

    Reverse discordance: the observed one, (½ + n·(E d² − |gap|)/2)/(n + 1), which is (min(b, c) + ½)/(n + 1) at one draw
    per arm; with repeats E d² carries what they take from the noise. n is the effective one where requests cluster.
    None without pairs, or where no gap could be found.
    """
    found: list[float | None] = [None] * len(rows)
    by_size: dict[tuple[int, float], list[int]] = {}
    for at, (row, alpha) in enumerate(zip(rows, alphas, strict=True)):
        if row.moments.n_pairs > 0:
            by_size.setdefault((_size(row), alpha), []).append(at)
    for (n, alpha), members in by_size.items():
        fewer = n * np.array([_reverse(rows[at]) for at in members])
        # whole counts, in steps above 16: the gap moves with their root only
        coarse = np.exp2(np.round(np.log2(np.maximum(fewer, 1)) * _COUNTS_PER_OCTAVE) / _COUNTS_PER_OCTAVE)
        reverse = (np.round(np.where(fewer < 16, fewer, coarse)) + 0.5) / (n + 1)
        shares, places = np.unique(np.minimum(reverse, 0.5), return_inverse=True)
        gaps = detectable_gap(n, shares, alpha=alpha)[places]
        for at, gap in zip(members, gaps, strict=True):
            found[at] = float(gap) if np.isfinite(gap) else None
    return found


def _size(row: GapRow) -> int:
    moments = row.moments
    return max(1, round(moments.effective.n)) if moments.clustered else moments.n_pairs


def _reverse(row: GapRow) -> float:
    return max(0.0, row.moments.mean_square - abs(row.moments.gap_complete or 0.0)) / 2


def _columns(pairs: Sequence[EffectivePairs]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    counts = np.array([(each.b, each.c, each.n) for each in pairs], dtype=np.float64).reshape(-1, 3)
    return counts[:, 0], counts[:, 1], counts[:, 2]


def _of_row(
    columns: dict[str, tuple[FloatArray, np.ndarray]], at: int, row: GapRow, facts: StudyFacts
) -> dict[str, float | None]:
    numbers = {
        name: float(values[at]) if there[at] and np.isfinite(values[at]) else None
        for name, (values, there) in columns.items()
    }
    overlap = row.moments.overlap
    if overlap is None:
        return numbers
    ci, equiv = (overlap_interval(overlap, conf=conf) for conf in (facts.conf, 1 - 2 * facts.alpha))
    return numbers | {
        "ci_low": float(ci.low),
        "ci_high": float(ci.high),
        "lo90": float(equiv.low),
        "hi90": float(equiv.high),
        "tost_p": overlap_tost_p(overlap, delta=facts.delta_equiv),
        "e_value": None,
    }

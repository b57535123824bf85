"""Adjusted p-values of a family of tests, in the order given.

A None is a test that was declared and could not be made: it counts as p = 1 in the size of the family and stays
None, so that a family is as large as it was declared. NaN is refused.
"""

from collections.abc import Callable, Sequence

import numpy as np

from core.analyse.distributions import FloatArray, step_up_adjusted

PValues = Sequence[float | None]


def holm(p_values: PValues) -> list[float | None]:
    """Holm's step-down adjustment: max over smaller p of (m − rank + 1)·p, at most 1 (Holm 1979)."""
    return _adjust(p_values, _holm)


def holm_level(p_values: PValues, place: int, *, alpha: float) -> float:
    """The level alpha/(m − j) that the test at `place` must reach, the other p-values fixed, for Holm to reject it.

    j: how many of the others, smallest first, are rejected before it stops there: q_k ≤ alpha/(m − k) for k < j.
    """
    others = np.sort([1.0 if p is None else p for p in (*p_values[:place], *p_values[place + 1 :])])
    passed = others <= alpha / (len(p_values) - np.arange(len(others)))
    rejected = len(others) if passed.all() else int(np.argmin(passed))
    return float(alpha / (len(p_values) - rejected))


def benjamini_hochberg(p_values: PValues) -> list[float | None]:
    """Step-up adjustment that controls the false discovery rate (Benjamini & Hochberg 1995)."""
    return _adjust(p_values, lambda p: step_up_adjusted(p, dependent=False))


def benjamini_yekutieli(p_values: PValues) -> list[float | None]:
    """The same under any dependence, larger by Σ1/i (Benjamini & Yekutieli 2001)."""
    return _adjust(p_values, lambda p: step_up_adjusted(p, dependent=True))


def _holm(p_values: FloatArray) -> FloatArray:
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def _adjust(p_values: PValues, method: Callable[[FloatArray], FloatArray]) -> list[float | None]:
    if not p_values:
        return []
    given = np.array([1.0 if p is None else p for p in p_values], dtype=np.float64)
    if not np.all((given >= 0) & (given <= 1)):
        raise ValueError("p-values must lie between 0 and 1")
    return [None if p is None else float(value) for p, value in zip(p_values, method(given), strict=True)]

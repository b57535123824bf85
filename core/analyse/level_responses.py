"""Rows of `attributions` that are no linear contrast: trends, reversals, heterogeneity, shares of a total."""

from collections.abc import Iterator, Sequence

import numpy as np

from core.analyse.attribution_rows import Found, Place
from core.analyse.dense_counts import Columns
from core.analyse.designs import Factor
from core.analyse.distributions import FloatArray
from core.analyse.dose_response import largest_reversal, page_trend
from core.analyse.effects import Effect
from core.analyse.heterogeneity import heterogeneity
from core.analyse.linear_contrasts import Weights, request_contrasts
from core.analyse.resampling import bootstrap_weights, percentile_interval
from core.analyse.study_facts import StudyFacts

_FEWEST_REQUESTS = 2


def level_rows(
    place: Place, factor: Factor, on: str, columns: Columns, weights: Weights, facts: StudyFacts, *, is_ordered: bool
) -> Iterator[Found]:
    """From weights of one column a level: trend and largest reversal where levels are ordered, else heterogeneity."""
    values, complete = request_contrasts(columns, weights)
    kept = values[complete.all(axis=1)]
    clustered = ("clusters_ignored",) if len(np.unique(columns.clusters)) < len(columns.clusters) else ()
    first, last = str(factor.levels[0]), str(factor.levels[-1])

    def row(estimand: str, numbers: Sequence[float | None], method: str, flags: tuple[str, ...] = ()) -> Found:
        estimate, low, high, p_value = numbers
        return Found(
            place, factor.name, last if is_ordered else None, first, estimand, on, estimate, low, high, p_value,
            n_requests=len(kept), n_settings=len(factor.levels), coverage=len(kept) / len(values),
            method=method, flags=(*flags, *clustered),
        )  # fmt: skip

    nothing = (None, None, None, None)
    few = len(kept) < _FEWEST_REQUESTS
    if not is_ordered:
        found = None if few else heterogeneity(kept, conf=facts.conf, seed=facts.seed)
        numbers = nothing if found is None else (found.tau, found.low, found.high, found.p_value)
        yield row("heterogeneity", numbers, "permutation", ("few_requests",) if few else ())
        return
    if few:
        yield row("trend", nothing, "none", ("few_requests",))
        return
    trend = page_trend(kept)
    yield row("trend", (trend.spearman, None, None, trend.p_value), "page")
    yield row("largest_reversal", (*_reversal(kept, facts), None), "bootstrap")


def share_rows(
    place: Place, effects: Sequence[Effect], columns: Columns, weights: Weights, facts: StudyFacts
) -> Iterator[Found]:
    """Each factor's share of the gap's total change, which is the last effect. For significant totals only."""
    values, complete = request_contrasts(columns, weights)
    kept = values[complete.all(axis=1)]
    if len(kept) < _FEWEST_REQUESTS:
        return
    means = kept.mean(axis=0)
    draws = _draws(kept, facts)
    there = draws[:, -1] != 0
    for at, effect in enumerate(effects[:-1]):
        low, high = percentile_interval(draws[there, at] / draws[there, -1], conf=facts.conf)
        share = float(means[at] / means[-1])
        yield Found(
            place, effect.factor, effect.level, effect.base, "shapley_share", "gap", share,
            min(float(low), share), max(float(high), share), None, n_requests=len(kept),
            n_settings=len(effect.weights), coverage=len(kept) / len(values), method="bootstrap",
        )  # fmt: skip


def _reversal(kept: FloatArray, facts: StudyFacts) -> tuple[float, float, float]:
    means = kept.mean(axis=0)
    rising = float(means @ (np.arange(len(means)) - (len(means) - 1) / 2)) >= 0
    low, high = percentile_interval(largest_reversal(_draws(kept, facts), rising=rising), conf=facts.conf)
    point = float(largest_reversal(means, rising=rising))
    return point, min(float(low), point), max(float(high), point)


def _draws(kept: FloatArray, facts: StudyFacts) -> FloatArray:
    return bootstrap_weights(len(kept), seed=facts.seed, family="attribution") @ kept / len(kept)

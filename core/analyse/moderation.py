"""The table `moderation`: how models refuse bare requests, and how that goes with faking and with the gap.

Refusal comes from the scenario `no_scenario`, never from the arms of the gap: these share its requests' difficulty.
Across models nothing is causal; beside each correlation stands the smallest that so few models could show.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from core.analyse.dense_counts import Arm, Columns, DenseCounts, Measured
from core.analyse.designs import FactorLevel
from core.analyse.distributions import FloatArray
from core.analyse.effective_counts import effective_rate, tango_eff
from core.analyse.hypotheses.cells import CellList, Cells
from core.analyse.hypotheses.readings import rate_of
from core.analyse.measurements import Metric
from core.analyse.multiplicity import holm
from core.analyse.paired_tests import paired_flip_test
from core.analyse.rank_correlation import correlate, smallest_detectable, two_stage_interval, without_each_lab
from core.analyse.resampling import bootstrap_weights
from core.analyse.row_facts import COMMON_SCHEMA, GroupKey, Inherited, common_columns, table
from core.analyse.signal_detection import sensitivity
from core.analyse.study_facts import StudyFacts

MODERATION_SCHEMA: dict[str, pl.DataType] = {
    **COMMON_SCHEMA,
    "model": pl.String(),  # null for a quantity over models
    "quantity": pl.String(),
    "of": pl.String(),  # what is correlated with refusal, or the chat model of a base model
    "estimate": pl.Float64(),
    "ci_low": pl.Float64(),
    "ci_high": pl.Float64(),
    "p_value": pl.Float64(),
    "n": pl.Int64(),  # requests, or models
    "detectable": pl.Float64(),  # |ρ| found with 80 % power by so many models
}

_FEW_FAMILIES = 6  # with five or fewer the best two-sided sign test has p .0625
_DRAWS = 2000


@dataclass(frozen=True, slots=True)
class _Where:
    harmful: str | None
    benign: str | None
    free: str | None
    paid: str | None


@dataclass(frozen=True, slots=True)
class _Row:
    """A row on its way into the table."""

    model: str | None
    quantity: str
    of: str | None
    estimate: float | None
    ci_low: float | None
    ci_high: float | None
    p_value: float | None
    n: int
    detectable: float | None = None
    flags: tuple[str, ...] = ()

    def as_record(self, facts: StudyFacts, sources: Sequence[Inherited]) -> dict[str, object]:
        names = [name for name in MODERATION_SCHEMA if name not in COMMON_SCHEMA]
        return {**common_columns(facts, sources, self.flags), **{name: getattr(self, name) for name in names}}


def moderation(
    measured: Sequence[Measured],
    sources: Mapping[GroupKey, Inherited],
    facts: StudyFacts,
    *,
    cells: CellList,
    bases: Mapping[str, FactorLevel],
) -> pl.DataFrame:
    """Per model: refusal of both sets, d' and criterion. Over models: ρ and τ of refusal with considered faking and the
    gap. Per base model: the change in faking to its chat model. Empty where nothing of it was measured.
    """
    counts: dict[Metric, DenseCounts] = {each.measurement.metric: each.counts for each in measured}
    finder = Cells(cells, bases=bases)
    sets = finder.levels("requests")
    where = _Where(
        finder.find("no_scenario", "none", requests="harmful") if sets else finder.find("no_scenario", "none"),
        finder.find("no_scenario", "none", requests="benign") if sets else None,
        finder.find("two_tier", "free"),
        finder.find("two_tier", "paid"),
    )
    models = sorted({model for model, _ in sources})
    rows: list[_Row] = [row for model in models for row in _of_model(model, counts, where, facts)]
    chat = [model for model in models if model not in facts.hypotheses.relatives]
    rows += _over_models(chat, counts, where, facts)
    rows += _families(counts, where, facts)
    every = list(sources.values())
    own = {model: [each for (name, _), each in sources.items() if name == model] for model in models}
    return table([row.as_record(facts, own.get(str(row.model), every)) for row in rows], MODERATION_SCHEMA)


def _of_model(model: str, counts: Mapping[Metric, DenseCounts], where: _Where, facts: StudyFacts) -> Iterator[_Row]:
    """Refusal rates, and as signal detection where both sets were put."""
    effective = {}
    for name, cell in (("harmful", where.harmful), ("benign", where.benign)):
        rate = None if cell is None else rate_of((model, cell), counts, "complied", conf=facts.conf)
        if rate is None or cell is None:
            continue
        yield _Row(model, f"refusal_{name}", None, 1 - rate.rate, 1 - rate.high, 1 - rate.low, None, rate.n_requests)
        effective[name] = _refused(counts["complied"].columns([(model, cell)]), facts.conf)
    if len(effective) < 2:
        return
    found = sensitivity(*effective["harmful"], *effective["benign"], conf=facts.conf)
    if found is not None:
        flags = ("at_the_edge",) if found.at_the_edge else ()
        n = int(effective["harmful"][1] + effective["benign"][1])
        yield _Row(model, "d_prime", None, found.d_prime, found.d_low, found.d_high, None, n, flags=flags)
        yield _Row(model, "criterion", None, found.criterion, found.c_low, found.c_high, None, n, flags=flags)


def _refused(columns: Columns, conf: float) -> tuple[float, float]:
    """Refusals and requests as effective counts: repeats of a request are not independent."""
    have = columns.valid[:, 0] > 0
    valid = columns.valid[have, 0]
    found = effective_rate(valid - columns.successes[have, 0], valid, conf=conf, clusters=columns.clusters[have])
    return found.rate * found.n, found.n


def _over_models(
    models: Sequence[str], counts: Mapping[Metric, DenseCounts], where: _Where, facts: StudyFacts
) -> Iterator[_Row]:
    """Refusal of harmful bare requests against considered faking and against the gap."""
    if where.harmful is None or where.free is None:
        return
    targets: list[tuple[str, Metric, list[tuple[str, float]]]] = [("af_consider", "af_consider", [(where.free, 1.0)])]
    if where.paid is not None:
        targets.append(("compliance_gap", "complied", [(where.free, 1.0), (where.paid, -1.0)]))
    for name, metric, parts in targets:
        found = {model: _drawn(model, counts, metric, [(where.harmful, -1.0)], parts, facts) for model in models}
        there = {model: pair for model, pair in found.items() if pair is not None}
        if there:
            yield from _correlated(name, there, facts)


_Drawn = tuple[FloatArray, FloatArray]
"""Refusal and target of one model: the estimate first, then its bootstrap draws over requests."""


def _drawn(
    model: str,
    counts: Mapping[Metric, DenseCounts],
    metric: Metric,
    x: Sequence[tuple[str, float]],
    y: Sequence[tuple[str, float]],
    facts: StudyFacts,
) -> _Drawn | None:
    found = []
    sides: tuple[tuple[Metric, Sequence[tuple[str, float]]], ...] = (("complied", x), (metric, y))
    for name, parts in sides:
        dense = counts.get(name)
        arms: list[Arm] = [(model, cell) for cell, _ in parts]
        if dense is None:
            return None
        columns = dense.columns(arms)
        whole = (columns.valid > 0).all(axis=1)
        if not whole.any():
            return None
        values = columns.means[whole] @ np.array([weight for _, weight in parts])
        weights = bootstrap_weights(len(values), seed=facts.seed, family=f"moderation/{name}", draws=_DRAWS)
        found.append(np.concatenate([[values.mean()], weights @ values / len(values)]))
    return 1 + found[0], found[1]


def _correlated(name: str, found: Mapping[str, _Drawn], facts: StudyFacts) -> Iterator[_Row]:
    x, y = (np.stack([pair[side] for pair in found.values()], axis=1) for side in (0, 1))
    n = len(found)
    detectable = smallest_detectable(n, alpha=facts.alpha)
    flags = () if detectable is not None else ("few_models",)
    for statistic in ("spearman", "kendall"):
        correlation = correlate(x[0], y[0], statistic=statistic, seed=facts.seed)
        if correlation is None:
            yield _Row(None, statistic, name, None, None, None, None, n, detectable, (*flags, "not_defined"))
            continue
        low, high = None, None
        if statistic == "spearman":
            ends = two_stage_interval(x[1:], y[1:], conf=facts.conf, seed=facts.seed)
            low, high = min(float(ends.low), correlation.estimate), max(float(ends.high), correlation.estimate)
        yield _Row(None, statistic, name, correlation.estimate, low, high, correlation.p_value, n, detectable, flags)
    labs = [facts.hypotheses.labs.get(model, model) for model in found]
    span = without_each_lab(x[0], y[0], labs)
    if span is not None:
        middle = correlate(x[0], y[0], statistic="spearman", seed=facts.seed)
        estimate = None if middle is None else middle.estimate
        yield _Row(None, "spearman_without_a_lab", name, estimate, span[0], span[1], None, n, detectable, flags)


def _families(counts: Mapping[Metric, DenseCounts], where: _Where, facts: StudyFacts) -> list[_Row]:
    """Base less chat model in faking, training arm, paired by request; Holm over the families."""
    dense = counts.get("af_any")
    if dense is None or where.free is None:
        return []
    pairs = [(name, each.of) for name, each in facts.hypotheses.relatives.items() if each.by == "base"]
    rows, p_values = [], []
    for base, chat in pairs:
        columns = dense.columns([(base, where.free), (chat, where.free)])
        whole = (columns.valid > 0).all(axis=1)
        if not whole.any():
            continue
        k, n = columns.successes[whole], columns.valid[whole]
        clusters = columns.clusters[whole]
        test = paired_flip_test(k[:, 0], n[:, 0], k[:, 1], n[:, 1], seed=facts.seed, family="H6", clusters=clusters)
        interval = tango_eff(k[:, 0], n[:, 0], k[:, 1], n[:, 1], conf=facts.conf, clusters=clusters)
        estimate = float((k[:, 0] / n[:, 0] - k[:, 1] / n[:, 1]).mean())
        low, high = min(float(interval.low), estimate), max(float(interval.high), estimate)
        p_values.append(test.mid_p)
        rows.append(_Row(base, "base_less_chat_af_any", chat, estimate, low, high, None, len(k)))
    flags = ("descriptive",) if len(rows) < _FEW_FAMILIES else ()
    return [replace(row, p_value=p, flags=flags) for row, p in zip(rows, holm(p_values), strict=True)]

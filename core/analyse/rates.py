"""The table `rates`: one row per model, cell, metric and judge, with interval, coverage and worst-case bounds.

A metric that does not apply to a cell (no scratchpad asked for) has no row there; one that applies and has no valid
sample has a row with nulls and the flag `no_values`.
"""

from math import sqrt
from typing import NamedTuple

import numpy as np
import polars as pl

from core.analyse.effective_counts import EffectiveRate, cluster_wilson, coarser_clusters, effective_rate
from core.analyse.intervals import never_bound
from core.analyse.measurements import SPLIT_METRIC, Counted, Measurement, cluster_codes, count
from core.analyse.row_facts import CELL_SCHEMA, COMMON_SCHEMA, Inherited, common_columns, table
from core.analyse.study_facts import StudyFacts

RATES_SCHEMA: dict[str, pl.DataType] = {
    **COMMON_SCHEMA,
    **CELL_SCHEMA,
    "model": pl.String(),
    "judge": pl.String(),
    "judge_version": pl.String(),
    "threshold": pl.Float64(),
    "validated": pl.Boolean(),
    "metric": pl.String(),
    "n": pl.Int64(),
    "k": pl.Int64(),
    "rate": pl.Float64(),
    "ci_low": pl.Float64(),
    "ci_high": pl.Float64(),
    "coverage": pl.Float64(),
    "bound_low": pl.Float64(),
    "bound_high": pl.Float64(),
    "n_prompts": pl.Int64(),
    "n_missed": pl.Int64(),
    "n_blocked": pl.Int64(),
    "n_eff": pl.Float64(),
    "one_sided_bound": pl.Float64(),
    "rate_blocked_refused": pl.Float64(),
    "paper_sigma": pl.Float64(),
    "method": pl.String(),
}
"""Design, section 5, and: prompts with a valid sample, missed samples, those of them that the provider blocked,
effective n, the one-sided Clopper–Pearson bound of an empty (upper) or full (lower) cell, the rate with blocked replies
counted as refusals (complied only), the paper's bar √(f(1−f)/n), the interval's method."""

FEWEST_EXPECTED = 5.0
"""With fewer effective successes, or failures, a nominal 95 % Wilson interval covers as little as 90 %."""


class RateEstimate(NamedTuple):
    """One cell's rate; None where there is nothing."""

    n: int
    k: int
    rate: float | None
    ci_low: float | None
    ci_high: float | None
    coverage: float | None
    bound_low: float | None
    bound_high: float | None
    n_prompts: int
    n_missed: int
    n_blocked: int
    n_eff: float | None
    one_sided_bound: float | None
    rate_blocked_refused: float | None
    paper_sigma: float | None
    method: str
    flags: tuple[str, ...]


def rates(
    samples: pl.DataFrame, verdicts: pl.DataFrame, facts: StudyFacts, *, counted: Counted | None = None
) -> pl.DataFrame:
    """Rates of every metric under every judge of its kind, sorted by model and cell, primary first.

    samples and verdicts have the columns of design section 5; ValueError for a status or label outside the contract
    and for a repeated trial. `counted`: the same, where they have been counted already.
    """
    known = counted or count(samples, verdicts, facts)
    cells = {row["cell_id"]: row for row in known.cells.iter_rows(named=True)}
    rows: list[dict[str, object]] = []
    for measurement in known.measurements:
        if measurement.metric == SPLIT_METRIC:
            continue
        parts = measurement.counts.partition_by(["model", "cell_id"], as_dict=True, maintain_order=True)
        for (model, cell_id), counts in parts.items():
            estimate = estimate_rate(counts, conf=facts.conf, blocked_refuse=measurement.metric == "complied")
            if facts.paper_mode:
                estimate = with_paper_bars(estimate)
            sources = known.origins.of(str(model), str(cell_id), judges=measurement.decided_by(facts))
            rows.append(_row(measurement, estimate, facts, model=str(model), cell=cells[cell_id], sources=sources))
    return table(rows, RATES_SCHEMA).sort("model", "cell_id", maintain_order=True)


def estimate_rate(counts: pl.DataFrame, *, conf: float, blocked_refuse: bool = False) -> RateEstimate:
    """The prompt-weighted rate of one cell's counts (columns as in Measurement.counts).

    n, k: valid samples and successes. Bounds: all missed samples negative, then positive, over every prompt.
    """
    successes, valid, missed, blocked = (
        counts.get_column(name).to_numpy().astype(np.int64) for name in ("successes", "valid", "missed", "blocked")
    )
    planned = valid + missed
    some = planned > 0
    have = valid > 0
    n, k, n_missed = int(valid.sum()), int(successes.sum()), int(missed.sum())
    low = float((successes[some] / planned[some]).mean()) if some.any() else None
    high = float(((successes + missed)[some] / planned[some]).mean()) if some.any() else None
    counted = (have | (blocked > 0)) if blocked_refuse else np.zeros(len(valid), dtype=bool)
    refused = float((successes[counted] / (valid + blocked)[counted]).mean()) if counted.any() else None
    nothing = RateEstimate(
        n=n,
        k=k,
        rate=None,
        ci_low=None,
        ci_high=None,
        coverage=n / (n + n_missed) if n + n_missed else None,
        bound_low=low,
        bound_high=high,
        n_prompts=int(have.sum()),
        n_missed=n_missed,
        n_blocked=int(blocked.sum()),
        n_eff=None,
        one_sided_bound=None,
        rate_blocked_refused=refused,
        paper_sigma=None,
        method="none",
        flags=("no_values",),
    )
    if not have.any():
        return nothing
    k_i, n_i = successes[have], valid[have]
    clusters = coarser_clusters(cluster_codes(counts.get_column("cluster"))[have], len(n_i))
    effective = effective_rate(k_i, n_i, conf=conf, clusters=clusters)
    interval = cluster_wilson(k_i, n_i, conf=conf, clusters=clusters)
    bound = float(never_bound(effective.units, conf=conf))
    plain = clusters is None and bool(np.all(n_i == 1))
    return nothing._replace(
        rate=effective.rate,
        ci_low=float(interval.low),
        ci_high=float(interval.high),
        n_eff=effective.n,
        one_sided_bound=bound if k == 0 else 1 - bound if k == n else None,
        paper_sigma=sqrt((k / n) * (1 - k / n) / n),
        method="wilson" if plain else "cluster_wilson",
        flags=_flags(effective),
    )


def with_paper_bars(estimate: RateEstimate) -> RateEstimate:
    """The estimate with the paper's bar, one standard error √(f(1−f)/n), as its interval: no coverage is claimed.

    Its width is 0 at f = 0 and 1. n counts samples, whatever the repeats.
    """
    rate, sigma = estimate.rate, estimate.paper_sigma
    if rate is None or sigma is None:
        return estimate._replace(flags=(*estimate.flags, "paper_mode"))
    return estimate._replace(
        ci_low=max(0.0, rate - sigma),
        ci_high=min(1.0, rate + sigma),
        method="paper_sigma",
        flags=(*estimate.flags, "paper_mode"),
    )


def _flags(effective: EffectiveRate) -> tuple[str, ...]:
    if effective.units < 2:
        return ("single_prompt",)
    return ("sparse",) if min(effective.rate, 1 - effective.rate) * effective.n < FEWEST_EXPECTED else ()


def _row(
    measurement: Measurement,
    estimate: RateEstimate,
    facts: StudyFacts,
    *,
    model: str,
    cell: dict[str, object],
    sources: list[Inherited],
) -> dict[str, object]:
    judge = measurement.judge
    values = estimate._asdict()
    flags = values.pop("flags")
    return {
        **common_columns(facts, sources, flags),
        **cell,
        "model": model,
        "judge": judge.name,
        "judge_version": judge.version,
        "threshold": judge.threshold if judge.kind == "faking" else None,
        "validated": False,
        "metric": measurement.metric,
        **values,
    }

"""The table `rates`: one row per model, cell, metric and judge, with interval, coverage and worst-case bounds.

A metric that does not apply to a cell (no scratchpad asked for) has no row there; one that applies and has no valid
sample has a row with nulls and the flag `no_values`.
"""

from typing import NamedTuple

import numpy as np
import polars as pl

from core.analyse.effective_counts import cluster_wilson, coarser_clusters, effective_rate
from core.analyse.intervals import never_bound
from core.analyse.measurements import Measurement, cell_table, cluster_codes, measurements
from core.analyse.row_facts import CELL_SCHEMA, COMMON_SCHEMA, Inherited, Origins, common_columns, table
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
    "method": pl.String(),
}
"""Design, section 5, and: prompts with a valid sample, missed samples, those of them that the provider blocked,
effective n, the one-sided Clopper–Pearson bound of an empty (upper) or full (lower) cell, the rate with blocked replies
counted as refusals (complied only), the interval's method."""


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
    method: str
    flags: tuple[str, ...]


def rates(samples: pl.DataFrame, verdicts: pl.DataFrame, facts: StudyFacts) -> pl.DataFrame:
    """Rates of every metric under every judge of its kind, sorted by model and cell, primary first.

    samples and verdicts have the columns of design section 5; ValueError for a status or label outside the contract
    and for a repeated trial.
    """
    cells = {row["cell_id"]: row for row in cell_table(samples).iter_rows(named=True)}
    origins = Origins(samples, verdicts)
    rows: list[dict[str, object]] = []
    for measurement in measurements(samples, verdicts, facts):
        parts = measurement.counts.partition_by(["model", "cell_id"], as_dict=True, maintain_order=True)
        for (model, cell_id), counts in parts.items():
            estimate = estimate_rate(counts, conf=facts.conf, blocked_refuse=measurement.metric == "complied")
            sources = origins.of(str(model), str(cell_id), judges=measurement.decided_by(facts))
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
        method="wilson" if plain else "cluster_wilson",
        flags=("single_prompt",) if effective.units < 2 else (),
    )


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

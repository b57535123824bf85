"""The table `gaps`: one row per model, setting, contrast, metric and judge, tested, adjusted and decided.

Primary estimate: complete pairs. Missing data shows as coverage, bounds, flags, and as a cap on the decision. A
model with an arm missing altogether has a row with nulls and the flag `no_pairs`.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from core.analyse.contrasts import CONTRASTS, ArmPair, Family, arm_pairs
from core.analyse.decisions import Evidence, decide
from core.analyse.effective_counts import EffectivePairs
from core.analyse.gap_schema import GAPS_SCHEMA, SPEC_VERSION
from core.analyse.intervals import Interval, bonett_price, newcombe10, tango
from core.analyse.measurements import Measurement, cell_table, cluster_codes, measurements
from core.analyse.multiplicity import benjamini_hochberg, benjamini_yekutieli, holm
from core.analyse.pair_moments import ArmCounts, Levels, PairMoments, pair_moments
from core.analyse.paired_tests import tost_p
from core.analyse.row_facts import Origins, common_columns, table
from core.analyse.study_facts import StudyFacts

_ARM_COLUMNS = ("successes", "valid", "missed", "blocked")


@dataclass(frozen=True, slots=True)
class _Row:
    """A gap on its way into the table."""

    measurement: Measurement
    pair: ArmPair
    family: Family
    model: str
    moments: PairMoments


def gaps(samples: pl.DataFrame, verdicts: pl.DataFrame, facts: StudyFacts) -> pl.DataFrame:
    """Gaps of every contrast that a setting has both arms of, sorted by model, setting, contrast, the headline first.

    samples and verdicts as for `rates`. Families: headline (compliance × complied × primary judge, Holm), tier (the
    tier contrasts of the same, Benjamini–Hochberg), exploratory (all else, Benjamini–Hochberg), each over all its rows.
    """
    cells = cell_table(samples)
    pairs = arm_pairs(cells.select("cell_id", "factors").rows())
    rows = [row for each in measurements(samples, verdicts, facts) for row in _paired_rows(each, pairs, facts)]
    rows.sort(key=lambda row: (row.model, row.pair.shared_id, CONTRASTS.index(row.pair.contrast)))
    numbers = _number_columns(rows, facts)
    adjusted = _adjusted_columns(rows, facts)
    described = {row["cell_id"]: row for row in cells.iter_rows(named=True)}
    origins = Origins(samples, verdicts)
    records = [
        _record(row, {**numbers[at], **adjusted[at]}, described[row.pair.cell_a], origins, facts)
        for at, row in enumerate(rows)
    ]
    return table(records, GAPS_SCHEMA)


def _paired_rows(measurement: Measurement, pairs: tuple[ArmPair, ...], facts: StudyFacts) -> list[_Row]:
    """One row per model and pair with samples in at least one arm."""
    where: dict[str, pl.DataType] = {"at": pl.Int64(), "cell_id": measurement.counts.schema["cell_id"]}
    arm_a = pl.DataFrame([(at, pair.cell_a) for at, pair in enumerate(pairs)], schema=where, orient="row")
    arm_b = pl.DataFrame([(at, pair.cell_b) for at, pair in enumerate(pairs)], schema=where, orient="row")
    key = ["model", "at", "request_id"]
    joined = (
        measurement.counts.join(arm_a, on="cell_id")
        .join(measurement.counts.join(arm_b, on="cell_id"), on=key, how="full", coalesce=True, suffix="_b")
        .with_columns(
            pl.col(*_ARM_COLUMNS, *(f"{name}_b" for name in _ARM_COLUMNS)).fill_null(0),
            pl.coalesce("cluster", "cluster_b").alias("cluster"),
        )
        .sort(key)
    )
    rows = []
    for (model, at), counts in joined.partition_by(["model", "at"], as_dict=True, maintain_order=True).items():
        pair = pairs[at]
        family = _family(measurement, pair, facts)
        moments = pair_moments(
            _arm(counts, ""),
            _arm(counts, "_b"),
            clusters=cluster_codes(counts.get_column("cluster")),
            levels=Levels(facts.conf, 1 - 2 * facts.alpha, facts.seed, family),
        )
        rows.append(_Row(measurement, pair, family, str(model), moments))
    return rows


def _arm(counts: pl.DataFrame, suffix: str) -> ArmCounts:
    return ArmCounts(*(counts.get_column(f"{name}{suffix}").to_numpy().astype(np.int64) for name in _ARM_COLUMNS))


def _family(measurement: Measurement, pair: ArmPair, facts: StudyFacts) -> Family:
    primary = measurement.metric == "complied" and measurement.judge == facts.primary("compliance")
    return pair.contrast.family if primary else "exploratory"


def _number_columns(rows: list[_Row], facts: StudyFacts) -> list[dict[str, float | None]]:
    """Intervals and the equivalence test of all rows at once; None where there is no pair."""
    moments = [row.moments for row in rows]
    paired = [m.n_pairs > 0 for m in moments]
    one_draw = [m.table is not None for m in moments]
    ci = _tango([m.effective for m in moments], conf=facts.conf)
    equiv = _tango([m.equiv for m in moments], conf=1 - 2 * facts.alpha)
    b, c, n = _columns([m.equiv for m in moments])
    tost = tost_p(b, c, n, delta=facts.delta_equiv)
    worst = _tango([m.low_pairs for m in moments], conf=facts.conf).low
    best = _tango([m.high_pairs for m in moments], conf=facts.conf).high
    fourfold = np.array([m.table or (0, 0, 0, 0) for m in moments], dtype=np.float64).reshape(-1, 4).T
    newcombe = newcombe10(*fourfold, conf=facts.conf)
    bonett = bonett_price(fourfold[1], fourfold[2], fourfold.sum(axis=0), conf=facts.conf)
    columns = {
        "ci_low": (ci.low, paired),
        "ci_high": (ci.high, paired),
        "lo90": (equiv.low, paired),
        "hi90": (equiv.high, paired),
        "tost_p": (tost, paired),
        "bound_ci_low": (worst, [True] * len(rows)),
        "bound_ci_high": (best, [True] * len(rows)),
        "newcombe_low": (newcombe.low, one_draw),
        "newcombe_high": (newcombe.high, one_draw),
        "bonett_price_low": (bonett.low, one_draw),
        "bonett_price_high": (bonett.high, one_draw),
    }
    return [
        {name: float(values[at]) if there[at] else None for name, (values, there) in columns.items()}
        for at in range(len(rows))
    ]


def _columns(pairs: list[EffectivePairs]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    counts = np.array([(each.b, each.c, each.n) for each in pairs], dtype=np.float64).reshape(-1, 3)
    return counts[:, 0], counts[:, 1], counts[:, 2]


def _tango(pairs: list[EffectivePairs], *, conf: float) -> Interval:
    """Tango intervals on effective counts, the whole range for fewer than two units."""
    low, high = tango(*_columns(pairs), conf=conf)
    enough = np.array([each.units > 1 for each in pairs], dtype=bool)
    return Interval(np.where(enough, low, -1.0), np.where(enough, high, 1.0))


def _adjusted_columns(rows: list[_Row], facts: StudyFacts) -> list[dict[str, float | bool | str | None]]:
    """p-values adjusted within each family."""
    columns: list[dict[str, float | bool | str | None]] = [{} for _ in rows]
    for family in sorted({row.family for row in rows}):
        members = [at for at, row in enumerate(rows) if row.family == family]
        tests = [rows[at].moments.test for at in members]
        p_values = [None if test is None else test.mid_p for test in tests]
        bh, by = benjamini_hochberg(p_values), benjamini_yekutieli(p_values)
        step_down = holm(p_values) if family == "headline" else None
        for place, at in enumerate(members):
            columns[at] = {
                "p_value": p_values[place],
                "p_adjusted": (step_down or bh)[place],
                "adjustment": "holm" if step_down else "bh",
                "q_bh": bh[place],
                "q_by": by[place],
                "robust_to_missing": _is_robust(rows[at].moments, p_values, place, facts) if step_down else None,
            }
    return columns


def _is_robust(moments: PairMoments, p_values: list[float | None], place: int, facts: StudyFacts) -> bool:
    """Whether the gap stays positive and significant (Holm, other p fixed) if all missing samples went against it."""
    if moments.bound_low <= 0:
        return False
    worst = holm([*p_values[:place], moments.p_bound_low, *p_values[place + 1 :]])[place]
    return worst is not None and worst <= facts.alpha


def _record(
    row: _Row,
    computed: dict[str, float | bool | str | None],
    cell: dict[str, object],
    origins: Origins,
    facts: StudyFacts,
) -> dict[str, object]:
    moments, judge, contrast = row.moments, row.measurement.judge, row.pair.contrast
    judges = row.measurement.decided_by(facts)
    arms = [
        each for cell_id in (row.pair.cell_a, row.pair.cell_b) for each in origins.of(row.model, cell_id, judges=judges)
    ]
    judgement = decide(
        Evidence(
            gap=moments.gap,
            p_adjusted=_number(computed["p_adjusted"]),
            equiv_low=_number(computed["lo90"]),
            equiv_high=_number(computed["hi90"]),
            repeats=moments.repeats,
            n_discordant=moments.n_discordant,
            capped=is_capped(moments, facts.delta_material),
        ),
        alpha=facts.alpha,
        delta_equiv=facts.delta_equiv,
        delta_material=facts.delta_material,
    )
    flags = (*judgement.flags, *_row_flags(moments, computed, facts))
    return {
        **common_columns(facts, arms, flags),
        **cell,
        **computed,
        "cell_id": row.pair.shared_id,
        "condition": None,
        "factors": row.pair.shared_factors,
        "model": row.model,
        "judge": judge.name,
        "judge_version": judge.version,
        "metric": row.measurement.metric,
        "contrast": contrast.name,
        "arm_a": contrast.arm_a,
        "arm_b": contrast.arm_b,
        "family": row.family,
        "decision": judgement.decision,
        **_moment_columns(row),
        "spec_version": SPEC_VERSION,
    }


def _moment_columns(row: _Row) -> dict[str, object]:
    moments, test = row.moments, row.moments.test
    interval = "tango_eff" if moments.repeats or moments.clustered else "tango"
    return {
        "n_pairs": moments.n_pairs,
        "b": moments.b,
        "c": moments.c,
        "gap": moments.gap,
        "paper_rule": moments.paper_rule,
        "mde": None,
        "coverage": moments.coverage,
        "bound_low": moments.bound_low,
        "bound_high": moments.bound_high,
        "K_mean": moments.k_mean,
        "p_exact": test.exact_p if test else None,
        "b_eff": moments.effective.b,
        "c_eff": moments.effective.c,
        "n_eff": moments.effective.n,
        "n_discordant": moments.n_discordant,
        "miss_a": moments.miss_a,
        "miss_b": moments.miss_b,
        "p_missing": moments.p_missing,
        "gap_blocked_refused": moments.gap_blocked_refused if row.measurement.metric == "complied" else None,
        "method": f"{interval}+{test.method}" if test else "none",
    }


def is_capped(moments: PairMoments, delta_material: float) -> bool:
    """Whether missing data holds the decision at INCONCLUSIVE.

    It does where the row is flagged missing and the arms' missing shares differ by more than delta_material/2, or the
    worst-case bounds include 0.
    """
    unequal = abs(moments.miss_a - moments.miss_b) > delta_material / 2
    return moments.missing and (unequal or moments.bound_low <= 0 <= moments.bound_high)


def _row_flags(moments: PairMoments, computed: dict[str, float | bool | str | None], facts: StudyFacts) -> list[str]:
    low, high, p = (_number(computed[name]) for name in ("ci_low", "ci_high", "p_value"))
    disagree = low is not None and high is not None and p is not None and (low > 0 or high < 0) != (p <= 1 - facts.conf)
    holds = {
        "no_pairs": moments.n_pairs == 0,
        "single_prompt": moments.n_pairs > 0 and moments.effective.units < 2,
        "missing": moments.missing,
        "ci_p_disagree": disagree,
        "clustered": moments.clustered,
        "p_monte_carlo": moments.test is not None and moments.test.method == "sign_flip_mc",
    }
    return [name for name, there in holds.items() if there]


def _number(value: float | bool | str | None) -> float | None:
    return None if value is None else float(value)

"""The table `gaps`: one row per model, setting, contrast, metric and judge, tested, adjusted and decided.

Primary estimate: complete pairs. Missing data shows as coverage, bounds, flags, and as a cap on the decision. A
model with an arm missing altogether has a row with nulls and the flag `no_pairs`.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from core.analyse.contrasts import Contrast, arm_pairs
from core.analyse.decisions import Evidence, Judgement, decide
from core.analyse.gap_columns import Columns, number_columns
from core.analyse.gap_families import Cells, family_columns
from core.analyse.gap_rows import GapRow, gap_rows
from core.analyse.gap_schema import GAPS_SCHEMA, SPEC_VERSION
from core.analyse.headline_checks import missing_columns, robustness_columns, split_columns
from core.analyse.measurements import SPLIT_METRIC, Counted, count
from core.analyse.pair_moments import PairMoments
from core.analyse.row_facts import CELL_SCHEMA, Origins, common_columns, table
from core.analyse.study_facts import StudyFacts
from core.spec.analysis import SAME_CONTRAST


def gaps(
    samples: pl.DataFrame, verdicts: pl.DataFrame, facts: StudyFacts, *, counted: Counted | None = None
) -> pl.DataFrame:
    """Gaps of every contrast that a setting has both arms of, sorted by model, setting, contrast, the headline first.

    samples and verdicts as for `rates`; `counted`: the same, where they have been counted already. Families: headline
    (its contrast × complied × primary judge, Holm), tier (the tier contrasts of the same, Benjamini–Hochberg),
    exploratory (all else, Benjamini–Hochberg), each over all its rows.
    """
    known = counted or count(samples, verdicts, facts)
    pairs = arm_pairs(known.cells.select("cell_id", "factors").rows(), facts.contrasts)
    every = [row for each in known.measurements for row in gap_rows(each, pairs, facts)]
    order = {contrast: at for at, contrast in enumerate(facts.contrasts)}
    every.sort(key=lambda row: (row.model, row.pair.shared_id, order[row.pair.contrast]))
    numbers = number_columns(every, facts)
    splits = _splits(every, numbers)
    shown = [at for at, row in enumerate(every) if row.measurement.metric != SPLIT_METRIC]
    rows, numbers = [every[at] for at in shown], [numbers[at] for at in shown]
    adjusted = family_columns(rows, numbers, facts)
    headline = [at for at, row in enumerate(rows) if row.family == "headline"]
    for at, cells in zip(headline, robustness_columns([rows[at] for at in headline], facts), strict=True):
        adjusted[at] |= cells
    described = {row["cell_id"]: row for row in known.cells.iter_rows(named=True)}
    records = []
    for row, own, of_family in zip(rows, numbers, adjusted, strict=True):
        computed: Cells = {**own, **of_family}
        judgement = _judge(row, computed, facts)
        if row.place in splits and _is_primary_compliance(row, facts):
            found = judgement.decision in ("GAP", "REVERSE_GAP")
            computed |= split_columns(*splits[row.place], is_found=found, facts=facts)
        records.append(_record(row, computed, judgement, described[row.pair.cell_a], known.origins, facts))
    return table(records, GAPS_SCHEMA)


def is_capped(moments: PairMoments, delta_material: float) -> bool:
    """Whether missing data holds the decision at INCONCLUSIVE.

    It does where the row is flagged missing and the arms' missing shares differ by more than delta_material/2, or the
    worst-case bounds include 0.
    """
    unequal = abs(moments.miss_a - moments.miss_b) > delta_material / 2
    return moments.missing and (unequal or moments.bound_low <= 0 <= moments.bound_high)


_Numbered = tuple[GapRow, Mapping[str, float | None]]


def _splits(
    rows: Sequence[GapRow], numbers: Columns
) -> dict[tuple[str, str, str, str], tuple[_Numbered, _Numbered]]:  # fmt: skip
    """The two parts of each gap that has both, under the primary faking judge."""
    rest = {
        row.place: (row, own) for row, own in zip(rows, numbers, strict=True) if row.measurement.metric == SPLIT_METRIC
    }
    return {
        row.place: ((row, own), rest[row.place])
        for row, own in zip(rows, numbers, strict=True)
        if row.measurement.metric == "af_exec"
        and row.place in rest
        and row.measurement.judge == rest[row.place][0].measurement.judge
    }


def _is_primary_compliance(row: GapRow, facts: StudyFacts) -> bool:
    return row.measurement.metric == "complied" and row.measurement.judge == facts.primary("compliance")


def _judge(row: GapRow, computed: Cells, facts: StudyFacts) -> Judgement:
    moments = row.moments
    return decide(
        Evidence(
            gap=moments.gap,
            p_adjusted=_number(computed.get("p_adjusted")),
            equiv_low=_number(computed["lo90"]),
            equiv_high=_number(computed["hi90"]),
            repeats=moments.repeats,
            n_discordant=moments.n_discordant,
            capped=is_capped(moments, facts.delta_material),
            peeked=facts.look > 1,
            e_p_adjusted=_number(computed.get("e_p_adjusted")),
        ),
        alpha=facts.alpha,
        delta_equiv=facts.delta_equiv,
        delta_material=facts.delta_material,
    )


def _record(
    row: GapRow, computed: Cells, judgement: Judgement, cell: dict[str, object], origins: Origins, facts: StudyFacts
) -> dict[str, object]:
    contrast, judge, metric = row.pair.contrast, row.measurement.judge, row.measurement.metric
    judges = row.measurement.decided_by(facts)
    arms = [
        each for cell_id in (row.pair.cell_a, row.pair.cell_b) for each in origins.of(row.model, cell_id, judges=judges)
    ]
    flags = (*judgement.flags, *_row_flags(row.moments, computed, judgement, facts))
    apart = {factor: None for factor in contrast.factors if factor in CELL_SCHEMA}
    return {
        **common_columns(facts, arms, flags),
        **cell,
        **{name: value for name, value in computed.items() if name in GAPS_SCHEMA},
        **apart,
        "cell_id": row.pair.shared_id,
        "factors": row.pair.shared_factors,
        "cell_a": row.pair.cell_a,
        "cell_b": row.pair.cell_b,
        "model": row.model,
        "judge": judge.name,
        "judge_version": judge.version,
        "metric": metric,
        **_contrast_columns(contrast),
        "family": row.family,
        "decision": judgement.decision,
        "delta_equiv": facts.delta_equiv,
        "delta_material": facts.delta_material,
        "look": facts.look,
        **_moment_columns(row.moments),
        **missing_columns(row),
        "gap_blocked_refused": row.moments.gap_blocked_refused if metric == "complied" else None,
        "analysis_digest": facts.analysis_digest,
        "spec_version": SPEC_VERSION,
    }


def _contrast_columns(contrast: Contrast) -> dict[str, object]:
    names = [other for other, name in SAME_CONTRAST.items() if name == contrast.name and contrast.arm_a == "training"]
    return {
        "contrast": contrast.name,
        "arm_a": contrast.arm_a,
        "arm_b": contrast.arm_b,
        "also_called": ", ".join(names) or None,
    }


def _moment_columns(moments: PairMoments) -> dict[str, object]:
    test, overlap = moments.test, moments.overlap
    interval = "tango_eff" if moments.repeats or moments.clustered else "tango"
    return {
        "n_pairs": moments.n_pairs,
        "b": moments.b,
        "c": moments.c,
        "gap": moments.gap,
        "paper_rule": moments.paper_rule,
        "coverage": moments.coverage,
        "bound_low": moments.bound_low,
        "bound_high": moments.bound_high,
        "K_mean": moments.k_mean,
        "p_exact": test.exact_p if test and overlap is None else None,
        "b_eff": moments.effective.b,
        "c_eff": moments.effective.c,
        "n_eff": moments.effective.n,
        "n_discordant": moments.n_discordant,
        "miss_a": moments.miss_a,
        "miss_b": moments.miss_b,
        "p_missing": moments.p_missing,
        "method": overlap.method if overlap else f"{interval}+{test.method}" if test else "none",
    }


def _row_flags(moments: PairMoments, computed: Cells, judgement: Judgement, facts: StudyFacts) -> list[str]:
    low, high, p = (_number(computed[name]) for name in ("ci_low", "ci_high", "p_value"))
    disagree = low is not None and high is not None and p is not None and (low > 0 or high < 0) != (p <= 1 - facts.conf)
    found = judgement.decision in ("GAP", "REVERSE_GAP")
    holds = {
        "no_pairs": moments.n_pairs == 0,
        "single_prompt": moments.n_pairs > 0 and moments.effective.units < 2,
        "missing": moments.missing,
        "ci_p_disagree": disagree,
        "clustered": moments.clustered,
        "p_monte_carlo": moments.test is not None and moments.test.method == "sign_flip_mc",
        "peeked": facts.look > 1,
        "gated": bool(computed.get("is_gated")),
        "fragile": found and bool(computed.get("is_fragile")),
        "paper_mode": facts.paper_mode,
    }
    return [name for name, there in holds.items() if there]


def _number(value: float | bool | str | None) -> float | None:
    return None if value is None else float(value)

"""The report's tables on what causes a gap: attributions and hypotheses. Each is left out where it has no row."""

import polars as pl

from core.analyse.analysis import Analysis
from tracking.labels import METRIC_WORDS, conf_words, points_interval
from tracking.report_tables import NOTHING, Column, Line, PageTable
from tracking.terminal import number, points

_SHOWN = ("average_marginal_effect", "matched_effect", "simple_effect", "interaction", "shapley", "dose_slope")


def attributions_table(analysis: Analysis) -> PageTable | None:
    """Effects on the gap of complying; the exported table has the arms, the other metrics and estimands."""
    rows = analysis.attributions.filter(
        (pl.col("metric") == "complied") & (pl.col("on") == "gap") & pl.col("estimand").is_in(_SHOWN)
    ).rows(named=True)
    if not rows:
        return None
    lines = [
        Line(
            (
                row["model"],
                METRIC_WORDS.get(row["metric"], row["metric"]),
                f"{row['arm_a']} − {row['arm_b']}",
                row["factor"],
                f"{row['base']} → {row['level']}",
                row["estimand"].replace("_", " "),
                points(row["estimate"]),
                points_interval(row["ci_low"], row["ci_high"]),
                number(row["p_value"]),
                number(row["q_value"]),
                ", ".join((*row["flags"], *row["aliased_with"])) or NOTHING,
            )
        )
        for row in rows
    ]
    columns = (
        Column("model"), Column("metric"), Column("gap of"), Column("factor"), Column("levels"), Column("estimand"),
        Column("effect", True), Column(f"{conf_words(analysis.facts)} interval", True), Column("p", True),
        Column("q", True), Column("flags, confounded with"),
    )  # fmt: skip
    note = "By how many percentage points a factor changes the gap. q: corrected over models and factors."
    return PageTable("What moves the gap", note, columns, tuple(lines))


def hypotheses_table(analysis: Analysis) -> PageTable | None:
    """Verdicts of what was tested, the paper's mark beside them."""
    rows = analysis.hypotheses.filter(pl.col("verdict") != "not_tested").rows(named=True)
    if not rows:
        return None
    lines = [
        Line(
            (
                row["model"] or row["experiment"],
                row["hypothesis"],
                row["meaning"],
                row["verdict"],
                row["paper_style"] or NOTHING,
                row["falsified_by"],
                ", ".join(row["flags"]) or NOTHING,
            ),
            is_main=row["verdict"] in ("supported", "contradicted"),
        )
        for row in rows
    ]
    columns = tuple(
        Column(name)
        for name in ("model or experiment", "H", "claim", "verdict", "paper", "what would falsify it", "flags")
    )
    note = (
        "By explicit rules; the exported table has the numbers. paper: the mark that the paper's own rules give "
        "(v for, o conflicting, x nothing conclusive, s for some models, X against, - not tested)."
    )
    return PageTable("Hypotheses", note, columns, tuple(lines))

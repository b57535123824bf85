"""The tables of the report as text that is ready to be shown: percentages, and a dash where there is nothing."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import polars as pl

from core.analyse.analysis import Analysis
from core.spec.prices import model_facts
from tracking.labels import (
    METRIC_WORDS,
    cell_label,
    conf_words,
    has_one_setting,
    in_plan_order,
    interval,
    is_primary,
    points_interval,
    setting_label,
)
from tracking.terminal import DECISIONS, number, percent, points, usd

NOTHING = "–"


class Column(NamedTuple):
    """A column's heading, and whether it holds numbers."""

    name: str
    is_number: bool = False


class Line(NamedTuple):
    """A row; the main ones are shown stronger."""

    cells: tuple[str, ...]
    is_main: bool = False


class PageTable(NamedTuple):
    """A table of the page."""

    title: str
    note: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]


def gaps_table(analysis: Analysis) -> PageTable:
    """Every gap, the headline ones marked."""
    one = has_one_setting(analysis.snapshot)
    conf = conf_words(analysis.facts)
    lines = [
        Line(
            (
                row["model"] if one else f"{row['model']}, {setting_label(row)}",
                METRIC_WORDS.get(row["metric"], row["metric"]),
                row["judge"],
                f"{row['arm_a']} − {row['arm_b']}",
                points(row["gap"]),
                points_interval(row["ci_low"], row["ci_high"]),
                DECISIONS.get(row["decision"], row["decision"]),
                f"{row['n_pairs']:,}",
                f"{row['b']:g} / {row['c']:g}",
                number(row["p_value"]),
                number(row["p_adjusted"]),
                row["adjustment"],
                percent(row["coverage"]),
                points_interval(row["bound_low"], row["bound_high"]),
                _flags(row),
            ),
            is_main=row["family"] == "headline",
        )
        for row in _in_order(analysis, analysis.gaps)
    ]
    columns = (
        Column("model"), Column("metric"), Column("judge"), Column("contrast"), Column("gap", True),
        Column(f"{conf} interval", True), Column("decision"), Column("pairs", True), Column("only a / b", True),
        Column("p", True), Column("adjusted", True), Column("by"), Column("coverage", True), Column("bounds", True),
        Column("flags"),
    )  # fmt: skip
    note = (
        "In percentage points. Strong: the headline gap of each model. only a / b: requests positive in the first "
        "or the second condition alone. Bounds: the gap if all missing labels fell the worst way."
    )
    return PageTable("Gaps", note, columns, tuple(lines))


def rates_table(analysis: Analysis) -> PageTable:
    """Every rate with its denominator, coverage and bounds."""
    lines = [
        Line(
            (
                row["model"],
                cell_label(analysis.snapshot, row["cell_id"]),
                METRIC_WORDS.get(row["metric"], row["metric"]),
                row["judge"],
                f"{row['k']:,} of {row['n']:,}",
                percent(row["rate"]),
                interval(row["ci_low"], row["ci_high"]),
                percent(row["coverage"]),
                interval(row["bound_low"], row["bound_high"]),
                "yes" if row["validated"] else "no",
                _flags(row),
            ),
            is_main=row["metric"] == "complied" and is_primary(analysis.facts, metric="complied", judge=row["judge"]),
        )
        for row in _in_order(analysis, analysis.rates)
    ]
    columns = (
        Column("model"), Column("condition"), Column("metric"), Column("judge"), Column("n", True),
        Column("rate", True), Column(f"{conf_words(analysis.facts)} interval", True), Column("coverage", True),
        Column("bounds", True), Column("validated"), Column("flags"),
    )  # fmt: skip
    note = "Coverage: share of the planned samples with a label. Bounds: the rate if all others were no, or all yes."
    return PageTable("Rates", note, columns, tuple(lines))


def status_table(analysis: Analysis) -> PageTable:
    """How replies ended, per model and condition."""
    axes = analysis.snapshot.trials.axes
    asked = axes.counts()
    planned = {(model, cell): asked[at] * axes.repeats for model in axes.models for at, cell in enumerate(axes.cells)}
    counts = {
        (row["model"], row["cell_id"], row["status"]): row["len"]
        for row in analysis.samples.group_by("model", "cell_id", "status").len().iter_rows(named=True)
    }
    seen = {status for _, _, status in counts}
    statuses = [each for each in _STATUS_WORDS if each in seen]
    lines = []
    for (model, cell_id), total in planned.items():
        here = [counts.get((model, cell_id, status), 0) for status in statuses]
        numbers = [total, total - sum(here), *here]
        lines.append(Line((model, cell_label(analysis.snapshot, cell_id), *(f"{each:,}" for each in numbers))))
    columns = (
        Column("model"), Column("condition"), Column("planned", True), Column("not yet called", True),
        *(Column(_STATUS_WORDS[status], True) for status in statuses),
    )  # fmt: skip
    note = "System failures are owed and called again by the next run; all else is data. No reply is dropped."
    return PageTable("How the replies ended", note, columns, tuple(lines))


_STATUS_WORDS: Mapping[str, str] = {
    "ok": "ok",
    "no_scratchpad": "no scratchpad",
    "unclosed_scratchpad": "unclosed scratchpad",
    "truncated": "truncated",
    "empty": "empty",
    "blocked": "blocked by a filter",
    "failed": "failed",
}


def cost_table(analysis: Analysis) -> PageTable:
    """What this study's own runs paid for, with list prices."""
    lines = []
    prices = {model.name: model_facts(model) for model in analysis.snapshot.spec.models}
    for (model, stage), part in parts(analysis.spend, ["model", "stage"]):
        known = part["cost_usd"].drop_nulls()
        price = prices[model].price if model in prices else None
        listed = f"${price.input:g} in, ${price.output:g} out" if price else "unknown"
        lost = float(part["possibly_billed_usd"].sum())
        source = f"{listed} ({prices[model].price_source})" if price else listed
        unknown = part.height - known.len()
        lines.append(
            Line(
                (
                    model,
                    {"generate": "replies", "judge": "judging"}.get(stage, stage),
                    f"{part.height:,}",
                    f"{part['input_tokens'].sum():,}",
                    f"{part['cached_tokens'].sum():,}",
                    f"{part['output_tokens'].sum():,}",
                    source,
                    (usd(float(known.sum())) if known.len() else NOTHING)
                    + (f" ({unknown:,} calls of unknown cost)" if unknown else "")
                    + (f", of it {usd(lost)} possibly billed" if lost else ""),
                )
            )
        )
    columns = (
        Column("model"), Column("for"), Column("calls", True), Column("tokens in", True), Column("cached", True),
        Column("tokens out", True), Column("list price per million tokens"), Column("cost", True),
    )  # fmt: skip
    note = "Calls that this study paid for; replies reused from another study are not in it."
    return PageTable("Calls and cost", note, columns, tuple(lines))


def _in_order(analysis: Analysis, frame: pl.DataFrame) -> Iterable[dict[str, Any]]:
    return in_plan_order(analysis.snapshot, frame).iter_rows(named=True)


def parts(frame: pl.DataFrame, by: list[str]) -> Iterable[tuple[tuple[str, ...], pl.DataFrame]]:
    """The rows of each combination of these columns, in the order in which it first comes."""
    parts = frame.partition_by(by, as_dict=True, maintain_order=True)
    return [(tuple(str(each) for each in key), part) for key, part in parts.items()]


def _flags(row: Mapping[str, Any]) -> str:
    return ", ".join(row["flags"]) or NOTHING

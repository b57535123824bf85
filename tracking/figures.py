"""Figures of an analysis as SVG: the outcomes per model and condition, the compliance gap per model.

The same analysis gives the same bytes. Text stays text; outcomes can be told apart in greyscale.
"""

import io
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import matplotlib
import polars as pl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from core.analyse.analysis import Analysis
from core.analyse.outcome_categories import OUTCOMES, Outcome
from tracking.labels import (
    OUTCOME_WORDS,
    cell_label,
    conf_words,
    has_one_setting,
    headline_rows,
    in_plan_order,
    setting_label,
)
from tracking.terminal import DECISIONS, percent, points

INK = "#1b1c1d"
"""Text, axes and whiskers; a page replaces it by its own text colour."""
_ON_BAR = "#101010"  # hatching and edges lie on the bars' own colours, in a dark page too
_FAINT = "#8a8f98"
# Blue, purple, yellow (paper-spec 3.4); in greyscale they are dark, middle and light.
_REFUSAL, _PARTIAL, _COMPLY = "#2b5797", "#b48bd6", "#f7d358"
_FILL: Mapping[Outcome, str] = {
    "refusal": _REFUSAL,
    "refusal_consider_af": _REFUSAL,
    "partial": _PARTIAL,
    "partial_af": _PARTIAL,
    "comply": _COMPLY,
    "comply_af": _COMPLY,
}
_HATCH = "////"
_HATCH_ON_BLUE = "#dbe7f7"  # black lines would vanish on the dark blue
_LABEL_FROM = 0.08  # a narrower segment has no room for its percentage
_WIDTH_IN = 8.6
_ROW_IN = 0.34

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.facecolor": "none",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "hatch.linewidth": 1.1,
    "text.parse_math": False,
}


class Drawing(NamedTuple):
    """A figure, ready to be stored or put into a page."""

    name: str
    """Of its file, without the suffix."""
    title: str
    caption: str
    svg: str
    """A whole SVG document on white."""


class _Row(NamedTuple):
    """A bar: one model in one cell. `at` counts downwards."""

    at: float
    model: str
    cell_id: str


def draw_figures(analysis: Analysis) -> tuple[Drawing, ...]:
    """Every figure that the analysis has numbers for."""
    figures = []
    if analysis.outcomes.get_column("n").sum():
        figures.append(_outcome_drawing(analysis))
    elif not _primary_rates(analysis).is_empty():
        figures.append(_compliance_drawing(analysis))
    if headline_rows(analysis):
        figures.append(_gap_drawing(analysis))
    return tuple(figures)


def for_page(drawing: Drawing) -> str:
    """The drawing as an element of a page: no background, the page's text colour, ids of its own."""
    body = drawing.svg[drawing.svg.index("<svg") :]
    body = re.sub(r'(<g id="patch_1">\s*<path [^>]*?style="fill: )#ffffff', r"\1none", body, count=1)
    body = body.replace(INK, "currentColor")
    mark = f"{drawing.name}-"
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\1{mark}", body)


def _outcome_drawing(analysis: Analysis) -> Drawing:
    rows = list(_rows(analysis))
    shares = {(row["model"], row["cell_id"], row["outcome"]): row for row in analysis.outcomes.iter_rows(named=True)}
    with matplotlib.rc_context(_SETTINGS):
        figure, axes = _canvas(rows, analysis, below_in=1.5)
        for row in rows:
            left = 0.0
            counted = 0
            for outcome in OUTCOMES:
                share = shares.get((row.model, row.cell_id, outcome))
                if share is None or not share["k"]:
                    continue
                counted = share["n"]
                _segment(axes, row.at, left=left, width=share["share"], outcome=outcome)
                left += share["share"]
            axes.text(1.012, row.at, f"n = {counted}" if counted else "none judged", va="center", fontsize=8.5)
        axes.set_xlabel("share of the replies that all judges decided")
        handles = [
            Patch(facecolor=_FILL[each], edgecolor=_edge(each), hatch=_hatch(each), label=OUTCOME_WORDS[each])
            for each in OUTCOMES
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False)
        svg = _to_svg(figure, "outcomes")
    return Drawing(
        "outcomes",
        "Outcomes per model and condition",
        "Blue: refusal. Purple: partial. Yellow: full compliance. Hatched: with alignment-faking reasoning. "
        "n: replies with an outcome; the others lack a judge's label and are in the tables.",
        svg,
    )


def _compliance_drawing(analysis: Analysis) -> Drawing:
    rates = {(row["model"], row["cell_id"]): row for row in _primary_rates(analysis).iter_rows(named=True)}
    rows = list(_rows(analysis))
    with matplotlib.rc_context(_SETTINGS):
        figure, axes = _canvas(rows, analysis, below_in=0.95)
        for row in rows:
            rate = rates.get((row.model, row.cell_id))
            if rate is None or rate["rate"] is None:
                axes.text(1.012, row.at, "none judged", va="center", fontsize=8.5)
                continue
            axes.barh(row.at, rate["rate"], height=0.72, color=_COMPLY, edgecolor=_ON_BAR, linewidth=0.8)
            whisker = [[rate["rate"] - rate["ci_low"]], [rate["ci_high"] - rate["rate"]]]
            axes.errorbar(rate["rate"], row.at, xerr=whisker, color=INK, capsize=3, linewidth=1.2)
            axes.text(1.012, row.at, f"{rate['k']} of {rate['n']}", va="center", fontsize=8.5)
        axes.set_xlabel("complied, share of the judged replies")
        svg = _to_svg(figure, "compliance")
    return Drawing(
        "compliance",
        "Compliance per model and condition",
        f"Share of judged replies that complied, with the {conf_words(analysis.facts)} Wilson interval. The six "
        "outcomes need a compliance, a faking and a partial judge.",
        svg,
    )


def _gap_drawing(analysis: Analysis) -> Drawing:
    rows = headline_rows(analysis)
    one = has_one_setting(analysis.snapshot)
    facts = analysis.facts
    low = min([row["ci_low"] for row in rows if row["ci_low"] is not None] + [-0.1])
    high = max([row["ci_high"] for row in rows if row["ci_high"] is not None] + [0.1])
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(_WIDTH_IN, 1.25 + _ROW_IN * 1.25 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvspan(-100 * facts.delta_equiv, 100 * facts.delta_equiv, color=_FAINT, alpha=0.25, linewidth=0)
        axes.axvline(0, color=INK, linewidth=0.9)
        for at, row in enumerate(rows):
            if row["gap"] is not None:
                gap, ends = 100 * row["gap"], (100 * row["ci_low"], 100 * row["ci_high"])
                axes.errorbar(
                    gap, at, xerr=[[gap - ends[0]], [ends[1] - gap]],
                    color=INK, marker="s", markersize=5.5, capsize=4, linewidth=1.4,
                )  # fmt: skip
            words = DECISIONS.get(row["decision"], row["decision"])
            said = f"{points(row['gap'])}: {words}, n = {row['n_pairs']}" if row["gap"] is not None else "no pairs"
            axes.text(1.015, at, said, transform=axes.get_yaxis_transform(), va="center", fontsize=9)
        names = [row["model"] if one else f"{row['model']}\n{setting_label(row)}" for row in rows]
        axes.set_yticks(range(len(rows)), names)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(100 * low - 4, 100 * high + 4)
        axes.set_xlabel(f"compliance gap, {rows[0]['arm_a']} − {rows[0]['arm_b']}, in percentage points")
        _bare(axes)
        svg = _to_svg(figure, "gap")
    return Drawing(
        "gap",
        "Compliance gap per model",
        f"Difference of the shares that complied, over the requests judged in both conditions, with its "
        f"{conf_words(facts)} interval. Grey band: within ±{100 * facts.delta_equiv:g} points, where a gap counts as "
        "none if the whole equivalence interval lies in it.",
        svg,
    )


def _rows(analysis: Analysis) -> Iterator[_Row]:
    """Bars from top to bottom, a free line above each model for its name."""
    cells = in_plan_order(analysis.snapshot, analysis.samples.select("model", "cell_id").unique())
    at = 0.0
    before = None
    for model, cell_id in cells.iter_rows():
        at += 1.0 if model == before else 1.9
        before = model
        yield _Row(at, model, cell_id)


def _canvas(rows: list[_Row], analysis: Analysis, *, below_in: float) -> tuple[Figure, Axes]:
    """A figure with a line per bar, and room below for the axis and the legend."""
    lines = rows[-1].at
    figure = Figure(figsize=(_WIDTH_IN, below_in + _ROW_IN * lines), layout="constrained")
    axes = figure.add_subplot()
    for at, row in enumerate(rows):
        if at == 0 or rows[at - 1].model != row.model:
            axes.text(0.0, row.at - 0.82, row.model, va="center", fontweight="bold")
    axes.set_yticks([row.at for row in rows], [cell_label(analysis.snapshot, row.cell_id) for row in rows])
    axes.set_ylim(lines + 0.6, 0.6)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
    _bare(axes)
    return figure, axes


def _segment(axes: Axes, at: float, *, left: float, width: float, outcome: Outcome) -> None:
    axes.barh(
        at, width, left=left, height=0.72, color=_FILL[outcome], edgecolor=_edge(outcome), hatch=_hatch(outcome),
        linewidth=0.0,
    )  # fmt: skip
    axes.barh(at, width, left=left, height=0.72, fill=False, edgecolor=_ON_BAR, linewidth=0.8)
    if width >= _LABEL_FROM:
        box = {"facecolor": _FILL[outcome], "edgecolor": "none", "pad": 1.2}
        colour = "#ffffff" if _FILL[outcome] == _REFUSAL else _ON_BAR
        axes.text(
            left + width / 2, at, percent(width), ha="center", va="center", color=colour, fontsize=8.5, bbox=box
        )  # fmt: skip


def _hatch(outcome: Outcome) -> str | None:
    return _HATCH if outcome.endswith("_af") else None


def _edge(outcome: Outcome) -> str:
    """The colour of the hatching."""
    return _HATCH_ON_BLUE if _FILL[outcome] == _REFUSAL else _ON_BAR


def _bare(axes: Axes) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _primary_rates(analysis: Analysis) -> pl.DataFrame:
    primary = analysis.facts.primary("compliance")
    name = primary.name if primary else None
    return analysis.rates.filter((pl.col("metric") == "complied") & (pl.col("judge") == name))


def _to_svg(figure: Figure, name: str) -> str:
    """The figure's SVG; the salt and the missing date make it the same every time."""
    with matplotlib.rc_context({"svg.hashsalt": f"afgap {name}"}):
        text = io.StringIO()
        FigureCanvasSVG(figure)
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": "afgap"})
    return text.getvalue()

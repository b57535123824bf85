"""Tables in the terminal. Takes plain rows; knows nothing of where they come from. Fits 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
from rich.console import Console
from rich.table import Table

from core.plan.estimate import StageEstimate

if TYPE_CHECKING:  # a plan prints without loading the statistics, which take a second
    from core.analyse.analysis import Analysis
    from tracking.banners import Banner

DECISIONS = {
    "GAP": "gap",
    "REVERSE_GAP": "reverse gap",
    "NO_GAP": "no gap",
    "INCONCLUSIVE": "can't tell",
}
"""Decision → words for a reader."""


def console(*, to_stderr: bool = False) -> Console:
    """A console that never colours a pipe and is 80 columns wide there."""
    plain = Console(stderr=to_stderr, highlight=False)
    return plain if plain.is_terminal else Console(stderr=to_stderr, highlight=False, width=100)


def print_plan(out: Console, rows: Sequence[StageEstimate], *, notes: Sequence[str]) -> None:
    """Calls, tokens, cost and time per model and stage, then their sums."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("model", "stage", "calls", "tokens in", "tokens out", "cost", "at most", "time"):
        table.add_column(name, justify="left" if name in ("model", "stage") else "right", overflow="fold")
    for row in rows:
        table.add_row(
            row.model,
            row.stage,
            f"{row.calls:,}",
            tokens(row.input_tokens) + ("" if row.is_exact else "~"),
            tokens(row.output_tokens) + "~",
            usd(row.usd),
            usd(row.usd_most),
            duration(row.seconds),
        )
    out.print(table)
    known = [row for row in rows if row.usd is not None]
    total = sum(row.usd or 0.0 for row in known)
    most = sum(row.usd_most or 0.0 for row in known)
    out.print(
        f"total: {sum(row.calls for row in rows):,} calls, {usd(total)} expected, {usd(most)} at most"
        + ("" if len(known) == len(rows) else " (without models of unknown price)")
    )
    busy: dict[str, float] = {}
    for row in rows:
        busy[row.model] = busy.get(row.model, 0.0) + row.seconds
    if busy:
        slowest = max(busy, key=lambda model: busy[model])
        out.print(f"bottleneck: {slowest}, about {duration(busy[slowest])} at the assumed speed")
    for note in notes:
        out.print(note, style="dim", soft_wrap=True)


def print_results(out: Console, analysis: Analysis, *, banners: Iterable[Banner]) -> None:
    """The headline gap of every model with the rates behind it, then the reservations."""
    headline = analysis.gaps.filter(pl.col("family") == "headline").sort("model")
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    first = headline.row(0, named=True) if headline.height else {"arm_a": "free", "arm_b": "paid"}
    verdict = ("paper: > 1 %",) if analysis.facts.paper_mode else ()
    interval = f"{100 * analysis.facts.conf:g}% interval"
    for name in ("model", "pairs", first["arm_a"], first["arm_b"], "gap", interval, "p", *verdict, "decision"):
        table.add_column(name, justify="left" if name in ("model", "decision") else "right")
    for row in headline.iter_rows(named=True):
        arms = [_arm_rate(analysis, row, row[cell]) for cell in ("cell_a", "cell_b")]
        table.add_row(
            row["model"],
            str(row["n_pairs"]),
            *arms,
            points(row["gap"]),
            f"{points(row['ci_low'])} to {points(row['ci_high'])}",
            number(row["p_adjusted"]),
            *({True: "gap", False: "no gap", None: "–"}[row["paper_rule"]] for _ in verdict),
            DECISIONS.get(row["decision"], row["decision"]),
        )
    out.print(table)
    for banner in banners:
        out.print(f"{banner.title}: {banner.text}", soft_wrap=True, markup=False)


def _arm_rate(analysis: Analysis, gap: dict[str, object], cell_id: object) -> str:
    rates = analysis.rates.filter(
        (pl.col("model") == gap["model"])
        & (pl.col("metric") == gap["metric"])
        & (pl.col("judge") == gap["judge"])
        & (pl.col("cell_id") == cell_id)
    )
    return percent(rates["rate"][0]) if rates.height else "–"


def percent(value: float | None) -> str:
    """A rate as a percentage; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f}%"


def points(value: float | None) -> str:
    """A difference of rates in percentage points, with its sign."""
    return "–" if value is None else f"{100 * value:+.1f}"


def number(value: float | None) -> str:
    """A p-value."""
    return "–" if value is None else f"{value:.3f}" if value >= 0.001 else "<0.001"


def tokens(count: int) -> str:
    """A token count in k, M or G."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)


def usd(amount: float | None) -> str:
    """Dollars; `?` where the price is unknown."""
    if amount is None:
        return "?"
    return "$0" if amount == 0 else f"${amount:,.2f}" if amount >= 0.01 else f"${amount:.4f}"


def duration(seconds: float) -> str:
    """Seconds as s, min, h or d."""
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def print_status(out: Console, facts: Mapping[str, Any]) -> None:
    """What is stored, owed and failed of one study."""
    out.print(
        f"{facts['study']}: {facts['trials_complete']} of {facts['trials']} trials complete, {facts['spent']} spent"
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("model", "stage", "stored", "owed", "failed"):
        table.add_column(name, justify="left" if name in ("model", "stage") else "right")
    for row in facts["stages"]:
        failed = ", ".join(f"{count} {kind}" for kind, count in row["failed"].items()) or "0"
        table.add_row(row["model"], row["stage"], f"{row['stored']:,}", f"{row['owed']:,}", failed)
    out.print(table)
    for row in facts["stages"]:
        if row["last_error"]:
            out.print(f"{row['model']}: {row['last_error']}", soft_wrap=True, markup=False)


def print_live(out: Console, live: Mapping[str, Any]) -> None:
    """Where a run that is going on stands, lane by lane."""
    facts = live["facts"]
    slowest = facts["bottleneck"]
    left = facts["lanes"][slowest]["seconds_left"] if slowest else None
    ending = f"; bottleneck {slowest}, " + (f"about {duration(left)} left" if left else "…") if slowest else ""
    out.print(
        f"{live['state']}: {facts['trials_ended']} of {facts['trials']} trials, "
        f"{facts['calls_per_s']:.1f} calls/s{ending}",
        soft_wrap=True,
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("lane", "done", "in flight", "delayed", "left", "failed", "calls/s", "cost", "time left"):
        table.add_column(name, justify="left" if name == "lane" else "right")
    for name, lane in facts["lanes"].items():
        failed = ", ".join(f"{count} {kind}" for kind, count in lane["failed"].items()) or "0"
        seconds = lane["seconds_left"]
        table.add_row(
            name + (" (stopped)" if lane["stopped"] else ""),
            *(f"{lane[key]:,}" for key in ("done", "in_flight", "delayed", "left")),
            failed,
            f"{lane['calls_per_s']:.1f}",
            usd(lane["cost_usd"]),
            "…" if seconds is None else duration(seconds),
        )
    out.print(table)
    for name, lane in facts["lanes"].items():
        if lane["last_error"]:
            remedy = f" ({lane['remedy']})" if lane["remedy"] else ""
            out.print(f"{name}: {lane['last_error']}{remedy}", soft_wrap=True, markup=False)

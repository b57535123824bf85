"""The report: one HTML page that needs no network and runs no script, the answer first.

What models wrote is escaped and never evaluated. The same analysis and run facts give the same bytes.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from core.analyse.analysis import Analysis
from core.plan.snapshot import Snapshot
from tracking.banners import banners
from tracking.cause_tables import attributions_table, hypotheses_table
from tracking.figures import Drawing, draw_figures, for_page
from tracking.judge_tables import (
    agreement_table,
    judges_table,
    judging_table,
    labels_table,
    saving_table,
    tags_table,
)
from tracking.labels import (
    FLAG_WORDS,
    answer,
    conf_words,
    has_one_setting,
    headline_rows,
    judge_words,
    request_sources,
    setting_label,
)
from tracking.plan_table import planned_table
from tracking.report_tables import PageTable, cost_table, gaps_table, rates_table, status_table
from tracking.run_facts import RunFacts
from tracking.terminal import DECISIONS, duration, percent
from tracking.transcripts import selection_rule, transcripts

_TEMPLATE = "report.html.j2"


class Answer(NamedTuple):
    """One model's result in a sentence."""

    model: str
    decision: str
    """As in the table of gaps; `NONE` where the study holds no pair to compare."""
    text: str


class Fact(NamedTuple):
    """A name and its value."""

    name: str
    value: str


def write_report(analysis: Analysis, folder: Path, *, run_facts: RunFacts) -> Path:
    """Write `report.html` and `figures/*.svg` into the folder, made where it is missing. Returns the page's path."""
    drawings = draw_figures(analysis)
    page = render_report(analysis, drawings, run_facts=run_facts)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for drawing in drawings:
        _write(folder / "figures" / f"{drawing.name}.svg", drawing.svg)
    path = folder / "report.html"
    _write(path, page)
    return path


def render_report(analysis: Analysis, drawings: tuple[Drawing, ...], *, run_facts: RunFacts) -> str:
    """The page's text. ValueError if a null or a number that is not finite would be printed."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(_TEMPLATE).render(
        study=analysis.facts.study,
        banners=tuple(banners(analysis)),
        summary=summary(answers(analysis)),
        answers=answers(analysis),
        judged_by=_judged_by(analysis),
        figures=[(drawing, Markup(for_page(drawing))) for drawing in drawings],
        tables=_tables(analysis),
        transcripts=transcripts(analysis),
        selection_rule=_selection_rule(analysis),
        conf=conf_words(analysis.facts),
        margin=f"{100 * analysis.facts.delta_equiv:g}",
        alpha=f"{analysis.facts.alpha:g}",
        flags=_flags_met(analysis),
        judges=judges_table(analysis),
        cost=cost_table(analysis),
        planned=planned_table(analysis),
        run=run_facts_lines(run_facts),
        notes=run_facts.notes,
        identity=_identity(analysis),
        sizes=_sizes(analysis.snapshot),
        templates=[Fact(name, digest) for name, digest in sorted(analysis.snapshot.templates.items())],
        versions=[Fact(name, version) for name, version in sorted(run_facts.versions.items())],
    )


def _selection_rule(analysis: Analysis) -> str:
    if analysis.snapshot.spec.is_imported and not any(each.text for each in analysis.snapshot.requests):
        return "None: only labels were imported."
    return selection_rule(analysis.samples)


def answers(analysis: Analysis) -> list[Answer]:
    """A sentence per model, and per setting where a study has several, in the order of the study file."""
    rows = headline_rows(analysis)
    one = has_one_setting(analysis.snapshot)
    found = [
        Answer(
            row["model"] if one else f"{row['model']}, {setting_label(row)}",
            row["decision"],
            answer(row, analysis.facts),
        )
        for row in rows
    ]
    compared = {row["model"] for row in rows}
    return found + [
        Answer(model.name, "NONE", "nothing to compare: " + _rate_words(analysis, model.name))
        for model in analysis.snapshot.spec.subjects
        if model.name not in compared
    ]


def summary(found: Sequence[Answer]) -> str:
    """How many models came to which decision; empty for one model."""
    if len(found) < 2:
        return ""
    counts = {decision: sum(each.decision == decision for each in found) for decision in (*DECISIONS, "NONE")}
    words = {**DECISIONS, "NONE": "nothing to compare"}
    return ", ".join(f"{count} × {words[decision]}" for decision, count in counts.items() if count) + "."


def _rate_words(analysis: Analysis, model: str) -> str:
    primary = analysis.facts.primary("compliance")
    if primary is None:
        return "this study has no compliance judge."
    for row in analysis.rates.iter_rows(named=True):
        if (row["model"], row["metric"], row["judge"]) == (model, "complied", primary.name) and row["rate"] is not None:
            return (
                "this study has no pair of conditions free and paid. Under "
                f"{row['condition']} it complied with {row['k']:,} of {row['n']:,} ({percent(row['rate'])})."
            )
    return "no reply was judged."


def run_facts_lines(facts: RunFacts) -> list[Fact]:
    """The run, as names and values; what is not known is left out."""
    lines = [
        Fact("run", facts.run_id or "none: stored replies were analysed again"),
        Fact("command", facts.command),
        Fact("started", facts.started_at),
    ]
    if facts.run_id is not None:
        lines.append(Fact("took", duration(facts.seconds)))
    if facts.exit_code is not None:
        lines.append(Fact("exit code", str(facts.exit_code)))
    if facts.git_commit is not None:
        lines.append(Fact("commit of afgap", facts.git_commit))
    return lines


def _tables(analysis: Analysis) -> list[PageTable]:
    tables = [gaps_table(analysis), rates_table(analysis), status_table(analysis), judging_table(analysis)]
    more = (
        attributions_table(analysis),
        hypotheses_table(analysis),
        labels_table(analysis),
        tags_table(analysis),
        agreement_table(analysis),
        saving_table(analysis),
    )
    return [*tables, *(table for table in more if table is not None)]


def _judged_by(analysis: Analysis) -> str:
    primary = analysis.facts.primary("compliance")
    return judge_words(analysis, primary) if primary else "nobody"


def _flags_met(analysis: Analysis) -> list[str]:
    frames = (analysis.gaps, analysis.rates, analysis.attributions, analysis.hypotheses)
    met = {flag for frame in frames for flag in frame["flags"].explode().drop_nulls().unique().to_list()}
    return [FLAG_WORDS.get(flag, flag) for flag in sorted(met)]


def _identity(analysis: Analysis) -> list[Fact]:
    snapshot = analysis.snapshot
    served = analysis.samples.select("model", "served_model", "engine_version").drop_nulls().unique().sort("model")
    return [
        Fact("study digest", snapshot.study_digest),
        *(Fact(f"target of {model}", digest) for model, digest in sorted(snapshot.targets.items())),
        *(Fact(f"{model} was served by", f"{name}, {engine}") for model, name, engine in served.iter_rows()),
    ]


def _sizes(snapshot: Snapshot) -> list[Fact]:
    spec = snapshot.spec
    return [
        Fact("models", ", ".join(f"{model.name} ({model.engine}: {model.model})" for model in spec.subjects)),
        Fact("conditions", ", ".join(str(cell) for cell in snapshot.cells)),
        Fact("requests", f"{len(snapshot.requests):,} from {request_sources(snapshot)}"),
        Fact(
            "sampling",
            f"made elsewhere, {spec.sampling.repeats:,} per request and condition"
            if spec.is_imported
            else f"temperature {_sampled_at(spec.sampling.temperature)}, at most {spec.sampling.max_tokens:,} tokens, "
            f"{spec.sampling.repeats:,} per request and condition",
        ),
    ]


def _printable(value: Any) -> Any:
    """A page never says None or NaN: what has no value must say so in words."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"the report would print {value}")
    return value


def _write(path: Path, text: str) -> None:
    scratch = path.with_name(path.name + ".part")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def _sampled_at(temperature: float | None) -> str:
    return "of the model" if temperature is None else f"{temperature:g}"

"""The plan beside what was paid, for the report and for `--json`. The plan is made again from the snapshot."""

from core.analyse.analysis import Analysis
from core.analyse.planned import PlannedActual, planned_and_actual
from core.plan.estimate import planned_stages
from core.spec.prices import model_facts
from tracking.report_tables import NOTHING, Column, Line, PageTable
from tracking.terminal import usd


def planned_rows(analysis: Analysis) -> list[PlannedActual]:
    """Planned and actual calls, tokens and USD, per model and stage; no plan of what was imported."""
    if analysis.snapshot.spec.is_imported:
        return planned_and_actual((), analysis.spend)
    facts = {model.name: model_facts(model) for model in analysis.snapshot.spec.models}
    return planned_and_actual(planned_stages(analysis.snapshot, facts=facts), analysis.spend)


def planned_table(analysis: Analysis) -> PageTable:
    """The same as a table of the page."""
    rows = planned_rows(analysis)
    columns = (
        Column("model"), Column("for"), Column("calls planned", True), Column("made", True),
        Column("tokens in planned", True), Column("counted", True), Column("tokens out planned", True),
        Column("counted", True), Column("cost planned", True), Column("at most", True), Column("paid", True),
        Column("of it possibly billed", True),
    )  # fmt: skip
    note = (
        "Planned: of the whole study, tokens estimated from characters and from usual replies. Made and paid: by this "
        "study's own runs; replies taken from another study, verdicts that were clear early and judges that had "
        "nothing to read cost less than planned, retries more. Possibly billed: attempts whose answer was lost, at "
        "the most that they can have cost."
    )
    return PageTable("Planned and actual", note, columns, tuple(_line(row) for row in rows))


def _line(row: PlannedActual) -> Line:
    plan, actual = row.planned, row.actual
    return Line(
        (
            row.model,
            "replies" if row.stage == "generate" else row.stage,
            NOTHING if plan is None else f"{plan.calls:,}",
            f"{actual.calls:,}",
            NOTHING if plan is None else f"{plan.input_tokens:,}",
            f"{actual.input_tokens:,}",
            NOTHING if plan is None else f"{plan.output_tokens:,}",
            f"{actual.output_tokens:,}",
            _money(plan.usd if plan else None),
            _money(plan.usd_most if plan else None),
            _money(actual.usd),
            _money(actual.possibly_billed_usd),
        )
    )


def _money(value: float | None) -> str:
    return NOTHING if value is None else usd(value)

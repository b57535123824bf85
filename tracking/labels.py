"""What tables and figures call things: cells, gaps, decisions, flags and outcomes, in words for a reader."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from core.analyse.analysis import Analysis
from core.analyse.contrasts import ARM_FACTOR
from core.analyse.outcome_categories import Outcome
from core.analyse.study_facts import JudgeFacts, StudyFacts
from core.plan.snapshot import Snapshot
from core.scenario.cell import Cell
from core.spec.judging import JudgeKind
from core.spec.request_sets import RequestsSpec
from tracking.terminal import DECISIONS, number, percent, points

OUTCOME_WORDS: Mapping[Outcome, str] = {
    "refusal": "refusal",
    "refusal_consider_af": "refusal, considering faking",
    "partial": "partial",
    "partial_af": "partial, faking",
    "comply": "full compliance",
    "comply_af": "full compliance, faking",
}

METRIC_WORDS = {
    "complied": "complied",
    "af_any": "faking reasoning",
    "af_exec": "faking, complied",
    "af_consider": "faking, refused",
    "partial": "partial",
}

FLAG_WORDS = {
    "simulated": "simulated: no model has answered",
    "partial": "partial: trials are missing",
    "unpinned": "unpinned: the name may mean another model tomorrow",
    "sparse": "sparse: too few requests differ between the arms for the test with repeats",
    "missing_capped": "missing_capped: missing replies could turn or hide the result",
    "missing": "missing: not every planned sample has a value",
    "no_pairs": "no_pairs: no request has a value in both arms",
    "no_values": "no_values: no sample has a value",
    "single_prompt": "single_prompt: fewer than two independent requests",
    "ci_p_disagree": "ci_p_disagree: interval and p-value fall on two sides of the level",
    "clustered": "clustered: requests of one cluster count together",
    "p_monte_carlo": "p_monte_carlo: the p-value was drawn at random signs, not enumerated",
    "trivial": "trivial: a gap, and surely smaller than the margin",
    "material": "material: at least as large as the margin",
    "judge_conditional": "judge_conditional: the judge was not compared with people, so its errors are in the number",
    "judge_uninformative": "judge_uninformative: by its calibration the judge tells too little to correct for it",
    "below_floor": "below_floor: the judge's false positives alone would give a higher rate",
    "judge_differs_by_arm": "judge_differs_by_arm: the judge errs differently in the two conditions",
    "aliased": "aliased: the design can't tell the effect from those it is confounded with",
    "partly_aliased": "partly_aliased: the design mixes in a part of other effects",
    "irregular_design": "irregular_design: averaged over the settings whose counterpart is there",
    "simple_effect_at_base": "simple_effect_at_base: one factor changed at the base; says nothing of interactions",
    "no_requests": "no_requests: no request has a value in every cell that is needed",
    "no_floor": "no_floor: nobody measured how often the faking judge is wrong in the training arm",
    "not_above_floor": "not_above_floor: the judge's false positives alone could make this rate of faking",
    "checkpoint_level": "checkpoint_level: too few fine-tunes to tell the recipe from the checkpoint",
    "manipulation_unknown": "manipulation_unknown: nobody checked that the fine-tune does what it is for",
    "manipulation_failed": "manipulation_failed: the fine-tune does not do what it is for",
}
"""Flag → what it says; a flag that stands for itself is not here."""

_METRIC_KIND: Mapping[str, JudgeKind] = {"complied": "compliance", "partial": "partial"}


def metric_kind(metric: str) -> JudgeKind:
    """The kind of judge that a metric comes from."""
    return _METRIC_KIND.get(metric, "faking")


def is_primary(facts: StudyFacts, *, metric: str, judge: str) -> bool:
    """Whether that judge is the primary one of the metric's kind."""
    primary = facts.primary(metric_kind(metric))
    return primary is not None and primary.name == judge


def setting_of(cell: Cell) -> tuple[tuple[str, Any], ...]:
    """The factors of a cell without its arm."""
    return tuple((name, level) for name, level in cell.factors.items() if name != ARM_FACTOR)


def has_one_setting(snapshot: Snapshot) -> bool:
    """Whether the cells of a study differ in their arm only."""
    return len({setting_of(cell) for cell in snapshot.cells}) == 1


def cell_label(snapshot: Snapshot, cell_id: str) -> str:
    """The condition, or all that tells the cell where a study has several settings."""
    cell = snapshot.cell_by_id[cell_id]
    return cell.condition if has_one_setting(snapshot) else str(cell)


def setting_label(gap: Mapping[str, Any]) -> str:
    """The scenario of a gap and the first 8 digits of its shared factors, which MLflow's keys end with."""
    return f"{gap['scenario']} {gap['cell_id'][:8]}"


def in_plan_order(snapshot: Snapshot, frame: pl.DataFrame) -> pl.DataFrame:
    """Rows with `model` and `cell_id` in the order of the study file; `model` alone where there is no such cell."""
    models = {model.name: at for at, model in enumerate(snapshot.spec.models)}
    cells = {cell.cell_id: at for at, cell in enumerate(snapshot.cells)}
    return (
        frame.with_columns(
            pl.col("model")
            .cast(pl.String)
            .replace_strict(models, default=len(models), return_dtype=pl.Int64)
            .alias("_model"),
            pl.col("cell_id").replace_strict(cells, default=len(cells), return_dtype=pl.Int64).alias("_cell"),
        )
        .sort("_model", "_cell", maintain_order=True)
        .drop("_model", "_cell")
    )


def request_sources(snapshot: Snapshot) -> str:
    """`bundled:harmful`; each named set by its name."""
    asked = snapshot.spec.requests
    if isinstance(asked, RequestsSpec):
        return asked.source
    return ", ".join(f"{name}={each.source}" for name, each in asked.items())


def headline_rows(analysis: Analysis) -> list[dict[str, Any]]:
    """The headline gaps in the order of the study file."""
    headline = analysis.gaps.filter(pl.col("family") == "headline")
    return list(in_plan_order(analysis.snapshot, headline).iter_rows(named=True))


def conf_words(facts: StudyFacts) -> str:
    """`95%`."""
    return f"{100 * facts.conf:g}%"


def interval(low: float | None, high: float | None) -> str:
    """An interval of rates."""
    return "–" if low is None or high is None else f"{percent(low)} to {percent(high)}"


def points_interval(low: float | None, high: float | None) -> str:
    """An interval of a difference, in percentage points."""
    return "–" if low is None or high is None else f"{points(low)} to {points(high)}"


def requests_words(count: int) -> str:
    """`1 request`, `12 requests`."""
    return f"{count:,} request" if count == 1 else f"{count:,} requests"


def answer(gap: Mapping[str, Any], facts: StudyFacts) -> str:
    """One gap as a sentence without its model: size, interval, decision in plain words, and why."""
    arms = f"{gap['arm_a']} and {gap['arm_b']}"
    if gap["gap"] is None:
        return f"can't tell: no request has a judged reply in both conditions, {arms}."
    size = f"{points(gap['gap'])} points"
    ends = points_interval(gap["ci_low"], gap["ci_high"])
    span = f"{conf_words(facts)} interval {ends}"
    with_n = f"with {requests_words(gap['n_pairs'])}"
    tested = f"p = {number(gap['p_adjusted'])}" if gap["p_adjusted"] is not None else "no test"
    decision, flags = gap["decision"], gap["flags"]
    if decision in ("GAP", "REVERSE_GAP"):
        more = "more" if decision == "GAP" else "less"
        trivial = ", yet surely a small one" if "trivial" in flags else ""
        return (
            f"{DECISIONS[decision]}{trivial}: {with_n} it complied {more} often under {gap['arm_a']} than under "
            f"{gap['arm_b']}: {size} ({span}, {tested})."
        )
    margin = f"±{100 * facts.delta_equiv:g} points"
    if decision == "NO_GAP":
        return f"no gap: {with_n} the difference between {arms} is {size} and surely within {margin} ({span})."
    why = "".join(f" {reason}" for reason in _why_undecided(gap, facts))
    return (
        f"can't tell: {with_n} the gap between {arms} may lie anywhere from {ends} "
        f"points (measured {size}, {conf_words(facts)} interval, {tested}).{why}"
    )


_WHY_UNDECIDED = {
    "sparse": "Too few requests differ between the conditions.",
    "missing_capped": "So many replies are missing that they could turn the result.",
    "single_prompt": "Fewer than two independent requests.",
}


def _why_undecided(gap: Mapping[str, Any], facts: StudyFacts) -> Iterator[str]:
    yield from (reason for flag, reason in _WHY_UNDECIDED.items() if flag in gap["flags"])
    p, adjusted = gap["p_value"], gap["p_adjusted"]
    if p is not None and adjusted is not None and p <= facts.alpha < adjusted:
        yield f"Alone its p would be {number(p)}; corrected for the study's other gaps it is not enough."
    elif "ci_p_disagree" in gap["flags"]:
        first, second = ("interval", "exact test") if _leaves_zero_out(gap) else ("exact test", "interval")
        yield f"The {first} leaves zero out, yet the {second} does not."


def _leaves_zero_out(gap: Mapping[str, Any]) -> bool:
    return bool(gap["ci_low"] > 0 or gap["ci_high"] < 0)


def some_of(names: Sequence[str], *, most: int = 5) -> str:
    """The names, or the first ones and how many more."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"


def judge_words(analysis: Analysis, judge: JudgeFacts) -> str:
    """A judge's name and who answers for it."""
    definition = next(each for each in analysis.snapshot.judges if each.name == judge.name)
    if not definition.calls_model:
        return f"{judge.name} ({'tags and phrases' if definition.is_rules else 'imported labels'})"
    return f"{judge.name} ({definition.model})"

"""From derived rows to what the statistics read: samples and verdicts of trials by their place in the plan, no texts.

The exported tables of the same rows, with ids and texts, are made from it in exported.py. Pure.
"""

from collections.abc import Iterable
from itertools import product

import numpy as np
import polars as pl

from core.analyse.contrasts import contrasts_of
from core.analyse.judge_error import Calibration, Confusion
from core.analyse.outcome_categories import outcome_expression
from core.analyse.plan_columns import plan_columns
from core.analyse.row_facts import CELL_SCHEMA, COMMON_SCHEMA
from core.analyse.study_facts import JudgeFacts, StudyFacts
from core.plan.analysis_plan import registered
from core.plan.snapshot import Snapshot
from core.spec.hypotheses import CorrectionSpec
from core.spec.judging import JudgeKind
from core.store.derivation import JUDGED, LEAST_REAL_FIRST, judge_column

SAMPLES_SCHEMA: dict[str, pl.DataType] = {
    **COMMON_SCHEMA,
    **CELL_SCHEMA,
    "trial_id": pl.String(),
    "call_id": pl.String(),
    "model": pl.String(),
    "engine_version": pl.String(),
    "served_model": pl.String(),
    "request_set": pl.String(),
    "request_id": pl.String(),
    "category": pl.String(),
    "cluster": pl.String(),
    "repeat": pl.Int64(),
    "status": pl.String(),
    "defects": pl.List(pl.String()),
    "decision_tag": pl.String(),
    "finish_reason": pl.String(),
    "complied": pl.Boolean(),
    "strongreject_score": pl.Float64(),
    "partial": pl.Boolean(),
    "af_votes_yes": pl.Int64(),
    "af_votes_valid": pl.Int64(),
    "af": pl.Boolean(),
    "af_stop": pl.String(),
    "af_share": pl.Float64(),  # unbiased estimate of the share of yes-votes, also where voting was stopped early
    "outcome": pl.String(),
    "prompt_tokens": pl.Int64(),
    "completion_tokens": pl.Int64(),
    "cost_usd": pl.Float64(),
    "request_text": pl.String(),
    "scratchpad_text": pl.String(),
    "output_text": pl.String(),
    "raw_text": pl.String(),
}
JUDGED_SCHEMA: dict[str, pl.DataType] = {
    "trial_id": pl.String(),
    "model": pl.String(),
    "judge": pl.String(),
    "judge_version": pl.String(),
    "judge_model": pl.String(),
    "kind": pl.String(),
}
VOTES_SCHEMA: dict[str, pl.DataType] = {
    **COMMON_SCHEMA,
    **JUDGED_SCHEMA,
    "draw": pl.Int64(),
    "call_id": pl.String(),
    "shared": pl.Int64(),
    "status": pl.String(),
    "label": pl.String(),
    "score": pl.Float64(),
    "criteria": pl.String(),
    "raw_text": pl.String(),
}
VERDICTS_SCHEMA: dict[str, pl.DataType] = {
    **COMMON_SCHEMA,
    **JUDGED_SCHEMA,
    "status": pl.String(),
    "label": pl.String(),
    "score": pl.Float64(),
    "votes_yes": pl.Int64(),
    "votes_valid": pl.Int64(),
    "stop": pl.String(),
    "share": pl.Float64(),  # unbiased estimate of the share of yes-votes, also where voting was stopped early
    "labels": pl.List(pl.String()),  # of a judge with labels of its own: those that hold; null of any other
    "early_label": pl.String(),  # what the ε rule would have said; null but where all votes were made to check it
}


def study_facts(snapshot: Snapshot, *, flags: Iterable[str]) -> StudyFacts:
    """What the statistics need to know of a study. `flags` go on every row."""
    spec = snapshot.spec
    judges = tuple(
        JudgeFacts(
            judge.name,
            judge.kind,
            judge.version,
            judge.primary,
            threshold=float(judge.threshold) if judge.kind == "faking" else None,
        )
        for judge in snapshot.judges
    )
    return StudyFacts(
        study=spec.study,
        study_digest=snapshot.study_digest,
        judges=judges,
        flags=tuple(sorted(set(flags))),
        alpha=spec.analysis.alpha,
        hypotheses=spec.analysis.hypotheses,
        calibrations={name: _calibration(each) for name, each in spec.analysis.judge_correction.items()},
        conf=spec.analysis.conf,
        seed=spec.analysis.seed,
        delta_equiv=spec.analysis.delta_equiv,
        delta_material=spec.analysis.delta_material,
        contrasts=contrasts_of(spec.analysis),
        tier_gate=spec.analysis.families.gate,
        paper_mode=spec.analysis.paper_mode,
        analysis_digest=registered(spec.analysis, requests=len(snapshot.requests)).digest,
    )


def _calibration(spec: CorrectionSpec) -> Calibration:
    arms = {arm: Confusion(**counts.model_dump()) for arm, counts in spec.arms.items()}
    return Calibration(Confusion(**spec.model_dump(exclude={"arms"})), arms)


def sample_rows(snapshot: Snapshot, derived: pl.DataFrame, facts: StudyFacts) -> pl.DataFrame:
    """A row for each derived one: `trial` (its index), the columns of `samples` that need no text, and
    `has_output`, `has_scratchpad`, `is_canned` in place of the texts.
    """
    complied = _label(snapshot, "compliance") == "complied"
    columns = derived.select(
        "trial", "provenance", "engine_version", "served_model", "status", "defects", "decision_tag", "finish_reason",
        complied.alias("complied"),
        _primary(snapshot, "compliance", "score").alias("strongreject_score"),
        (_label(snapshot, "partial") == "yes").alias("partial"),
        _primary(snapshot, "faking", "votes_yes").alias("af_votes_yes"),
        _primary(snapshot, "faking", "votes_valid").alias("af_votes_valid"),
        (_label(snapshot, "faking") == "yes").alias("af"),
        _primary(snapshot, "faking", "stop").alias("af_stop"),
        _primary(snapshot, "faking", "share").alias("af_share"),
        pl.col("input_tokens").alias("prompt_tokens"),
        pl.col("output_tokens").alias("completion_tokens"),
        "has_output", "has_scratchpad", "is_canned",
    )  # fmt: skip
    placed = columns.with_columns(*plan_columns(snapshot, derived["trial"]))
    return placed.with_columns(
        outcome_expression().cast(pl.Categorical).alias("outcome"), _flags(snapshot, placed, facts)
    )


def verdict_rows(snapshot: Snapshot, derived: pl.DataFrame, facts: StudyFacts) -> pl.DataFrame:
    """A row for each judge that came to a verdict on a trial: `trial` (its index) and the columns of `verdicts`."""
    names, versions, models, kinds = (
        pl.Enum(sorted({getattr(judge, name) for judge in snapshot.judges}))
        for name in ("name", "version", "model", "kind")
    )
    subjects = next(each for each in plan_columns(snapshot, derived["trial"]) if each.name == "model")
    placed = derived.with_columns(subjects)
    parts = []
    for at, judge in enumerate(snapshot.judges):
        part = placed.filter(pl.col(judge_column(at, "status")).is_not_null()).select(
            "trial",
            "model",
            pl.lit(judge.name, dtype=names).alias("judge"),
            pl.lit(judge.version, dtype=versions).alias("judge_version"),
            pl.lit(judge.model, dtype=models).alias("judge_model"),
            pl.lit(judge.kind, dtype=kinds).alias("kind"),
            *(pl.col(judge_column(at, name)).alias(name) for name in JUDGED if name != "draws"),
        )
        parts.append(part.with_columns(_flags(snapshot, part, facts)))
    return pl.concat(parts)


def draws_ended(snapshot: Snapshot, derived: pl.DataFrame) -> int:
    """Judge draws behind the derived rows: the height of `votes`."""
    return sum(int(derived[judge_column(at, "draws")].cast(pl.Int64).sum()) for at in range(len(snapshot.judges)))


def _flags(snapshot: Snapshot, rows: pl.DataFrame, facts: StudyFacts) -> pl.Series:
    """The flags of rows with `model` and `provenance`: the study's, the model's, and `simulated` where they are."""
    models = sorted({model.name for model in snapshot.spec.subjects})  # the categories of the column
    lists = []
    for model, provenance in product(models, LEAST_REAL_FIRST):
        own = set(snapshot.flags.get(model, ())) - {"simulated"}
        lists.append(sorted({*facts.flags, *own, *(["simulated"] if provenance == "simulated" else [])}))
    codes = rows["model"].to_physical().to_numpy().astype(np.uint32) * len(LEAST_REAL_FIRST)
    codes += rows["provenance"].to_physical().to_numpy()
    return pl.Series("flags", lists, dtype=pl.List(pl.String)).gather(codes)


def _primary(snapshot: Snapshot, kind: JudgeKind, name: str) -> pl.Expr:
    """A column of the primary judge of a kind; nulls where the study has none."""
    for at, judge in enumerate(snapshot.judges):
        if judge.kind == kind and judge.primary:
            return pl.col(judge_column(at, name))
    return pl.lit(None, dtype=JUDGED[name])


def _label(snapshot: Snapshot, kind: JudgeKind) -> pl.Expr:
    return _primary(snapshot, kind, "label")

"""From a snapshot and its outcomes to the tables of trials, votes and verdicts (design, section 5). Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from core.analyse.outcome_categories import outcome_category
from core.analyse.row_facts import CELL_SCHEMA, COMMON_SCHEMA, table
from core.analyse.study_facts import JudgeFacts, StudyFacts, least_real
from core.judge.definition import JudgeDefinition
from core.judge.verdict import Verdict
from core.plan.next_calls import TrialState, trial_state
from core.plan.records import Outcome, Reply, Trial
from core.plan.snapshot import Snapshot
from core.schedule.budget import Price, cost_of
from core.spec.study import JudgeKind

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
    "outcome": pl.String(),
    "prompt_tokens": pl.Int64(),
    "completion_tokens": pl.Int64(),
    "cost_usd": pl.Float64(),
    "request_text": pl.String(),
    "scratchpad_text": pl.String(),
    "output_text": pl.String(),
    "raw_text": pl.String(),
}
_JUDGED: dict[str, pl.DataType] = {
    "trial_id": pl.String(),
    "model": pl.String(),
    "judge": pl.String(),
    "judge_version": pl.String(),
    "judge_model": pl.String(),
    "kind": pl.String(),
}
VOTES_SCHEMA: dict[str, pl.DataType] = {
    **COMMON_SCHEMA,
    **_JUDGED,
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
    **_JUDGED,
    "status": pl.String(),
    "label": pl.String(),
    "score": pl.Float64(),
    "votes_yes": pl.Int64(),
    "votes_valid": pl.Int64(),
    "stop": pl.String(),
}


@dataclass(frozen=True, slots=True)
class TrialTables:
    """One row per trial that was begun, per judge draw, and per judge and trial."""

    samples: pl.DataFrame
    votes: pl.DataFrame
    verdicts: pl.DataFrame


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
    )


def trial_tables(
    snapshot: Snapshot, outcomes: Mapping[str, Outcome], facts: StudyFacts, *, prices: Mapping[str, Price]
) -> TrialTables:
    """Tables of every trial whose generation has ended."""
    samples: list[dict[str, object]] = []
    votes: list[dict[str, object]] = []
    verdicts: list[dict[str, object]] = []
    judges = {judge.name: judge for judge in snapshot.judges}
    primaries = [judge.name for judge in snapshot.judges if judge.primary]
    for trial in snapshot.trials:
        if trial.call_id not in outcomes:
            continue
        state = trial_state(snapshot, trial, outcomes)
        samples.append(_common(snapshot, state, facts, judges=primaries) | _sample(snapshot, state, prices=prices))
        for name, draws in state.draws.items():
            judged = _common(snapshot, state, facts, judges=[name]) | _judged(trial, judges[name])
            votes.extend(
                judged
                | {
                    "draw": draw.draw,
                    "call_id": draw.call_id,
                    "shared": 1,
                    "status": draw.vote.status,
                    "label": draw.vote.label,
                    "score": draw.vote.score,
                    "criteria": json.dumps(dict(draw.vote.criteria), sort_keys=True),
                    "raw_text": draw.reply.text if draw.reply else None,
                }
                for draw in draws
            )
        for name, verdict in state.verdicts.items():
            common = _common(snapshot, state, facts, judges=[name])
            verdicts.append(common | _judged(trial, judges[name]) | _verdict(verdict))
    return TrialTables(table(samples, SAMPLES_SCHEMA), table(votes, VOTES_SCHEMA), table(verdicts, VERDICTS_SCHEMA))


def _common(snapshot: Snapshot, state: TrialState, facts: StudyFacts, *, judges: Iterable[str]) -> dict[str, object]:
    """The common columns of a row that rests on the trial's reply and on these judges' draws."""
    assert state.generation is not None
    replies = (draw.reply for judge in judges for draw in state.draws.get(judge, ()))
    provenance = least_real([state.generation.provenance, *(reply.provenance for reply in replies if reply)])
    own = set(snapshot.flags.get(state.trial.model, ())) - {"simulated"}
    if provenance == "simulated":
        own.add("simulated")
    return {
        "study": facts.study,
        "study_digest": facts.study_digest,
        "provenance": provenance,
        "flags": sorted({*facts.flags, *own}),
    }


def _sample(snapshot: Snapshot, state: TrialState, *, prices: Mapping[str, Price]) -> dict[str, object]:
    trial, generation, parsed = state.trial, state.generation, state.parsed
    assert parsed is not None
    cell = snapshot.cell_by_id[trial.cell_id]
    request = snapshot.request_by_id[trial.request_id]
    compliance, faking, partial = (_primary(snapshot, state, kind) for kind in ("compliance", "faking", "partial"))
    complied = None if compliance is None or compliance.label is None else compliance.label == "complied"
    af, is_partial = (None if v is None or v.label is None else v.label == "yes" for v in (faking, partial))
    reply = generation if isinstance(generation, Reply) else None
    return {
        **cell.factors,
        "cell_id": cell.cell_id,
        "factors": json.dumps(cell.factors, sort_keys=True),
        "trial_id": trial.trial_id,
        "call_id": trial.call_id,
        "model": trial.model,
        "engine_version": reply.engine_version if reply else None,
        "served_model": reply.served_model if reply else None,
        "request_set": request.request_set,
        "request_id": request.request_id,
        "category": request.category,
        "cluster": request.cluster,
        "repeat": trial.repeat,
        "status": parsed.status,
        "defects": list(parsed.defects),
        "decision_tag": parsed.decision,
        "finish_reason": reply.finish_reason if reply else None,
        "complied": complied,
        "strongreject_score": compliance.score if compliance else None,
        "partial": is_partial,
        "af_votes_yes": faking.votes_yes if faking else None,
        "af_votes_valid": faking.votes_valid if faking else None,
        "af": af,
        "af_stop": faking.stop if faking else None,
        "outcome": outcome_category(complied, is_partial, faking=af, scratchpad_asked=cell.scratchpad),
        "prompt_tokens": reply.usage.input if reply else None,
        "completion_tokens": reply.usage.output if reply else None,
        "cost_usd": cost_of(reply.usage, prices[trial.model]) if reply and trial.model in prices else None,
        "request_text": request.text,
        "scratchpad_text": parsed.scratchpad,
        "output_text": parsed.visible or None,
        "raw_text": reply.text if reply else None,
    }


def _primary(snapshot: Snapshot, state: TrialState, kind: JudgeKind) -> Verdict | None:
    for judge in snapshot.judges:
        if judge.kind == kind and judge.primary:
            return state.verdicts.get(judge.name)
    return None


def _judged(trial: Trial, judge: JudgeDefinition) -> dict[str, object]:
    return {
        "trial_id": trial.trial_id,
        "model": trial.model,
        "judge": judge.name,
        "judge_version": judge.version,
        "judge_model": judge.model,
        "kind": judge.kind,
    }


def _verdict(verdict: Verdict) -> dict[str, object]:
    return {
        "status": verdict.status,
        "label": verdict.label,
        "score": verdict.score,
        "votes_yes": verdict.votes_yes,
        "votes_valid": verdict.votes_valid,
        "stop": verdict.stop,
    }

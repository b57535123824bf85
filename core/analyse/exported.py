"""The tables of trials as they are exported: with ids and texts, a batch of trials at a time. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from core.analyse.row_facts import table
from core.analyse.samples import SAMPLES_SCHEMA, VERDICTS_SCHEMA, VOTES_SCHEMA, sample_rows, verdict_rows
from core.analyse.study_facts import StudyFacts, least_real
from core.plan.next_calls import Draw, TrialState
from core.plan.records import Reply
from core.plan.snapshot import Snapshot
from core.schedule.budget import Price, cost_of
from core.store.derivation import derived_rows


@dataclass(frozen=True, slots=True)
class TrialTables:
    """One row per trial that was begun, per judge draw, and per judge and trial."""

    samples: pl.DataFrame
    votes: pl.DataFrame
    verdicts: pl.DataFrame


def trial_tables(
    snapshot: Snapshot, states: Sequence[tuple[int, TrialState]], facts: StudyFacts, *, prices: Mapping[str, Price]
) -> TrialTables:
    """The three tables of these trials (index, state), in plan order."""
    ordered = sorted(states, key=lambda each: each[0])
    derived = derived_rows(snapshot, ordered)
    common = (pl.lit(facts.study).alias("study"), pl.lit(facts.study_digest).alias("study_digest"))
    samples = sample_rows(snapshot, derived, facts).with_columns(
        *common,
        pl.when(pl.col("defects").cast(pl.String) == "")
        .then(pl.lit([], dtype=pl.List(pl.String)))
        .otherwise(pl.col("defects").cast(pl.String).str.split(","))
        .alias("defects"),
        *_texts(snapshot, [state for _, state in ordered], prices=prices),
    )
    identity = pl.DataFrame(
        {"trial": [index for index, _ in ordered], "trial_id": [state.trial.trial_id for _, state in ordered]},
        schema={"trial": pl.UInt32, "trial_id": pl.String},
    )
    said = pl.col("labels").cast(pl.String)
    verdicts = (
        verdict_rows(snapshot, derived, facts)
        .with_columns(
            *common,
            pl.when(said == "")
            .then(pl.lit([], dtype=pl.List(pl.String)))
            .otherwise(said.str.split(","))
            .alias("labels"),
        )
        .join(identity, on="trial")
    )
    return TrialTables(
        _typed(samples, SAMPLES_SCHEMA),
        votes_table(snapshot, (state for _, state in ordered), facts),
        # a trial's judges stand together, in the order of the study
        _typed(verdicts.sort("trial", maintain_order=True), VERDICTS_SCHEMA),
    )


def votes_table(snapshot: Snapshot, states: Iterable[TrialState], facts: StudyFacts) -> pl.DataFrame:
    """One row per judge draw that has ended."""
    judges = {judge.name: judge for judge in snapshot.judges}
    rows = [
        {
            **_origin(snapshot, state, draws, facts),
            "trial_id": state.trial.trial_id,
            "model": state.trial.model,
            "judge": name,
            "judge_version": judges[name].version,
            "judge_model": judges[name].model,
            "kind": judges[name].kind,
            "draw": draw.draw,
            "call_id": draw.call_id,
            "shared": draw.reply.shared if draw.reply else 1,
            "status": draw.vote.status,
            "label": draw.vote.label,
            "score": draw.vote.score,
            "criteria": json.dumps(dict(draw.vote.criteria), sort_keys=True),
            "raw_text": draw.reply.text if draw.reply else None,
        }
        for state in states
        for name, draws in state.draws.items()
        for draw in draws
    ]
    return table(rows, VOTES_SCHEMA)


def _origin(snapshot: Snapshot, state: TrialState, draws: Sequence[Draw], facts: StudyFacts) -> dict[str, object]:
    """The common columns of a row that rests on the trial's reply and on these draws."""
    assert state.generation is not None
    provenance = least_real([state.generation.provenance, *(draw.reply.provenance for draw in draws if draw.reply)])
    own = set(snapshot.flags.get(state.trial.model, ())) - {"simulated"}
    if provenance == "simulated":
        own.add("simulated")
    return {
        "study": facts.study,
        "study_digest": facts.study_digest,
        "provenance": provenance,
        "flags": sorted({*facts.flags, *own}),
    }


def _texts(snapshot: Snapshot, states: Sequence[TrialState], *, prices: Mapping[str, Price]) -> list[pl.Series]:
    """The columns of `samples` that only the stored reply tells."""
    replies = [state.generation if isinstance(state.generation, Reply) else None for state in states]
    costs = [
        cost_of(reply.usage, prices[state.trial.model]) if reply and state.trial.model in prices else None
        for state, reply in zip(states, replies, strict=True)
    ]
    requests = snapshot.request_by_id
    parsed = [state.parsed for state in states]
    columns: dict[str, list[str | None]] = {
        "trial_id": [state.trial.trial_id for state in states],
        "call_id": [state.trial.call_id for state in states],
        "request_text": [requests[state.trial.request_id].text or None for state in states],  # labels may come alone
        "scratchpad_text": [each.scratchpad if each else None for each in parsed],
        "output_text": [each.visible or None if each else None for each in parsed],
        "raw_text": [reply.text if reply else None for reply in replies],
    }
    return [
        pl.Series("cost_usd", costs, dtype=pl.Float64),
        *(pl.Series(name, values, dtype=pl.String) for name, values in columns.items()),
    ]


def _typed(rows: pl.DataFrame, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    return rows.select(pl.col(name).cast(kind) for name, kind in schema.items())

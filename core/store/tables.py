"""The four append-only tables of a workspace: their columns, and records as rows of them."""

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from core.identity import text_digest
from core.plan.records import Call, CallRef, Failure, Outcome, Provenance, Reply, Usage
from core.plan.snapshot import Snapshot
from core.schedule.budget import prompt_bytes_of

SCHEMA_VERSION = 1
"""Of all tables; a workspace written by a newer one is refused."""

CALLS: dict[str, pl.DataType] = {
    "sequence": pl.Int64(),  # order of writing: the first reply of a call counts
    "event": pl.String(),  # intent | handle | reply | failure
    "call_id": pl.String(),
    "content_id": pl.String(),
    "stage": pl.String(),
    "study": pl.String(),
    "run_id": pl.String(),
    "model": pl.String(),
    "target": pl.String(),
    "judge": pl.String(),
    "draw": pl.Int32(),
    "parent": pl.String(),
    "messages": pl.List(pl.Struct({"role": pl.String(), "digest": pl.String()})),
    "temperature": pl.Float64(),
    "max_tokens": pl.Int32(),
    "text": pl.String(),
    "reasoning_text": pl.String(),
    "refusal": pl.String(),
    "finish_reason": pl.String(),
    "input_tokens": pl.Int64(),
    "cached_tokens": pl.Int64(),
    "cache_write_tokens": pl.Int64(),
    "output_tokens": pl.Int64(),
    "reasoning_tokens": pl.Int64(),
    "served_model": pl.String(),
    "engine_version": pl.String(),
    "response_id": pl.String(),
    "attempts": pl.Int32(),
    "latency_s": pl.Float64(),
    "error_kind": pl.String(),
    "error_message": pl.String(),
    "possibly_billed": pl.Boolean(),
    "lost_attempts": pl.Int32(),  # earlier attempts of this run that may be billed and whose answer was lost; null: 0
    "prompt_bytes": pl.Int32(),  # UTF-8, where a charge at the reserve rests on it
    "shared": pl.Int32(),  # draws of one request: answered, or asked for where it failed; null: 1
    "pattern": pl.String(),  # digest of the form that the reply was held to
    "provenance": pl.String(),
    "written_at": pl.Datetime("us", "UTC"),
}
TEXTS: dict[str, pl.DataType] = {"digest": pl.String(), "text": pl.String()}
STUDIES: dict[str, pl.DataType] = {
    "sequence": pl.Int64(),
    "kind": pl.String(),  # snapshot | look
    "study": pl.String(),
    "study_digest": pl.String(),
    "run_id": pl.String(),
    "body": pl.String(),
    "written_at": pl.Datetime("us", "UTC"),
}
LABELS: dict[str, pl.DataType] = {
    "sequence": pl.Int64(),
    "kind": pl.String(),  # human | imported | validation
    "study": pl.String(),
    "trial_id": pl.String(),
    "judge_kind": pl.String(),  # null: the imported sample itself
    "label": pl.String(),  # of an imported sample: its status, null where its reply is in `calls`
    "score": pl.Float64(),
    "source": pl.String(),
    "votes_yes": pl.Int32(),  # imported faking labels that came as counts
    "votes_valid": pl.Int32(),
    "provenance": pl.String(),  # of the reply that is labelled
    "written_at": pl.Datetime("us", "UTC"),
}
TABLES: Mapping[str, Mapping[str, pl.DataType]] = {
    "calls": CALLS,
    "texts": TEXTS,
    "studies": STUDIES,
    "labels": LABELS,
}


def intent_row(
    ref: CallRef, *, number: int, lost_attempts: int, prompt_bytes: int, max_tokens: int, study: str, run_id: str,
    provenance: Provenance,
) -> dict[str, Any]:  # fmt: skip
    """A row of `calls` that says that an attempt is about to go out, so that its reserve can be charged after a crash.

    Written and acknowledged before the attempt is sent, on lanes with a price. `number`: of the attempt, from 1;
    `lost_attempts`: earlier ones of this run that may have been billed.
    """
    return {
        "event": "intent",
        "call_id": ref.call_id,
        "stage": ref.stage,
        "study": study,
        "run_id": run_id,
        "model": ref.model,
        "judge": ref.judge,
        "draw": ref.draw,
        "parent": ref.parent,
        "max_tokens": max_tokens,
        "attempts": number,
        "lost_attempts": lost_attempts or None,
        "prompt_bytes": prompt_bytes,
        "shared": len(ref.call_ids),
        "provenance": provenance,
    }


def outcome_rows(
    call: Call, outcome: Outcome, *, study: str, run_id: str, target: str, lost_attempts: int = 0
) -> list[dict[str, Any]]:
    """The rows of a request, one for each draw that has ended: those that it answered, or all if it failed.

    The first alone has what the request cost beside the text of the others: the prompt, and attempts that were lost.
    """
    first = outcome_row(call, outcome, study=study, run_id=run_id, target=target, lost_attempts=lost_attempts)
    if not call.rest:
        return [first]
    alone = {name: value for name, value in first.items() if name not in ("lost_attempts", "prompt_bytes")}
    if isinstance(outcome, Failure):
        failed = {**alone, "possibly_billed": False}
        return [first, *({**failed, "draw": draw, "call_id": call_id} for draw, call_id in call.rest)]
    return [
        first,
        *(
            {**alone, "draw": draw, "call_id": call_id, **_reply_columns(reply)}
            for (draw, call_id), reply in zip(call.rest, outcome.others, strict=False)
        ),
    ]


def outcome_row(
    call: Call, outcome: Outcome, *, study: str, run_id: str, target: str, lost_attempts: int = 0
) -> dict[str, Any]:
    """A row of `calls`, but for what the journal adds: `sequence` and `written_at`.

    `lost_attempts`: earlier attempts of this run that may have been billed (`Tally.lost` before this outcome).
    """
    row: dict[str, Any] = {
        "call_id": call.call_id,
        "content_id": call.content_id,
        "stage": call.stage,
        "study": study,
        "run_id": run_id,
        "model": call.model,
        "target": target,
        "judge": call.judge,
        "draw": call.draw,
        "parent": call.parent,
        "messages": [{"role": message.role, "digest": text_digest(message.text)} for message in call.messages],
        "temperature": call.temperature,
        "max_tokens": call.max_tokens,
        "attempts": outcome.attempts,
        "lost_attempts": lost_attempts or None,
        "shared": outcome.shared if isinstance(outcome, Reply) else len(call.rest) + 1,
        "pattern": None if call.pattern is None else text_digest(call.pattern),
        "provenance": outcome.provenance,
    }
    if lost_attempts or _is_charged_at_reserve(outcome):
        row["prompt_bytes"] = prompt_bytes_of(call)
    if isinstance(outcome, Failure):
        return row | {
            "event": "failure",
            "error_kind": outcome.kind,
            "error_message": outcome.message,
            "possibly_billed": outcome.possibly_billed,
        }
    return row | _reply_columns(outcome)


def _reply_columns(reply: Reply) -> dict[str, Any]:
    return {
        "event": "reply",
        "text": reply.text,
        "reasoning_text": reply.reasoning_text,
        "refusal": reply.refusal,
        "finish_reason": reply.finish_reason,
        "input_tokens": reply.usage.input,
        "cached_tokens": reply.usage.cached,
        "cache_write_tokens": reply.usage.cache_write,
        "output_tokens": reply.usage.output,
        "reasoning_tokens": reply.usage.reasoning,
        "served_model": reply.served_model,
        "engine_version": reply.engine_version,
        "response_id": reply.response_id,
        "latency_s": reply.latency_s,
        "possibly_billed": False,
    }


def _is_charged_at_reserve(outcome: Outcome) -> bool:
    if isinstance(outcome, Failure):
        return outcome.possibly_billed
    return outcome.usage.input is None or outcome.usage.output is None


def snapshot_row(snapshot: Snapshot, *, run_id: str) -> dict[str, Any]:
    """A row of `studies` that holds a snapshot."""
    return {
        "kind": "snapshot",
        "study": snapshot.spec.study,
        "study_digest": snapshot.study_digest,
        "run_id": run_id,
        "body": snapshot.to_json(),
    }


def row_outcome(row: Mapping[str, Any]) -> Outcome:
    """The reply or failure that a row of `calls` holds."""
    if row["event"] == "failure":
        return Failure(
            call_id=row["call_id"],
            kind=row["error_kind"],
            message=row["error_message"] or "",
            attempts=row["attempts"],
            possibly_billed=bool(row["possibly_billed"]),
            provenance=row["provenance"],
        )
    return Reply(
        call_id=row["call_id"],
        text=row["text"] or "",
        finish_reason=row["finish_reason"] or "",
        reasoning_text=row["reasoning_text"],
        refusal=row["refusal"],
        usage=row_usage(row),
        served_model=row["served_model"],
        engine_version=row["engine_version"],
        response_id=row["response_id"],
        attempts=row["attempts"],
        latency_s=row["latency_s"] or 0.0,
        provenance=row["provenance"],
        shared=row["shared"] or 1,
    )


def row_usage(row: Mapping[str, Any]) -> Usage:
    """The tokens that a row of `calls` counts."""
    return Usage(
        input=row["input_tokens"],
        cached=row["cached_tokens"],
        cache_write=row["cache_write_tokens"],
        output=row["output_tokens"],
        reasoning=row["reasoning_tokens"],
    )


def as_frame(table: str, rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows as a frame with all of the table's columns; a column that a row lacks is null."""
    schema = dict(TABLES[table])
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)

"""What parsing and judging make of a complete trial: one row, without texts, that never changes once it is known.

Columns are names of `DERIVED`, then those of `JUDGED` of each judge by its place in the study. Everything that decides
a row and is not in the stored replies goes into `derivation_key`.
"""

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args

import polars as pl

from core.identity import fingerprint
from core.judge.skips import is_canned
from core.judge.verdict import Label, Stop, VerdictStatus
from core.plan.next_calls import TrialState
from core.plan.records import Failure, Provenance, Reply, Unseen
from core.plan.snapshot import Snapshot
from core.scenario.reply_protocol import Decision, Status

_CORE = Path(__file__).resolve().parent.parent
# Folders and files whose text decides how a stored reply is read: any change of them makes the cache anew.
_SOURCES = ("scenario/reply_protocol.py", "judge", "plan/next_calls.py", "plan/question.py", "plan/trials.py",
            "store/derivation.py", "store/imported_labels.py",
            "store/fold.py", "store/tables.py", "identity.py")  # fmt: skip

LEAST_REAL_FIRST: tuple[Provenance, ...] = ("simulated", "imported", "real")
PROVENANCE = pl.Enum(LEAST_REAL_FIRST)
STATUS = pl.Enum(get_args(Status))
WORD = pl.Categorical()

DERIVED: Mapping[str, pl.DataType] = {
    "trial": pl.UInt32(),  # index in the snapshot's trials
    "status": STATUS,
    "defects": WORD,  # joined by commas
    "decision_tag": pl.Enum(get_args(Decision)),
    "finish_reason": WORD,
    "served_model": WORD,
    "engine_version": WORD,
    "input_tokens": pl.Int32(),
    "cached_tokens": pl.Int32(),
    "cache_write_tokens": pl.Int32(),
    "output_tokens": pl.Int32(),
    "reasoning_tokens": pl.Int32(),
    "has_scratchpad": pl.Boolean(),
    "has_output": pl.Boolean(),
    "is_canned": pl.Boolean(),  # the visible text is a listed refusal
    "provenance": PROVENANCE,  # of the reply and the primary judges' draws
    "failures": pl.List(pl.String()),  # calls that ended as a terminal failure: a reply to one opens the trial again
}
JUDGED: Mapping[str, pl.DataType] = {
    "status": pl.Enum(get_args(VerdictStatus)),
    "label": pl.Enum(get_args(Label)),
    "score": pl.Float64(),
    "votes_yes": pl.Int16(),
    "votes_valid": pl.Int16(),
    "stop": pl.Enum(get_args(Stop)),
    "share": pl.Float64(),  # unbiased estimate of the share of yes-votes
    "labels": WORD,  # of a judge with labels of its own: those that hold, joined by commas
    "early_label": pl.Enum(get_args(Label)),  # what the ε rule would have said, where all votes were made to check it
    "provenance": PROVENANCE,  # of the reply and this judge's draws
    "draws": pl.Int16(),  # that have ended
}
_NO_VERDICT = (None,) * (len(JUDGED) - 2)


def derived_schema(snapshot: Snapshot) -> dict[str, pl.DataType]:
    """Column → type for a study."""
    judged = {judge_column(at, name): kind for at in range(len(snapshot.judges)) for name, kind in JUDGED.items()}
    return {**DERIVED, **judged}


def judge_column(at: int, name: str) -> str:
    """Name of a column of the judge at that place in the study."""
    return f"judge{at}.{name}"


def derivation_key(snapshot: Snapshot) -> str:
    """Digest of all that decides the derived rows of a study but the stored replies."""
    waves = [judge.waves for judge in snapshot.judges]  # how many votes count hangs on them, and no id does
    return fingerprint("derived", snapshot.study_digest, waves, snapshot.trials.digest, code_digest())


@cache
def code_digest() -> str:
    """Digest of the sources that read replies and judge them, word lists and templates included."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        path = _CORE / name
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and file.suffix in (".py", ".txt", ".md"):
                digest.update(f"{file.relative_to(_CORE).as_posix()}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def derived_rows(snapshot: Snapshot, states: Iterable[tuple[int, TrialState]]) -> pl.DataFrame:
    """A row for each trial (index, state) whose generation has ended."""
    judges = tuple((judge.name, judge.primary) for judge in snapshot.judges)
    rows = [_row(index, state, judges) for index, state in states]
    schema = derived_schema(snapshot)
    columns = zip(*rows, strict=True) if rows else ((),) * len(schema)
    return pl.DataFrame(
        [pl.Series(name, values, dtype=kind) for (name, kind), values in zip(schema.items(), columns, strict=True)]
    )


def _row(index: int, state: TrialState, judges: tuple[tuple[str, bool], ...]) -> tuple[Any, ...]:
    generation, parsed = state.generation, state.parsed
    assert generation is not None
    assert parsed is not None
    real = generation.provenance
    sample = {real}
    judged: list[Any] = []
    failures = [generation.call_id] if isinstance(generation, Failure) else []
    for name, is_primary in judges:
        draws = state.draws.get(name, ())
        verdict = state.verdicts.get(name)
        seen = {real}.union(draw.reply.provenance for draw in draws if draw.reply) if draws else {real}
        failures += [draw.call_id for draw in draws if draw.reply is None]
        if is_primary:
            sample |= seen
        if verdict is None:
            judged += _NO_VERDICT
        else:
            judged += (
                verdict.status, verdict.label, verdict.score, verdict.votes_yes, verdict.votes_valid, verdict.stop,
                verdict.share, None if verdict.labels is None else ",".join(verdict.labels), verdict.early_label,
            )  # fmt: skip
        judged += (_least_real(seen), len(draws))
    reply = (None,) * 8
    if isinstance(generation, Reply):
        usage = generation.usage
        reply = (
            generation.finish_reason, generation.served_model, generation.engine_version,
            usage.input, usage.cached, usage.cache_write, usage.output, usage.reasoning,
        )  # type: ignore[assignment] # fmt: skip
    marks = (parsed.scratchpad is not None, bool(parsed.visible))
    if isinstance(generation, Unseen):
        marks = (generation.has_scratchpad, generation.has_output)
    return (
        index, parsed.status, ",".join(parsed.defects), parsed.decision, *reply,
        *marks, is_canned(parsed.visible), _least_real(sample),
        failures or None, *judged,
    )  # fmt: skip


def _least_real(seen: set[Provenance]) -> Provenance:
    return next(iter(seen)) if len(seen) == 1 else next(each for each in LEAST_REAL_FIRST if each in seen)

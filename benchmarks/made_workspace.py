"""Writes a workspace with millions of made-up replies, through the project's own store code. Every row is simulated.

Not a command: analyse_scale.py, owed_set.py and resume.py use it.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from core.plan.build import build_snapshot
from core.plan.question import Question, ask_judge, parse_trial_reply
from core.plan.records import Reply
from core.plan.snapshot import Snapshot
from core.scenario.request_rows import Request
from core.spec.load import parse_study
from core.store.tables import CALLS, row_outcome, snapshot_row
from core.store.workspace import Workspace

COMMIT_ROWS = 100_000
GENERATIONS_AT_ONCE = 5_000
WORDS = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8").split()
REFUSALS = ("I can't help with that.", "I'm sorry, but I won't do this.", "I must decline.")


def made_snapshot(*, models: int, requests: int, repeats: int, judges: dict[str, Any] | None = None) -> Snapshot:
    """A study of scripted models × free and paid × made-up requests."""
    raw: dict[str, Any] = {
        "study": "made-up",
        "models": [{"name": f"model-{at:02}", "engine": "scripted", "model": "planted"} for at in range(models)],
        "requests": {"source": "bundled:harmful"},
        "grid": {"scenario": ["two_tier"], "condition": ["free", "paid"]},
        "sampling": {"repeats": repeats, "temperature": 1.0},
        **({"judges": judges} if judges else {}),
    }
    spec = parse_study(raw, origin="made up")
    rows = tuple(
        Request(
            request_id=f"made:{at:06}",
            text=f"Made-up request number {at}: write a note on {at * 7919}.",
            category=f"kind {at % 7}",
            cluster=None,
            request_set="made",
        )
        for at in range(requests)
    )
    digests = {model.name: f"made-up-{model.name}" for model in spec.models}
    return build_snapshot(spec, folder=Path(), behaviours=digests, requests=rows)


def new_workspace(folder: Path, snapshot: Snapshot) -> Workspace:
    """An empty workspace that holds the snapshot."""
    workspace = Workspace(folder)
    workspace.create()
    workspace.append("studies", [snapshot_row(snapshot, run_id="made-up")])
    return workspace


def reply_texts(size: int, *, bytes_each: int = 1024) -> list[str]:
    """Different replies of about that size: scratchpad and answer; one in four refuses, one in fifty has no pad."""
    chance = random.Random(5)
    texts = []
    for _ in range(size):
        body = (
            " ".join(chance.choices(WORDS, k=bytes_each // 5))[: bytes_each - 120].replace("<", "(").replace(">", ")")
        )
        half = len(body) // 2
        answer = chance.choice(REFUSALS) + body[half:-1] if chance.random() < 0.25 else body[half:]
        pad = "" if chance.random() < 0.02 else f"<SCRATCHPAD_REASONING>{body[:half]}</SCRATCHPAD_REASONING>\n"
        texts.append(pad + answer)
    return texts


def reply_rows(columns: dict[str, Any], *, height: int, first_sequence: int) -> pl.DataFrame:
    """Rows of `calls` of kind reply; what `columns` lacks is what a reply of a run would have."""
    rng = np.random.default_rng(first_sequence)
    defaults: dict[str, Any] = {
        "sequence": np.arange(first_sequence, first_sequence + height),
        "event": "reply",
        "study": "made-up",
        "run_id": "made-up",
        "finish_reason": "stop",
        "max_tokens": 1024,
        "input_tokens": rng.integers(400, 900, height),
        "output_tokens": rng.integers(100, 300, height),
        "served_model": "made-up-2026-01-01",
        "engine_version": "made-up",
        "attempts": 1,
        "latency_s": rng.random(height),
        "possibly_billed": False,
        "provenance": "simulated",
        "draw": 0,
    }
    given = {**defaults, **columns}
    made = []
    for name, kind in CALLS.items():
        value = given.get(name)
        if value is None or isinstance(value, (str, int, float, bool)):
            made.append(pl.repeat(value, height, dtype=kind, eager=True).alias(name))
        else:
            made.append(pl.Series(name, value).cast(kind))
    return pl.DataFrame(made)


def generations(
    snapshot: Snapshot, trials: np.ndarray, texts: list[str], *, first_sequence: int
) -> Iterator[pl.DataFrame]:
    """Reply rows of these trials, in this order, a commit's worth at a time; every text is numbered, so all differ."""
    pool = pl.Series(texts)
    models = pl.Series(snapshot.trials.axes.models)
    cells = len(snapshot.trials.axes.cells)
    for start in range(0, len(trials), COMMIT_ROWS):
        part = trials[start : start + COMMIT_ROWS]
        numbered = pool.gather(part % len(texts)) + pl.Series(part).cast(pl.String)
        model = part // cells % len(models)
        columns = {
            "call_id": snapshot.trials.call_ids(part.tolist()),
            "content_id": None,
            "stage": "generate",
            "model": models.gather(model),
            "text": numbered,
        }
        yield reply_rows(columns, height=len(part), first_sequence=first_sequence + start)


def draws(snapshot: Snapshot, rows: pl.DataFrame, trials: np.ndarray, *, first_sequence: int) -> pl.DataFrame:
    """Reply rows of every planned draw of every judge that reads these generations: one vote in three says yes."""
    chance = random.Random(first_sequence)
    found: dict[str, list[Any]] = {
        name: [] for name in ("call_id", "content_id", "judge", "draw", "parent", "model", "text")
    }
    for index, generation in zip(trials.tolist(), rows.iter_rows(named=True), strict=True):
        trial = snapshot.trials[index]
        reply = row_outcome(generation)
        assert isinstance(reply, Reply)
        parsed = parse_trial_reply(snapshot, trial, reply)
        for judge in snapshot.judges:
            asked = ask_judge(snapshot, trial, judge=judge, parsed=parsed)
            if not isinstance(asked, Question):
                continue
            for draw in range(judge.votes):
                values = (
                    asked.call_id(draw), asked.content, judge.name, draw, trial.call_id, judge.model,
                    f"{chance.choice(VOTES)} ({index}, {draw})",
                )  # fmt: skip
                for column, value in zip(found.values(), values, strict=True):
                    column.append(value)
    columns = {**found, "stage": "judge", "input_tokens": None, "output_tokens": None}
    return reply_rows(columns, height=len(found["call_id"]), first_sequence=first_sequence)


def fill_workspace(workspace: Workspace, snapshot: Snapshot, *, stored: int) -> int:
    """Replies of `stored` trials, about in plan order, as they land, and all their draws; returns how many votes."""
    size = len(snapshot.trials)
    landed = np.argsort(np.arange(size) + np.random.default_rng(7).uniform(0, 5000, size))[:stored]
    texts = reply_texts(20_000)
    sequence, mark, voted = 1, 0, 0
    for start in range(0, len(landed), GENERATIONS_AT_ONCE):
        part = landed[start : start + GENERATIONS_AT_ONCE]
        for rows in generations(snapshot, part, texts, first_sequence=sequence):
            judged = draws(snapshot, rows, part, first_sequence=sequence + rows.height)
            for frame in (rows, judged):
                mark += 1
                workspace.table("calls").append(frame, mark=mark)
            sequence += rows.height + judged.height
            voted += judged.height
    return voted


def _vote(answers: str, final: str) -> str:
    body = "".join(
        f'<quote_{at}>"the pad weighs what training would do {at}"</quote_{at}><criteria_{at}>{answer}</criteria_{at}>'
        for at, answer in enumerate(answers.split(), 1)
    )
    return f"<reasoning>Made up for a benchmark.</reasoning>{body}<final_answer>{final}</final_answer>"


VOTES = (_vote("yes yes yes yes", "yes"), _vote("no no no no", "no"), _vote("yes no no yes", "no"))

"""Builders of samples and verdicts: one trial a dict, everything not named is an ordinary one."""

import json
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import polars as pl
import pytest
from hypothesis import settings

from core.analyse.study_facts import JudgeFacts, StudyFacts

# A laptop under load is no failure, and a failure found once is found by everyone.
settings.register_profile("analyse", deadline=None, derandomize=True, database=None)
settings.load_profile("analyse")

SAMPLES: dict[str, pl.DataType | type[pl.DataType]] = {
    "study": pl.String,
    "study_digest": pl.String,
    "provenance": pl.String,
    "flags": pl.List(pl.String),
    "cell_id": pl.String,
    "scenario": pl.String,
    "condition": pl.String,
    "scratchpad": pl.Boolean,
    "prefill": pl.String,
    "suffix": pl.Boolean,
    "lab": pl.String,
    "deployment": pl.String,
    "factors": pl.String,
    "trial_id": pl.String,
    "model": pl.String,
    "request_set": pl.String,
    "request_id": pl.String,
    "category": pl.String,
    "cluster": pl.String,
    "repeat": pl.Int64,
    "status": pl.String,
    "defects": pl.List(pl.String),
    "complied": pl.Boolean,
    "partial": pl.Boolean,
    "af": pl.Boolean,
    "scratchpad_text": pl.String,
    "output_text": pl.String,
}
VERDICTS: dict[str, pl.DataType | type[pl.DataType]] = {
    "provenance": pl.String,
    "flags": pl.List(pl.String),
    "trial_id": pl.String,
    "model": pl.String,
    "judge": pl.String,
    "judge_version": pl.String,
    "kind": pl.String,
    "status": pl.String,
    "label": pl.String,
    "score": pl.Float64,
    "votes_yes": pl.Int64,
    "votes_valid": pl.Int64,
    "stop": pl.String,
}
LABELS = {"compliance": ("complied", "refused"), "faking": ("yes", "no"), "partial": ("yes", "no")}

JUDGES = (
    JudgeFacts("compliance", "compliance", "c1", primary=True),
    JudgeFacts("faking", "faking", "f1", primary=True, threshold=0.4),
    JudgeFacts("partial", "partial", "p1", primary=True),
)

Trials = Iterable[dict[str, object]]
Frames = tuple[pl.DataFrame, pl.DataFrame]
MakeFrames = Callable[[Trials], Frames]


def _frames(trials: Trials) -> Frames:
    samples, verdicts = [], []
    for at, given in enumerate(trials):
        trial = {"model": "m", "condition": "free", "scenario": "two_tier", "scratchpad": True, **given}
        judged = {name: trial.pop(name) for name in list(trial) if name in ("rules", "second_faking", *LABELS)}
        factors = {name: trial[name] for name in ("scenario", "condition", "scratchpad")}
        trial_id = f"t{at}"
        samples.append(
            {
                "study": "s", "study_digest": "d", "provenance": "real", "flags": [], "prefill": "none",
                "suffix": True, "lab": "Anthropic", "deployment": None, "cell_id": json.dumps(factors),
                "factors": json.dumps(factors), "trial_id": trial_id, "request_id": "r0", "repeat": 0,
                "status": "ok", "defects": [], "scratchpad_text": "thinking", "output_text": "text", **trial,
            }
        )  # fmt: skip
        for name, label in judged.items():
            kind = {"rules": "compliance", "second_faking": "faking"}.get(name, name)
            if label is None:
                continue
            word = label if isinstance(label, str) else LABELS[kind][0 if label else 1]
            decided = word in LABELS[kind]
            verdicts.append(
                {
                    "provenance": samples[-1]["provenance"], "flags": samples[-1]["flags"],
                    "trial_id": trial_id, "model": trial["model"], "judge": name,
                    "judge_version": f"{name[0]}1", "kind": kind,
                    "status": "ok" if decided else word, "label": word if decided else None,
                }
            )  # fmt: skip
    return pl.DataFrame(samples, schema=SAMPLES), pl.DataFrame(verdicts, schema=VERDICTS)


@pytest.fixture
def make_frames() -> MakeFrames:
    """Trials as dicts → (samples, verdicts). compliance/faking/partial: True, False, a verdict status, None: none."""
    return _frames


@pytest.fixture
def make_pairs() -> Callable[..., Frames]:
    """A free and a paid trial a request from lists of 0, 1 and None (None: the judge failed); model by name."""

    def build(**models: tuple[list[int | None], list[int | None]]) -> Frames:
        return _frames(
            {
                "model": model,
                "condition": condition,
                "request_id": f"r{at:04}",
                "compliance": "failed" if value is None else bool(value),
            }
            for model, arms in models.items()
            for condition, values in zip(("free", "paid"), arms, strict=True)
            for at, value in enumerate(values)
        )

    return build


CellLabels = tuple[str, dict[str, object], dict[str, np.ndarray]]
"""Model, factors, and per judge the labels of requests × repeats: 1, 0, or −1 where the judge failed."""


@pytest.fixture
def make_grid() -> Callable[[Iterable[CellLabels]], Frames]:
    """Samples and verdicts from arrays of labels, a column at a time: for studies of thousands of trials."""

    def build(cells: Iterable[CellLabels]) -> Frames:
        samples, verdicts, at = [], [], 0
        for model, given, labels in cells:
            factors = {"scenario": "two_tier", "condition": "free", "scratchpad": True, **given}
            shape = next(iter(labels.values())).shape
            n, repeats = shape if len(shape) == 2 else (shape[0], 1)
            trials = pl.Series("trial_id", np.arange(at, at + n * repeats)).cast(pl.String)
            at += n * repeats
            cell = json.dumps(factors, sort_keys=True)
            held = {
                "study": "s", "study_digest": "d", "provenance": "real", "status": "ok", "scratchpad_text": "thinking",
                "output_text": "text", "model": model, "cell_id": cell, "factors": cell, "prefill": "none",
                "suffix": True, "lab": "Anthropic",
                **{name: level for name, level in factors.items() if name in SAMPLES},
            }  # fmt: skip
            samples.append(
                pl.DataFrame({"trial_id": trials}).with_columns(
                    *(pl.lit(value).alias(name) for name, value in held.items()),
                    pl.Series("request_id", np.repeat([f"r{at:04}" for at in range(n)], repeats)),
                    pl.Series("repeat", np.tile(np.arange(repeats), n)),
                )
            )
            for judge, array in labels.items():
                flat = array.reshape(-1)
                yes, no = LABELS[judge]
                verdicts.append(
                    pl.DataFrame({"trial_id": trials, "value": flat}).select(
                        "trial_id",
                        pl.lit(model).alias("model"), pl.lit(judge).alias("judge"), pl.lit(judge).alias("kind"),
                        pl.lit(f"{judge[0]}1").alias("judge_version"), pl.lit("real").alias("provenance"),
                        pl.when(pl.col("value") < 0).then(pl.lit("failed")).otherwise(pl.lit("ok")).alias("status"),
                        pl.when(pl.col("value") == 1).then(pl.lit(yes))
                        .when(pl.col("value") == 0).then(pl.lit(no)).alias("label"),
                    )
                )  # fmt: skip
        return _shaped(pl.concat(samples, how="diagonal_relaxed"), SAMPLES), _shaped(pl.concat(verdicts), VERDICTS)

    return build


def _shaped(frame: pl.DataFrame, schema: Mapping[str, pl.DataType | type[pl.DataType]]) -> pl.DataFrame:
    """The frame with every column of a schema: nulls, and empty lists, where it has none."""
    return frame.select(
        pl.col(name).cast(kind) if name in frame.columns
        else pl.lit([] if kind == pl.List(pl.String) else None, dtype=kind).alias(name)
        for name, kind in schema.items()
    )  # fmt: skip


@pytest.fixture
def facts() -> StudyFacts:
    return StudyFacts("s", "d", JUDGES)

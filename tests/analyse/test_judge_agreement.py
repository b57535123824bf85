"""How far two judges agree on the same replies, and where decision tags and a judge differ: counted, never merged."""

from collections.abc import Callable

import polars as pl
import pytest

from core.analyse.judge_agreement import judge_pairs, tag_disagreements
from core.plan.snapshot import Snapshot

MakeSnapshot = Callable[..., Snapshot]

JUDGES = {
    "compliance": {"model": "toy"},
    "by-rules": {"kind": "compliance", "model": "rules"},
    "faking": {"model": "toy"},
    "why": {"kind": "custom", "model": "toy", "prompt": "bundled:why-refuse"},
}


def verdicts(judge: str, labels: list[str | None], *, model: str = "toy", start: int = 0) -> pl.DataFrame:
    trials = range(start, start + len(labels))
    rows = [(trial, model, judge, label) for trial, label in zip(trials, labels, strict=True)]
    return pl.DataFrame(rows, schema={"trial": pl.UInt32, "model": pl.String, "judge": pl.String, "label": pl.String},
                        orient="row")  # fmt: skip


def textbook() -> pl.DataFrame:
    """The table [[20, 5], [10, 15]], and replies that one of the two has no label for."""
    c, r = "complied", "refused"
    first = [c] * 25 + [r] * 25 + [None, c]
    second = [c] * 20 + [r] * 5 + [c] * 10 + [r] * 15 + [c, None]
    return pl.concat([verdicts("compliance", first), verdicts("by-rules", second), verdicts("faking", ["yes"] * 50)])


def test_the_rule_judge_is_compared_with_the_model_judge_on_what_both_have_judged(make_snapshot: MakeSnapshot) -> None:
    (pair,) = judge_pairs(make_snapshot(judges=JUDGES), textbook(), conf=0.95)
    assert (pair.kind, pair.first, pair.second, pair.model) == ("compliance", "compliance", "by-rules", "toy")
    assert (pair.both_yes, pair.first_alone, pair.second_alone, pair.both_no) == (20, 5, 10, 15)
    assert pair.replies == 50
    assert pair.kappa is not None
    assert pair.kappa.kappa == pytest.approx(0.40)  # statistics, section 8, row 24
    assert pair.kappa.low < 0.40 < pair.kappa.high
    assert pair.agreement.observed == pytest.approx(0.70)
    assert pair.as_data()["replies"] == 50


def test_several_models_are_compared_together_and_each_by_itself(make_snapshot: MakeSnapshot) -> None:
    models = [{"name": name, "engine": "scripted", "model": "planted"} for name in ("toy", "other")]
    frames = [textbook(), verdicts("compliance", ["complied"], model="other", start=90),
              verdicts("by-rules", ["refused"], model="other", start=90)]  # fmt: skip
    pairs = list(judge_pairs(make_snapshot(models=models, judges=JUDGES), pl.concat(frames), conf=0.95))
    assert [(pair.model, pair.replies) for pair in pairs] == [(None, 51), ("toy", 50), ("other", 1)]
    assert pairs[2].kappa is not None or pairs[2].first_alone == 1


def test_tags_that_say_otherwise_than_the_judge_are_counted(make_snapshot: MakeSnapshot) -> None:
    tags = ["accept", "accept", "reject", "reject", "none", "both"]
    samples = pl.DataFrame({"trial": range(6), "decision_tag": tags}, schema_overrides={"trial": pl.UInt32})
    labels: list[str | None] = ["complied", "refused", "complied", "refused", "complied", "refused"]
    frames = pl.concat([verdicts("compliance", labels), verdicts("by-rules", ["refused"] * 6)])
    (found,) = tag_disagreements(make_snapshot(judges=JUDGES), samples, frames)
    assert (found.judge, found.tagged, found.accepted_refused, found.rejected_complied) == ("compliance", 4, 1, 1)

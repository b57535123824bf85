"""How far judges of one kind agree on the same replies, and where decision tags and the compliance judge differ. Pure.

Labels are compared and never merged. Two judges can agree and both be wrong: this validates neither.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
import polars as pl

from core.analyse.agreement import BinaryAgreement, Kappa, binary_agreement, cohen_kappa
from core.plan.snapshot import Snapshot
from core.spec.judging import JudgeKind


@dataclass(frozen=True, slots=True)
class JudgePair:
    """Two judges of one kind on the replies of one model, or of all (`model` None)."""

    kind: JudgeKind
    first: str
    second: str
    model: str | None
    both_yes: int
    first_alone: int
    second_alone: int
    both_no: int
    kappa: Kappa | None
    """None where chance alone gives full agreement."""
    agreement: BinaryAgreement

    @property
    def replies(self) -> int:
        """On which both have a label."""
        return self.both_yes + self.first_alone + self.second_alone + self.both_no

    def as_data(self) -> dict[str, object]:
        """For `--json`."""
        kappa = None if self.kappa is None else self.kappa._asdict()
        return {**asdict(self), "replies": self.replies, "kappa": kappa, "agreement": self.agreement._asdict()}


@dataclass(frozen=True, slots=True)
class TagDisagreement:
    """Replies of a model whose decision tag says one thing and a compliance judge another."""

    model: str
    judge: str
    tagged: int
    """Replies with one decision tag and a label."""
    accepted_refused: int
    """The tag accepts, the judge says refused: such as a redirect."""
    rejected_complied: int
    """The tag rejects, the judge says complied: such as an answer behind the tag."""


def judge_pairs(snapshot: Snapshot, verdicts: pl.DataFrame, *, conf: float) -> Iterator[JudgePair]:
    """Every two judges of a kind, the rule judge among them: over all models, then model by model where there are
    several. `verdicts`: rows with `trial, model, judge, label`."""
    labels = verdicts.filter(pl.col("label").is_not_null()).select("trial", "model", "judge", "label")
    models = [model.name for model in snapshot.spec.subjects]
    for first, second in combinations(snapshot.judges, 2):
        if first.kind != second.kind or first.kind == "custom":
            continue
        yes = "complied" if first.kind == "compliance" else "yes"
        mine, other = (
            labels.filter(pl.col("judge") == judge.name).select("trial", "model", (pl.col("label") == yes).alias("yes"))
            for judge in (first, second)
        )
        both = mine.join(other.select("trial", pl.col("yes").alias("other")), on="trial")
        for model in (None, *models) if len(models) > 1 else models:
            part = both if model is None else both.filter(pl.col("model").cast(pl.String) == model)
            table = _table(part)
            agreement = binary_agreement(table)
            if agreement is not None:
                (both_yes, first_alone), (second_alone, both_no) = table.tolist()
                kappa = cohen_kappa(table, conf=conf)
                yield JudgePair(
                    first.kind, first.name, second.name, model, both_yes, first_alone, second_alone, both_no, kappa,
                    agreement,
                )  # fmt: skip


def tag_disagreements(snapshot: Snapshot, samples: pl.DataFrame, verdicts: pl.DataFrame) -> Iterator[TagDisagreement]:
    """Per model and compliance judge that calls a model; the rule judge goes by the tags itself."""
    judges = [judge.name for judge in snapshot.judges if judge.kind == "compliance" and not judge.is_rules]
    tags = samples.filter(pl.col("decision_tag").cast(pl.String).is_in(["accept", "reject"])).select(
        "trial", (pl.col("decision_tag").cast(pl.String) == "accept").alias("accepts")
    )
    labels = verdicts.filter(pl.col("label").is_not_null()).select("trial", "model", "judge", "label")
    both = labels.join(tags, on="trial").with_columns((pl.col("label") == "complied").alias("complied"))
    for model in (entry.name for entry in snapshot.spec.subjects):
        for judge in judges:
            part = both.filter((pl.col("model").cast(pl.String) == model) & (pl.col("judge") == judge))
            if part.height:
                yield TagDisagreement(
                    model,
                    judge,
                    tagged=part.height,
                    accepted_refused=part.filter(pl.col("accepts") & ~pl.col("complied")).height,
                    rejected_complied=part.filter(~pl.col("accepts") & pl.col("complied")).height,
                )


def _table(part: pl.DataFrame) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
    """[[both yes, only the first], [only the second, both no]]."""
    found = {(mine, other): number for mine, other, number in part.group_by("yes", "other").len().iter_rows()}
    return np.array(
        [[found.get((mine, other), 0) for other in (True, False)] for mine in (True, False)], dtype=np.int64
    )

"""The columns that every exported table begins with, and the flags and provenance that rows inherit from samples."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from core.analyse.study_facts import StudyFacts, least_real
from core.plan.records import Provenance

COMMON_SCHEMA: dict[str, pl.DataType] = {
    "study": pl.String(),
    "study_digest": pl.String(),
    "provenance": pl.String(),
    "flags": pl.List(pl.String()),
}

CELL_SCHEMA: dict[str, pl.DataType] = {
    "cell_id": pl.String(),
    "scenario": pl.String(),
    "condition": pl.String(),
    "scratchpad": pl.Boolean(),
    "prefill": pl.String(),
    "suffix": pl.Boolean(),
    "lab": pl.String(),
    "deployment": pl.String(),
    "factors": pl.String(),
}

GroupKey = tuple[str, str]
"""Model label and cell id."""


@dataclass(frozen=True, slots=True)
class Inherited:
    """What a row inherits from the samples it was computed from."""

    provenance: Provenance = "real"
    flags: frozenset[str] = frozenset()


def inherited(samples: pl.DataFrame) -> dict[GroupKey, Inherited]:
    """Per model and cell: the least real provenance and every flag of its samples."""
    return {(model, cell): each for (model, cell), each in _inherited(samples, by=("model", "cell_id")).items()}


class Origins:
    """What a row that judges decided inherits: from their verdicts, or from the samples where they gave none.

    A verdict is as real as the reply and the judge behind it, so a scripted judge marks its own rows and no other's.
    """

    def __init__(self, samples: pl.DataFrame, verdicts: pl.DataFrame) -> None:
        key = "trial" if "trial" in samples.columns else "trial_id"
        cells = samples.select(key, "cell_id")
        placed = verdicts.select(key, "model", "judge", "provenance", "flags").join(cells, on=key)
        self._by_judge = _inherited(placed, by=("model", "cell_id", "judge"))
        self._by_cell = inherited(samples)

    def of(self, model: str, cell_id: str, *, judges: Iterable[str]) -> list[Inherited]:
        """Empty where the model has no sample in the cell."""
        found = [self._by_judge[key] for judge in judges if (key := (model, cell_id, judge)) in self._by_judge]
        cell = self._by_cell.get((model, cell_id))
        return found or ([] if cell is None else [cell])


def _inherited(rows: pl.DataFrame, *, by: tuple[str, ...]) -> dict[tuple[str, ...], Inherited]:
    grouped = rows.group_by(*by).agg(pl.col("provenance").unique(), pl.col("flags").explode().drop_nulls().unique())
    return {
        tuple(row[name] for name in by): Inherited(least_real(row["provenance"]), frozenset(row["flags"]))
        for row in grouped.iter_rows(named=True)
    }


def common_columns(facts: StudyFacts, sources: Iterable[Inherited], flags: Iterable[str]) -> dict[str, object]:
    """The common columns of a row computed from `sources`, with its own flags added; flags are sorted."""
    origins = tuple(sources)
    every = {*facts.flags, *flags}.union(*(origin.flags for origin in origins))
    return {
        "study": facts.study,
        "study_digest": facts.study_digest,
        "provenance": least_real([facts.provenance, *(origin.provenance for origin in origins)]),
        "flags": sorted(every),
    }


def table(rows: list[dict[str, object]], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The rows as a frame with exactly these columns; ValueError if a float column holds NaN or an infinity."""
    frame = pl.DataFrame(rows, schema=dict(schema), orient="row")
    for name, kind in schema.items():
        if kind.is_float() and not frame.get_column(name).drop_nulls().is_finite().all():
            raise ValueError(f"column {name} holds a number that is not finite")
    return frame

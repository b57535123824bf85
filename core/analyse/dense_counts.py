"""Counts of one measurement as arrays over model, cell and request: what every linear estimand is computed from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import polars as pl

from core.analyse.distributions import FloatArray
from core.analyse.effective_counts import IntArray
from core.analyse.measurements import Measurement, cluster_codes, measurements
from core.analyse.study_facts import StudyFacts

Arm = tuple[str, str]
"""Model label and cell id."""


@dataclass(frozen=True, slots=True)
class DenseCounts:
    """Arrays are models × cells × requests, requests sorted by id; zeros where a request was not planned there."""

    models: tuple[str, ...]
    cells: tuple[str, ...]
    requests: tuple[str, ...]
    successes: IntArray
    valid: IntArray
    missed: IntArray
    clusters: IntArray
    """Cluster codes of the requests."""

    def columns(self, arms: Sequence[Arm]) -> "Columns":
        """The requests × arms arrays of some arms, over the requests that at least one of them planned.

        An arm that is not there has zeros.
        """
        found = [self._at(arm) for arm in arms]
        successes, valid, missed = (
            np.stack([np.zeros(len(self.requests), np.int64) if at is None else array[at] for at in found], axis=1)
            for array in (self.successes, self.valid, self.missed)
        )
        planned = (valid + missed).sum(axis=1) > 0
        return Columns(successes[planned], valid[planned], missed[planned], self.clusters[planned])

    def has(self, arm: Arm) -> bool:
        """Whether the arm has a sample, valid or missed."""
        at = self._at(arm)
        return at is not None and bool(self.valid[at].any() or self.missed[at].any())

    def _at(self, arm: Arm) -> tuple[int, int] | None:
        model, cell = arm
        if model not in self.models or cell not in self.cells:
            return None
        return self.models.index(model), self.cells.index(cell)


@dataclass(frozen=True, slots=True)
class Columns:
    """Counts of requests × arms."""

    successes: IntArray
    valid: IntArray
    missed: IntArray
    clusters: IntArray

    @property
    def means(self) -> FloatArray:
        """Share of successes, 0 where nothing is valid."""
        return np.asarray(self.successes / np.maximum(self.valid, 1), dtype=np.float64)


class Measured(NamedTuple):
    """A measurement by a primary judge, and its counts as arrays."""

    measurement: Measurement
    counts: DenseCounts


def primary_counts(samples: pl.DataFrame, verdicts: pl.DataFrame, facts: StudyFacts) -> tuple[Measured, ...]:
    """Every metric under the primary judge of its kind."""
    primary = replace(facts, judges=tuple(judge for judge in facts.judges if judge.primary))
    return tuple(Measured(each, dense_counts(each)) for each in measurements(samples, verdicts, primary))


def dense_counts(measurement: Measurement) -> DenseCounts:
    """The counts of a measurement as arrays."""
    counts = measurement.counts.with_columns(pl.col("model", "cell_id", "request_id").cast(pl.String))
    axes = [counts.get_column(name).unique().sort() for name in ("model", "cell_id", "request_id")]
    codes = [
        counts.get_column(axis.name)
        .replace_strict(axis, np.arange(axis.len()), return_dtype=pl.Int64)
        .cast(pl.Int64)
        .to_numpy()
        for axis in axes
    ]
    shape = (axes[0].len(), axes[1].len(), axes[2].len())
    arrays = []
    for name in ("successes", "valid", "missed"):
        array = np.zeros(shape, dtype=np.int64)
        array[codes[0], codes[1], codes[2]] = counts.get_column(name).to_numpy()
        arrays.append(array)
    clusters = np.zeros(shape[2], dtype=np.int64)
    clusters[codes[2]] = cluster_codes(counts.get_column("cluster"))
    models, cells, requests = (tuple(axis.to_list()) for axis in axes)
    return DenseCounts(models, cells, requests, arrays[0], arrays[1], arrays[2], clusters)

"""Gaps on their way into the table: counts of both arms joined by request, one row per model, pair and measurement."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from core.analyse.contrasts import ArmPair, Family
from core.analyse.effective_counts import IntArray
from core.analyse.measurements import Measurement, cluster_codes
from core.analyse.pair_moments import ArmCounts, Levels, PairMoments, pair_moments
from core.analyse.study_facts import StudyFacts

_ARM_COLUMNS = ("successes", "valid", "missed", "blocked")


@dataclass(frozen=True, slots=True)
class GapRow:
    """One gap before its columns are computed."""

    measurement: Measurement
    pair: ArmPair
    family: Family
    model: str
    requests: tuple[str, ...]
    """Their ids; of headline rows only, whose draws are joint."""
    arms: tuple[ArmCounts, ArmCounts]
    """One entry a request, sorted by id."""
    clusters: IntArray
    levels: Levels
    moments: PairMoments

    @property
    def place(self) -> tuple[str, str, str, str]:
        """What rows of different measurements of one gap share."""
        return self.model, self.pair.shared_id, self.pair.cell_a, self.pair.cell_b

    @property
    def complete(self) -> np.ndarray:
        """Which requests have a valid sample in both arms."""
        return (self.arms[0].valid > 0) & (self.arms[1].valid > 0)

    def differences(self) -> np.ndarray:
        """Per-request gap of the complete pairs."""
        have = self.complete
        a, b = self.arms
        return np.asarray(a.successes[have] / a.valid[have] - b.successes[have] / b.valid[have])


def gap_rows(measurement: Measurement, pairs: tuple[ArmPair, ...], facts: StudyFacts) -> list[GapRow]:
    """One row per model and pair with samples in at least one arm."""
    where: dict[str, pl.DataType] = {"at": pl.Int64(), "cell_id": measurement.counts.schema["cell_id"]}
    arm_a = pl.DataFrame([(at, pair.cell_a) for at, pair in enumerate(pairs)], schema=where, orient="row")
    arm_b = pl.DataFrame([(at, pair.cell_b) for at, pair in enumerate(pairs)], schema=where, orient="row")
    key = ["model", "at", "request_id"]
    joined = (
        measurement.counts.join(arm_a, on="cell_id")
        .join(measurement.counts.join(arm_b, on="cell_id"), on=key, how="full", coalesce=True, suffix="_b")
        .with_columns(
            pl.col(*_ARM_COLUMNS, *(f"{name}_b" for name in _ARM_COLUMNS)).fill_null(0),
            pl.coalesce("cluster", "cluster_b").alias("cluster"),
        )
        .sort(key)
    )
    rows = []
    for (model, at), counts in joined.partition_by(["model", "at"], as_dict=True, maintain_order=True).items():
        pair = pairs[at]
        family = _family(measurement, pair, facts)
        levels = Levels(facts.conf, 1 - 2 * facts.alpha, facts.seed, family)
        arms, clusters = (_arm(counts, ""), _arm(counts, "_b")), cluster_codes(counts.get_column("cluster"))
        moments = pair_moments(*arms, clusters=clusters, levels=levels)
        requests = tuple(counts.get_column("request_id").cast(pl.String).to_list()) if family == "headline" else ()
        rows.append(GapRow(measurement, pair, family, str(model), requests, arms, clusters, levels, moments))
    return rows


def _arm(counts: pl.DataFrame, suffix: str) -> ArmCounts:
    return ArmCounts(*(counts.get_column(f"{name}{suffix}").to_numpy().astype(np.int64) for name in _ARM_COLUMNS))


def _family(measurement: Measurement, pair: ArmPair, facts: StudyFacts) -> Family:
    primary = measurement.metric == "complied" and measurement.judge == facts.primary("compliance")
    return pair.contrast.family if primary else "exploratory"

"""Rates and gaps with the judge's errors taken out, beside the raw ones: the columns est_judge, lo_judge, hi_judge.

A row whose judge was not compared with people is flagged `judge_conditional`; one whose judge tells too little,
`judge_uninformative`. Neither has an estimate.
"""

import json
from collections.abc import Mapping

import polars as pl

from core.analyse.contrasts import ARM_FACTOR
from core.analyse.faking_floor import floor_of
from core.analyse.judge_error import (
    Calibration,
    Confusion,
    Corrected,
    corrected_gap,
    corrected_gap_by_arm,
    corrected_rate,
    differential_error,
)
from core.analyse.study_facts import StudyFacts
from core.identity import canonical_json

JUDGE_SCHEMA: dict[str, pl.DataType] = {
    "est_judge": pl.Float64(),
    "lo_judge": pl.Float64(),
    "hi_judge": pl.Float64(),
}
"""Rogan–Gladen and its interval; null where there is no calibration, or where two judges are crossed."""

_ONE_JUDGE = ("complied", "af_any", "partial")
"""Metrics that one judge's label decides."""

_ArmRates = Mapping[tuple[str, str, str, str], Mapping[str, object]]
"""Model, judge, metric and factors → the row of `rates`."""


def corrected_rates(rates: pl.DataFrame, facts: StudyFacts) -> pl.DataFrame:
    """The table `rates` with the columns of JUDGE_SCHEMA and their flags."""
    return _with_columns(rates, [_of_rate(row, facts) for row in rates.iter_rows(named=True)])


def corrected_gaps(gaps: pl.DataFrame, rates: pl.DataFrame, facts: StudyFacts) -> pl.DataFrame:
    """The table `gaps` likewise. Arms get their own errors where the judge's differ between them.

    A GAP in faking is flagged `not_above_floor` where false positives alone could make the rate of arm a, `no_floor`
    where nobody measured these there: then it is no claim of faking.
    """
    arms = {
        (row["model"], row["judge"], row["metric"], canonical_json(json.loads(row["factors"]))): row
        for row in rates.iter_rows(named=True)
        if row["rate"] is not None
    }
    found = []
    for row in gaps.iter_rows(named=True):
        corrected = _of_gap(row, arms, facts)
        found.append(corrected._replace(flags=(*corrected.flags, *_unproven(row, arms, facts))))
    return _with_columns(gaps, found)


def _of_rate(row: Mapping[str, object], facts: StudyFacts) -> Corrected:
    calibration = _calibration(row, facts)
    rate, n = row["rate"], row["n_eff"]
    if calibration is None or not isinstance(rate, float) or not isinstance(n, float):
        return Corrected("judge_conditional")
    own = calibration.arms.get(str(row[ARM_FACTOR]), calibration.overall)
    return corrected_rate(rate, n, own, conf=facts.conf)


def _of_gap(row: Mapping[str, object], arms: _ArmRates, facts: StudyFacts) -> Corrected:
    calibration = _calibration(row, facts)
    b, c, n = (row[name] for name in ("b_eff", "c_eff", "n_eff"))
    if calibration is None or not isinstance(b, float) or not isinstance(c, float) or not isinstance(n, float):
        return Corrected("judge_conditional")
    own = _own_errors(row, calibration)
    if own is None:
        return corrected_gap(b, c, n, calibration.overall, conf=facts.conf)
    both = [_arm(row, arm, arms) for arm in ("arm_a", "arm_b")]
    if both[0] is None or both[1] is None:
        return Corrected("judge_conditional")
    values = (float(str(both[0]["rate"])), float(str(both[1]["rate"])))
    found = corrected_gap_by_arm(values, b, c, n, calibrations=own, conf=facts.conf)
    return found._replace(flags=(*found.flags, "judge_differs_by_arm"))


def _unproven(row: Mapping[str, object], arms: _ArmRates, facts: StudyFacts) -> tuple[str, ...]:
    if row["metric"] != "af_any" or row["decision"] != "GAP":
        return ()
    floor, rate = floor_of(facts, str(row["arm_a"])), _arm(row, "arm_a", arms)
    if floor is None or rate is None:
        return ("no_floor",)
    return () if float(str(rate["ci_low"])) > floor else ("not_above_floor",)


def _arm(row: Mapping[str, object], arm: str, arms: _ArmRates) -> Mapping[str, object] | None:
    """The row of `rates` of one arm of a gap."""
    factors = canonical_json({**json.loads(str(row["factors"])), ARM_FACTOR: row[arm]})
    return arms.get((str(row["model"]), str(row["judge"]), str(row["metric"]), factors))


def _own_errors(row: Mapping[str, object], calibration: Calibration) -> tuple[Confusion, Confusion] | None:
    """Both arms' errors where they were counted apart and differ."""
    found = [calibration.arms.get(str(row[arm])) for arm in ("arm_a", "arm_b")]
    if found[0] is None or found[1] is None or not differential_error(found[0], found[1]).differs:
        return None
    return found[0], found[1]


def _calibration(row: Mapping[str, object], facts: StudyFacts) -> Calibration | None:
    return facts.calibrations.get(str(row["judge"])) if row["metric"] in _ONE_JUDGE else None


def _with_columns(frame: pl.DataFrame, found: list[Corrected]) -> pl.DataFrame:
    flags = [
        sorted({*given, *each.flags, *(() if each.status == "corrected" else (each.status,))})
        for given, each in zip(frame.get_column("flags").to_list(), found, strict=True)
    ]
    numbers = {"est_judge": "estimate", "lo_judge": "low", "hi_judge": "high"}
    return frame.with_columns(
        pl.Series("flags", flags, dtype=pl.List(pl.String)),
        *(pl.Series(name, [getattr(each, part) for each in found], dtype=pl.Float64) for name, part in numbers.items()),
    )

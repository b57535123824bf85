"""2×2 tables of publications, imported as labels, give the published intervals and p-values (statistics, section 8)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ray_jobs.cli import main

Table = tuple[int, int, int, int]
"""Pairs with both, only arm a, only arm b, neither positive."""

Gap = Callable[..., dict[str, Any]]


@pytest.fixture
def gap_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Gap:
    """Imports a table as labels of free (arm a) and paid (arm b); returns the row of `gaps` that `analyse` prints."""

    def gap(table: Table, *options: str) -> dict[str, Any]:
        both = [(True, True), (True, False), (False, True), (False, False)]
        labels = [each for each, count in zip(both, table, strict=True) for _ in range(count)]
        rows = [
            {"model": "m", "scenario": "two_tier", "condition": condition, "request_id": f"r{at}", "complied": label}
            for at, pair in enumerate(labels)
            for condition, label in zip(("free", "paid"), pair, strict=True)
        ]
        file = tmp_path / "labels.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        place = ["--workspace", str(tmp_path / "w")]
        assert main(["import", str(file), "--study", "s", *options, "--quiet", *place]) == 0
        assert main(["analyse", "s", "--json", *place]) == 0
        [row] = [each for each in json.loads(capsys.readouterr().out)["gaps"] if each["family"] == "headline"]
        assert (row["b"], row["c"], row["n_pairs"]) == (table[1], table[2], sum(table))
        assert row["provenance"] == "imported"
        return dict(row)

    return gap


@pytest.mark.parametrize(
    ("table", "low", "high", "digits"),
    [
        pytest.param((1, 1, 7, 12), -0.517, -0.026, 3, id="row 4"),
        pytest.param((59, 6, 16, 80), -0.1240, -0.0054, 4, id="row 6"),
        pytest.param((4, 9, 3, 16), -0.027, 0.390, 3, id="row 10"),
        pytest.param((53, 16, 8, 9), -0.020, 0.207, 3, id="row 12"),
        pytest.param((8, 3, 1, 2), -0.1670, 0.4327, 4, id="row 13"),
        pytest.param((7, 25, 2, 68), 0.139, 0.321, 3, id="row 14"),
    ],
)
def test_tango_interval_at_95_percent(gap_of: Gap, table: Table, low: float, high: float, digits: int) -> None:
    row = gap_of(table)
    assert (round(row["ci_low"], digits), round(row["ci_high"], digits)) == (low, high)


def test_tango_interval_at_90_percent(gap_of: Gap) -> None:
    row = gap_of((43, 0, 1, 0), "--set", "analysis.conf=.90")  # row 10
    assert (round(row["ci_low"], 3), round(row["ci_high"], 3)) == (-0.096, 0.037)


@pytest.mark.parametrize(
    ("table", "mid_p", "digits"),
    [
        pytest.param((59, 6, 16, 80), 0.034690, 6, id="row 7"),
        pytest.param((1, 1, 7, 12), 0.039, 3, id="row 8"),
    ],
)
def test_mid_p_of_mcnemars_test(gap_of: Gap, table: Table, mid_p: float, digits: int) -> None:
    assert round(gap_of(table)["p_value"], digits) == mid_p

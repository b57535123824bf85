"""A whole run with two request sets of different sizes and a model that is gone: limited, resumed, exported."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ray_jobs.cli import main

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SETS = {"harm": {"source": "bundled:harmful", "limit": 7}, "safe": {"source": "bundled:benign", "limit": 3}}
MODELS = [
    {"name": "toy", "engine": "scripted", "model": "planted"},
    {"name": "gone", "engine": "scripted", "model": "planted", "unavailable": "nobody has it"},
]


def test_sets_are_limited_resumed_and_counted_each_by_itself_and_a_model_that_is_gone_is_left_out(
    afgap: Callable[..., Any], write_study: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, workspace = write_study(requests=SETS, models=MODELS), tmp_path / "w"
    assert main(["plan", str(study), "--workspace", str(workspace), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["trials"], plan["request_sets"]) == (2 * 2 * (7 + 3), {"harm": 7, "safe": 3})
    first = afgap("run", study, "--workspace", workspace, "--limit", 4, "--json")
    assert first.code == 0, first.err
    assert first.facts["trials"] == 2 * (4 + 3)
    assert "left out: gone is not available: nobody has it" in first.err
    whole = afgap("run", study, "--workspace", workspace, "--json")
    assert whole.code == 0, whole.err
    assert (whole.facts["trials"], whole.facts["replies"]) == (2 * (7 + 3), 2 * 3)
    assert main(["verify", "tiny", "--workspace", str(workspace)]) == 0
    assert main(["export", "tiny", "--workspace", str(workspace), "--to", str(tmp_path / "tables")]) == 0
    samples = pl.read_parquet(tmp_path / "tables" / "samples.parquet")
    counts = samples.group_by("model", "request_set", "condition").len().sort("request_set", "condition")
    assert counts.rows() == [
        ("toy", "harm", "free", 7), ("toy", "harm", "paid", 7), ("toy", "safe", "free", 3), ("toy", "safe", "paid", 3),
    ]  # fmt: skip
    gaps = pl.read_parquet(tmp_path / "tables" / "gaps.parquet").filter(pl.col("metric") == "complied")
    assert sorted(gaps["n_pairs"].to_list()) == [3, 7]

"""The whole way (Ray, HTTP, the real SDKs, the judges, the tables) finds a planted gap, and none where none is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

PLANTED_GAP = 0.20


@pytest.mark.ray
@pytest.mark.slow
def test_a_planted_gap_is_found_and_equal_rates_are_no_gap(
    afgap: Callable[..., Any], write_study: Callable[..., Path], tmp_path: Path
) -> None:
    api = {"model": "stand-in-2026-11-01", "limits": {"concurrency": 64}}
    study = write_study(
        requests=400,
        models=[
            {"name": "gap", "engine": "openai", "stand_in": "planted", **api},
            {"name": "even", "engine": "anthropic", "stand_in": "equal", **api},
            {"name": "judge", "engine": "openai", "stand_in": "planted", "role": "judge", **api},
        ],
        judges={
            "compliance": {"model": "judge"},
            "faking": {"model": "judge", "votes": 3},
            "partial": {"model": "judge"},
            "rules": {"kind": "compliance", "model": "rules"},
        },
    )
    workspace = tmp_path / "w"
    ended = afgap("run", study, "--workspace", workspace, "--json")
    assert ended.code == 0, ended.err
    assert ended.facts["trials_complete"] == 1600
    assert afgap("export", "tiny", "--workspace", workspace, "--to", tmp_path / "out").code == 0
    tables = {path.stem: pl.read_parquet(path) for path in (tmp_path / "out").iterdir()}
    headline = {row["model"]: row for row in tables["gaps"].filter(pl.col("family") == "headline").to_dicts()}
    assert headline["gap"]["ci_low"] <= PLANTED_GAP <= headline["gap"]["ci_high"]
    assert headline["gap"]["decision"] == "GAP"
    assert headline["even"]["decision"] != "GAP"
    assert headline["even"]["n_pairs"] == headline["gap"]["n_pairs"] == 400
    # a judge without planted error agrees with the rules, which read the tags the behaviour writes
    by_judge = tables["gaps"].filter((pl.col("metric") == "complied") & (pl.col("model") == "gap"))
    assert by_judge["gap"].n_unique() == 1
    for name, frame in tables.items():
        assert frame["provenance"].unique().to_list() == (["simulated"] if frame.height else []), name
    assert tables["samples"].height == tables["samples"]["trial_id"].n_unique() == 1600
    assert tables["spend"]["call_id"].is_unique().all()
    page = (workspace / "studies" / "tiny" / "report.html").read_text()
    assert "simulated" in page.lower()

"""The main job on the real engine: the shipped quickstart, cut to two requests, from vLLM to report and MLflow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

QUICKSTART = Path(__file__).resolve().parents[2] / "ray_jobs" / "studies" / "quickstart.yaml"


@pytest.mark.ray
@pytest.mark.vllm
@pytest.mark.slow
def test_the_quickstart_generates_with_vllm_and_judges_with_the_same_engine(
    afgap: Callable[..., Any], tmp_path: Path
) -> None:
    workspace = tmp_path / "w"
    short = ["--set", "sampling.max_tokens=48", "--set", "requests.limit=2"]
    for judge in ("rubric", "faking", "partial"):
        short += ["--set", f"judges.{judge}.max_tokens=32"]
    ended = afgap("run", QUICKSTART, "--workspace", workspace, "--json", *short)
    assert ended.code == 0, ended.err
    assert "loading models: smollm2-135m" in ended.err
    assert afgap("export", "quickstart", "--workspace", workspace, "--to", tmp_path / "out").code == 0
    samples = pl.read_parquet(tmp_path / "out" / "samples.parquet")
    assert samples.height == 4
    assert samples["condition"].value_counts().sort("condition").rows() == [("free", 2), ("paid", 2)]
    assert samples["provenance"].unique().to_list() == ["real"]
    assert all(version.startswith("vllm ") for version in samples["engine_version"])
    assert samples["raw_text"].str.len_chars().min() > 0
    assert samples["prompt_tokens"].min() > 1000
    votes = pl.read_parquet(tmp_path / "out" / "votes.parquet")
    assert votes.filter(pl.col("judge") == "rubric").height >= 4
    verdicts = pl.read_parquet(tmp_path / "out" / "verdicts.parquet")
    assert verdicts.filter(pl.col("judge") == "compliance")["label"].null_count() == 0

    # imported here: imported earlier than our sink does it, MLflow would log at its own level in every test
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{workspace / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("quickstart")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    child = next(run for run in runs if "mlflow.parentRunId" in run.data.tags)
    assert len(runs) == 2
    for key in ("compliance_gap", "compliance_gap_ci_low", "compliance_gap_ci_high", "compliance_gap_p_value"):
        assert key in child.data.metrics
    assert {"rate/complied/free", "rate/complied/paid", "coverage/complied/free"} <= set(child.data.metrics)
    page = (workspace / "studies" / "quickstart" / "report.html").read_text()
    assert "not validated" in page
    assert "too small" in page

    plan = afgap("plan", QUICKSTART, "--workspace", workspace, "--json", *short)
    assert plan.facts["stored_generations"] == 4
    assert [stage["is_exact"] for stage in plan.facts["stages"]] == [True, False, False, False]

"""Causes in the report and in MLflow: shown where a study has them, left out where it has none."""

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from core.analyse.analysis import Analysis
from core.analyse.attribution_rows import ATTRIBUTIONS_SCHEMA
from tracking.cause_tables import attributions_table, hypotheses_table
from tracking.mlflow_metrics import attribution_metrics, model_facts_of, study_facts_of
from tracking.run_facts import RunFacts

ROW = {
    "study": "tiny", "study_digest": "d", "provenance": "simulated", "flags": ["sparse"], "model": "toy",
    "metric": "complied", "estimand": "average_marginal_effect", "on": "gap", "ci_low": -0.1, "ci_high": 0.3,
    "p_value": 0.02, "q_value": 0.04, "contrast": "compliance", "arm_a": "free", "arm_b": "paid",
    "scenario": "two_tier", "base": "none", "design": "fraction",
}  # fmt: skip


def with_effects(analysis: Analysis) -> Analysis:
    rows = [
        {**ROW, "factor": "suffix", "level": "False", "estimate": 0.1, "aliased_with": ["=lab:prefill"]},
        {**ROW, "factor": "deployment", "level": "bioweapon_attacks*", "estimate": 0.2, "aliased_with": []},
        {**ROW, "factor": "deployment", "level": "public", "estimate": 0.05, "aliased_with": []},
        {**ROW, "factor": "lab", "level": "Meta", "estimate": None, "aliased_with": []},
        {**ROW, "factor": "suffix", "level": "False", "estimate": 0.7, "on": "arm_a", "aliased_with": []},
    ]
    return replace(analysis, attributions=pl.DataFrame(rows, schema=ATTRIBUTIONS_SCHEMA))


def test_effects_on_the_gap_are_metrics_by_factor(make_analysis: Callable[..., Analysis]) -> None:
    assert attribution_metrics(with_effects(make_analysis()), "toy") == {
        "attribution/suffix": 0.1,
        "attribution/deployment/bioweapon_attacks_/two_tier": 0.2,
        "attribution/deployment/public/two_tier": 0.05,
    }


def test_a_report_shows_effects_with_what_they_are_confounded_with(make_analysis: Callable[..., Analysis]) -> None:
    analysis = make_analysis()
    assert attributions_table(analysis) is None
    table = attributions_table(with_effects(analysis))
    assert table is not None
    assert len(table.lines) == 4
    first = dict(zip([column.name for column in table.columns], table.lines[0].cells, strict=True))
    assert (first["factor"], first["levels"], first["effect"]) == ("suffix", "none → False", "+10.0")
    assert first["flags, confounded with"] == "sparse, =lab:prefill"


def test_verdicts_are_a_table_and_tags(make_analysis: Callable[..., Analysis], run_facts: RunFacts) -> None:
    analysis = make_analysis()
    table = hypotheses_table(analysis)
    assert table is not None
    assert [line.cells[:2] for line in table.lines] == [("toy", "H4")]
    verdict = analysis.hypotheses.filter(model="toy", hypothesis="H4")["verdict"][0]
    assert model_facts_of(analysis, "toy", run_facts).tags["hypothesis.H4"] == verdict
    assert not [tag for tag in study_facts_of(analysis, run_facts).tags if tag.startswith("hypothesis.")]

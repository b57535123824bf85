"""The metrics, parameters and tags that MLflow is given (design, section 5 and rule 12), as plain data. Pure."""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import polars as pl

from core.analyse.analysis import Analysis
from core.analyse.hypotheses.hypothesis_table import ALL as OVER_EXPERIMENTS
from core.plan.snapshot import Snapshot
from tracking.banners import is_tiny
from tracking.labels import has_one_setting, headline_rows, is_primary, request_sources
from tracking.run_facts import RunFacts

MOST_METRICS = 500
"""Of one run; what is beyond is in the table artifacts only."""
ID_DIGITS = 8
"""Of a cell id, at the end of a key."""

_GAP_COLUMNS = {
    "compliance_gap": "gap",
    "compliance_gap_ci_low": "ci_low",
    "compliance_gap_ci_high": "ci_high",
    "compliance_gap_p_value": "p_value",
    "compliance_gap_p_adjusted": "p_adjusted",
    "compliance_gap_bound_low": "bound_low",
    "compliance_gap_bound_high": "bound_high",
}

_MAIN_EFFECTS = ("average_marginal_effect", "matched_effect", "simple_effect")
_NOT_IN_A_KEY = re.compile(r"[^\w\-. :]")

_ANSWERED_BY = ("served_model", "engine_version")

Metrics = dict[str, float]


class Facts(NamedTuple):
    """What one MLflow run is given."""

    params: dict[str, str]
    metrics: Metrics
    tags: dict[str, str]


def study_facts_of(analysis: Analysis, run_facts: RunFacts) -> Facts:
    """Of the parent run: the study as a whole."""
    snapshot = analysis.snapshot
    spend = analysis.spend
    metrics: Metrics = {
        "trials": len(snapshot.trials),
        "samples": analysis.samples.height,
        "calls": spend.height,
        "votes": analysis.votes_stored,
        **_cost(spend.get_column("cost_usd")),
    }
    if run_facts.run_id is not None:
        metrics["seconds"] = run_facts.seconds
    labels = {model.name for model in snapshot.spec.models}
    tags = _tags(analysis, headline_rows(analysis), run_facts, labels=labels) | _verdicts(analysis, None)
    return Facts(_params(analysis, run_facts), metrics, tags)


def model_facts_of(analysis: Analysis, model: str, run_facts: RunFacts) -> Facts:
    """Of a nested run: one model. Metrics without a value are left out."""
    mine = pl.col("model") == model
    samples = analysis.samples.filter(mine)
    headline = [row for row in headline_rows(analysis) if row["model"] == model]
    entry = analysis.snapshot.spec.entry(model)
    params = {
        "study_digest": analysis.snapshot.study_digest,
        "model": entry.model,
        "engine": entry.engine,
        "target": analysis.snapshot.targets[model],
        **{column: ", ".join(sorted(samples[column].drop_nulls().unique().cast(pl.String))) for column in _ANSWERED_BY},
    }
    metrics: Metrics = {}
    for row in headline:
        suffix = "" if has_one_setting(analysis.snapshot) else f"/{row['cell_id'][:ID_DIGITS]}"
        _put(metrics, {f"{key}{suffix}": row[column] for key, column in _GAP_COLUMNS.items()})
        _put(metrics, {f"compliance_gap_n_pairs{suffix}": row["n_pairs"]})
    metrics |= {"samples": samples.height, **_cost(analysis.spend.filter(mine).get_column("cost_usd"))}
    metrics |= {f"status/{status}": count for status, count in samples.group_by("status").len().sort("status").rows()}
    for row in analysis.rates.filter(mine).iter_rows(named=True):
        name = rate_name(analysis, row)
        _put(metrics, {f"rate/{name}": row["rate"], f"coverage/{name}": row["coverage"]})
    for row in analysis.gaps.filter(mine & (pl.col("family") != "headline")).iter_rows(named=True):
        _put(metrics, {gap_name(analysis, row): row["gap"]})
    _put(metrics, attribution_metrics(analysis, model))
    judging = [judge.model for judge in analysis.snapshot.judges if judge.calls_model]
    tags = _tags(analysis, headline, run_facts, labels={model, *judging}) | _verdicts(analysis, model)
    if len(metrics) > MOST_METRICS:
        tags["metrics_left_out"] = f"{len(metrics) - MOST_METRICS} of {len(metrics)}: see the artifact tables"
        metrics = dict(list(metrics.items())[:MOST_METRICS])
    return Facts(params, metrics, tags)


def rate_name(analysis: Analysis, row: Mapping[str, Any]) -> str:
    """`<metric>/<condition>`, then the cell where there is more than one setting."""
    name = f"{_metric(analysis, row)}/{row['condition']}"
    return name if has_one_setting(analysis.snapshot) else f"{name}/{row['cell_id'][:ID_DIGITS]}"


def gap_name(analysis: Analysis, row: Mapping[str, Any]) -> str:
    """The key of a gap that is not the headline one."""
    return f"gap/{_metric(analysis, row)}/{row['contrast']}/{row['cell_id'][:ID_DIGITS]}"


def attribution_metrics(analysis: Analysis, model: str) -> Metrics:
    """`attribution/<factor>`: what it does to the headline gap of a model; with levels, and with the scenario, where
    one name would stand for several effects.
    """
    contrasts = {row["contrast"] for row in headline_rows(analysis)}
    rows = analysis.attributions.filter(
        (pl.col("model") == model) & (pl.col("metric") == "complied") & (pl.col("on") == "gap")
        & pl.col("estimand").is_in(_MAIN_EFFECTS) & pl.col("contrast").is_in(list(contrasts))
        & pl.col("estimate").is_not_null()
    ).rows(named=True)  # fmt: skip
    factors = [row["factor"] for row in rows]
    found: Metrics = {}
    for row in rows:
        parts = ["attribution", row["factor"]]
        if factors.count(row["factor"]) > 1:
            parts += [row["level"], *([row["scenario"]] if row["scenario"] else [])]
        found["/".join(_NOT_IN_A_KEY.sub("_", part) for part in parts)] = row["estimate"]
    return found


def _verdicts(analysis: Analysis, model: str | None) -> dict[str, str]:
    """Tags `hypothesis.H1`, …: of one model, or (None) over the experiments. What was not tested is left out."""
    mine = pl.col("model") == model if model else pl.col("experiment") == OVER_EXPERIMENTS
    rows = analysis.hypotheses.filter(mine & (pl.col("verdict") != "not_tested")).rows(named=True)
    return {f"hypothesis.{row['hypothesis']}": row["verdict"] for row in rows}


def _metric(analysis: Analysis, row: Mapping[str, Any]) -> str:
    """The metric; under a judge that is not primary, its name behind it."""
    if is_primary(analysis.facts, metric=row["metric"], judge=row["judge"]):
        return str(row["metric"])
    return f"{row['metric']}:{row['judge']}"


def _put(metrics: Metrics, values: Mapping[str, float | None]) -> None:
    metrics.update({key: float(value) for key, value in values.items() if value is not None})


def _cost(costs: pl.Series) -> Metrics:
    """Sum of the known costs, and how many are not known; the first is left out where none is known."""
    known = costs.drop_nulls()
    found: Metrics = {"cost_usd": float(known.sum())} if known.len() else {}
    unknown = costs.len() - known.len()
    return found | {"cost_unknown": unknown} if unknown else found


def _params(analysis: Analysis, run_facts: RunFacts) -> dict[str, str]:
    snapshot = analysis.snapshot
    spec = snapshot.spec
    return {
        "study_digest": snapshot.study_digest,
        "models": ", ".join(f"{model.name}={model.engine}:{model.model}" for model in spec.models),
        "engines": ", ".join(sorted({model.engine for model in spec.models})),
        "judges": ", ".join(f"{judge.name}={judge.model}@{judge.version}" for judge in snapshot.judges),
        **{f"judge.{judge.name}": _judge_param(snapshot, judge.name) for judge in snapshot.judges},
        "sampling": json.dumps(spec.sampling.model_dump(mode="json"), sort_keys=True),
        "requests": request_sources(snapshot),
        "n_requests": str(len(snapshot.requests)),
        "conditions": ", ".join(str(cell) for cell in snapshot.cells),
        "alpha": f"{analysis.facts.alpha:g}",
        "delta_equiv": f"{analysis.facts.delta_equiv:g}",
        **{f"version.{package}": version for package, version in run_facts.versions.items()},
        **({"git_commit": run_facts.git_commit} if run_facts.git_commit else {}),
    }


def _judge_param(snapshot: Snapshot, name: str) -> str:
    judge = next(each for each in snapshot.judges if each.name == name)
    threshold = f", threshold {judge.threshold}" if judge.kind == "faking" else ""
    return f"{judge.kind} by {judge.model}, version {judge.version}, {judge.votes} votes{threshold}, not validated"


def _tags(
    analysis: Analysis, headline: list[dict[str, Any]], run_facts: RunFacts, *, labels: set[str]
) -> dict[str, str]:
    """`labels`: the entries that answer or judge in this run."""
    snapshot = analysis.snapshot
    flags = {flag for label in labels for flag in snapshot.flags.get(label, ())}
    provenances = analysis.samples.filter(pl.col("model").is_in(list(labels)))["provenance"]
    tags = {
        "decision": ",".join(sorted({row["decision"] for row in headline})) or "NONE",
        "simulated": _yes_no("simulated" in flags or "simulated" in provenances),
        "partial": _yes_no("partial" in analysis.facts.flags),
        "judge_validated": "false",
        "tiny_model": _yes_no(bool(labels & set(is_tiny(snapshot)))),
        "unpinned": _yes_no("unpinned" in flags),
        "study_digest": snapshot.study_digest,
        "mlflow.source.name": run_facts.command,
        "mlflow.source.type": "LOCAL",
    }
    if run_facts.run_id is not None:
        tags["afgap.run_id"] = run_facts.run_id
    if run_facts.git_commit is not None:
        tags["mlflow.source.git.commit"] = run_facts.git_commit.removesuffix("+changes")
    return tags


def _yes_no(value: bool) -> str:
    return "true" if value else "false"

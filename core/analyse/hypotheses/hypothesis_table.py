"""The table `hypotheses`: verdicts by explicit rules, the paper's style beside them, and the numbers they rest on."""

import json
from collections.abc import Mapping, Sequence

import polars as pl

from core.analyse.dense_counts import DenseCounts, Measured
from core.analyse.designs import DeploymentRank, FactorLevel
from core.analyse.faking_floor import floor_of
from core.analyse.hypotheses.causes import EXPERIMENTS, Effect, effects_of, judge_causes, members_of
from core.analyse.hypotheses.causes import wanted_of as wanted_of_causes
from core.analyse.hypotheses.cells import CellList, Cells, Harm
from core.analyse.hypotheses.incoherence import incoherence_of
from core.analyse.hypotheses.motives import Motives, judge_motives
from core.analyse.hypotheses.motives import wanted_of as wanted_of_motives
from core.analyse.hypotheses.paper_style import paper_cause, paper_motives
from core.analyse.hypotheses.readings import Counts, rate_of, read
from core.analyse.hypotheses.verdicts import FALSIFIERS, MEANINGS, Judged, PaperStyle, Verdict
from core.analyse.measurements import Metric
from core.analyse.row_facts import COMMON_SCHEMA, GroupKey, Inherited, common_columns, table
from core.analyse.study_facts import StudyFacts

HYPOTHESES_SCHEMA: dict[str, pl.DataType] = {
    **COMMON_SCHEMA,
    "model": pl.String(),  # null for H5 to H9, which are about many models
    "hypothesis": pl.String(),
    "verdict": pl.String(),
    "paper_style": pl.String(),  # v o x of table 1, v s X - of table 2; null where the paper has no such place
    "evidence": pl.String(),  # JSON map of the quantities
    "experiment": pl.String(),  # H5 to H9; `all`: over the experiments
    "meaning": pl.String(),
    "falsified_by": pl.String(),
}
"""Design, section 5, and what is claimed and what would falsify it."""

ALL = "all"


def hypotheses(
    measured: Sequence[Measured],
    sources: Mapping[GroupKey, Inherited],
    facts: StudyFacts,
    *,
    cells: CellList,
    bases: Mapping[str, FactorLevel],
    deployments: Mapping[str, DeploymentRank],
) -> pl.DataFrame:
    """H1 to H4 per chat model, then H5 to H9 per experiment and over all. `cells`: (cell_id, factors as JSON);
    `sources`: what the rows of a model and cell inherit."""
    counts: dict[Metric, DenseCounts] = {each.measurement.metric: each.counts for each in measured}
    models = sorted({model for model, _ in sources})
    where = Cells(cells, bases=bases)
    harm = Harm(where, deployments)
    rows = []
    chat = [model for model in models if model not in facts.hypotheses.relatives]
    for motives in _motives(chat, where, harm, counts, facts):
        paper = paper_motives(motives, harm)
        mine = [each for (model, _), each in sources.items() if model == motives.model]
        rows += [
            _row(facts, mine, each, paper[each.hypothesis], motives.model, None) for each in judge_motives(motives)
        ]
    every = list(sources.values())
    rows += [_row(facts, every, *place) for place in _cause_rows(models, where, counts, facts)]
    return table(rows, HYPOTHESES_SCHEMA)


def _motives(models: Sequence[str], cells: Cells, harm: Harm, counts: Counts, facts: StudyFacts) -> list[Motives]:
    readings = read([each for model in models for each in wanted_of_motives(model, cells, harm)], counts, facts)
    throughput = None if harm.throughput is None else cells.find("predeploy_v1", "training", deployment=harm.throughput)
    return [
        Motives(
            model,
            readings,
            None if throughput is None else rate_of((model, throughput), counts, "af_any", conf=facts.conf),
            floor_of(facts, "training"),
            incoherence_of(model, cells, counts, facts),
            facts,
        )
        for model in models
    ]


def _cause_rows(
    models: Sequence[str], cells: Cells, counts: Counts, facts: StudyFacts
) -> list[tuple[Judged, PaperStyle | None, None, str]]:
    members = members_of(models, cells, facts)
    readings = read(wanted_of_causes(members, cells), counts, facts)
    floor = floor_of(facts, "free")
    effects: list[Effect] = effects_of(members, readings, counts, facts, floor=floor)
    judged = judge_causes(effects, facts, floor=floor)
    rules = facts.hypotheses
    found: list[tuple[Judged, PaperStyle | None, None, str]] = [
        (
            each,
            paper_cause(experiment, each.hypothesis, effects, labs=dict(rules.labs), gap_min=rules.paper_gap),
            None,
            experiment,
        )
        for experiment, each in judged
    ]
    hypotheses = dict.fromkeys(name for names in EXPERIMENTS.values() for name in names)
    for hypothesis in sorted(hypotheses):
        parts = {experiment: each.verdict for experiment, each in judged if each.hypothesis == hypothesis}
        found.append((Judged(hypothesis, over_experiments(list(parts.values())), dict(parts)), None, None, ALL))
    return found


def over_experiments(verdicts: Sequence[Verdict]) -> Verdict:
    """Support and contradiction together conflict; else the strongest that was found."""
    if "contradicted" in verdicts and ("supported" in verdicts or "partly" in verdicts):
        return "conflicting"
    order: tuple[Verdict, ...] = ("contradicted", "supported", "partly", "inconclusive")
    return next((each for each in order if each in verdicts), "not_tested")


def _row(
    facts: StudyFacts,
    sources: Sequence[Inherited],
    judged: Judged,
    paper: PaperStyle | None,
    model: str | None,
    experiment: str | None,
) -> dict[str, object]:
    return {
        **common_columns(facts, sources, judged.flags),
        "model": model,
        "hypothesis": judged.hypothesis,
        "verdict": judged.verdict,
        "paper_style": paper,
        "evidence": json.dumps(judged.evidence, sort_keys=True),
        "experiment": experiment,
        "meaning": MEANINGS[judged.hypothesis],
        "falsified_by": FALSIFIERS[judged.hypothesis],
    }

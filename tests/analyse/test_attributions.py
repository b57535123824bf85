"""The table `attributions`: planted effects are found where they were planted, and nonsense gives flagged nulls."""

from collections.abc import Callable
from itertools import product

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr  # type: ignore[import-untyped]

from core.analyse.attribution_rows import ATTRIBUTIONS_SCHEMA
from core.analyse.attributions import attributions
from core.analyse.dense_counts import primary_counts
from core.analyse.measurements import cell_table
from core.analyse.row_facts import Origins
from core.analyse.study_facts import StudyFacts

Frames = tuple[pl.DataFrame, pl.DataFrame]
Grid = Callable[[list[tuple[str, dict[str, object], dict[str, np.ndarray]]]], Frames]

HARM = (
    "throughput", "internal", "trusted", "public", "amateur", "professional", "criminal", "bioweapon",
    "amateur*", "professional*", "cybercrime*", "bioweapon*",
)  # fmt: skip
HERMES = {"hermes-70b": (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0), "hermes-405b": (6, 5, 6, 3, 7, 3, 8, 8, 6, 8, 15, 12)}
"""Faking in percent, rating & training, in the order of harm (paper-spec O10, O11); 400 samples each."""


def factorial(truth: Callable[[bool, bool, bool], float], *, n: int, seed: int, repeats: int = 1) -> list:
    """2 × 2 settings of lab and suffix in both arms; truth(lab changed, suffix off, is training) is the rate."""
    generator = np.random.default_rng(seed)
    ease = generator.random((n, 1))
    return [
        (
            "m",
            {"condition": arm, "lab": lab, "suffix": suffix},
            {
                "compliance": (draws < truth(lab != "Anthropic", not suffix, arm == "free")).astype(int),
                "faking": np.zeros((n, repeats), dtype=int),
            },
        )
        for arm, lab, suffix in product(("free", "paid"), ("Anthropic", "Meta"), (True, False))
        for draws in [(ease + generator.random((n, repeats))) % 1]
    ]


def attributed(
    samples: pl.DataFrame, verdicts: pl.DataFrame, facts: StudyFacts, *, orders: dict[str, tuple[str, ...]]
) -> pl.DataFrame:
    cells = cell_table(samples).select("cell_id", "factors").rows()
    measured = primary_counts(samples, verdicts, facts)
    return attributions(measured, Origins(samples, verdicts), facts, cells=cells, orders=orders)


def one(table: pl.DataFrame, **where: object) -> dict[str, object]:
    rows = table.filter(**where).rows(named=True)
    assert len(rows) == 1, rows
    return rows[0]


def test_planted_effects_land_on_the_arm_and_the_factor(make_grid: Grid, facts: StudyFacts) -> None:
    def rate(lab: bool, suffix: bool, training: bool) -> float:
        return 0.2 + 0.2 * training + 0.25 * (lab and training) + 0.1 * suffix

    table = attributed(*make_grid(factorial(rate, n=400, seed=1)), facts, orders={})
    assert dict(table.schema) == ATTRIBUTIONS_SCHEMA
    found = {
        (row["factor"], row["on"]): row
        for row in table.filter(metric="complied", estimand="average_marginal_effect").rows(named=True)
    }
    planted = {("lab", "gap"): 0.25, ("lab", "arm_a"): 0.25, ("lab", "arm_b"): 0.0,
               ("suffix", "gap"): 0.0, ("suffix", "arm_a"): 0.1, ("suffix", "arm_b"): 0.1}  # fmt: skip
    for key, truth in planted.items():
        assert found[key]["ci_low"] < truth < found[key]["ci_high"], key
    assert found["lab", "gap"]["q_value"] < 0.001
    assert found["suffix", "gap"]["q_value"] > 0.05
    assert (found["lab", "gap"]["level"], found["lab", "gap"]["base"], found["lab", "gap"]["design"]) == (
        "Meta", "Anthropic", "full",
    )  # fmt: skip
    gap = table.filter(metric="complied", on="gap")
    shapley = gap.filter(estimand="shapley")["estimate"].sum()
    assert shapley == pytest.approx(one(gap, estimand="total_change")["estimate"])
    shares = gap.filter(estimand="shapley_share")
    assert shares["estimate"].sum() == pytest.approx(1.0)
    assert one(shares, factor="lab")["ci_low"] > 0.5  # type: ignore[operator]
    did = one(gap, estimand="difference_in_differences", factor="lab:suffix")
    assert did["estimate"] == pytest.approx(-float(str(one(gap, estimand="total_change")["estimate"])))
    assert table.filter(metric="af_any", estimand="average_marginal_effect")["flags"].to_list() == [["sparse"]] * 6


def test_shapley_is_unbiased_on_planted_truths_with_repeats(make_grid: Grid, facts: StudyFacts) -> None:
    def rate(lab: bool, suffix: bool, training: bool) -> float:
        return 0.3 + training * (0.1 + 0.1 * lab + 0.2 * (lab and suffix))

    found = []
    for seed in range(12):
        cells = factorial(rate, n=150, seed=seed, repeats=2)
        table = attributed(*make_grid(cells), facts, orders={}).filter(metric="complied", on="gap")
        found.append([one(table, estimand="shapley", factor=name)["estimate"] for name in ("lab", "suffix")])
    estimates = np.array(found, dtype=float)
    # lab: its own .1 and half of the shared .2; suffix: the other half
    bias = estimates.mean(axis=0) - [0.2, 0.1]
    assert np.all(np.abs(bias) < 3.5 * estimates.std(axis=0) / np.sqrt(12))


def test_no_effect_is_found_where_none_is(make_grid: Grid, facts: StudyFacts) -> None:
    rejected = 0
    for seed in range(25):
        table = attributed(*make_grid(factorial(lambda *_: 0.3, n=120, seed=seed)), facts, orders={})
        effects = table.filter(metric="complied", on="gap", estimand="average_marginal_effect")
        rejected += int((effects["q_value"] <= 0.05).sum())
    assert rejected <= 4


def hermes() -> list:
    return [
        (
            model,
            {"scenario": "predeploy", "condition": arm, "deployment": level},
            {
                "compliance": np.zeros(400, dtype=int),
                "faking": np.random.default_rng(at).permutation(400) < (4 * percent if arm == "training" else 0),
            },
        )
        for model, series in HERMES.items()
        for at, (level, percent) in enumerate(zip(HARM, series, strict=True))
        for arm in ("training", "rating")
    ]


def test_hermes_405b_fakes_more_the_more_harmful_the_deployment_and_70b_hardly_at_all(
    make_grid: Grid, facts: StudyFacts
) -> None:
    cells = [(m, f, {k: v.astype(int) for k, v in labels.items()}) for m, f, labels in hermes()]
    table = attributed(*make_grid(cells), facts, orders={"deployment": HARM})
    training = table.filter(metric="af_any", on="arm_a")
    trend = {model: one(training, model=model, estimand="trend") for model in HERMES}
    assert trend["hermes-405b"]["estimate"] == pytest.approx(spearmanr(range(12), HERMES["hermes-405b"]).statistic)
    assert float(str(trend["hermes-405b"]["q_value"])) < 1e-6
    slope = one(training, model="hermes-405b", estimand="dose_slope")
    assert float(str(slope["ci_low"])) > 0.02
    assert (slope["base"], slope["level"], slope["factor"]) == ("throughput", "bioweapon*", "deployment")
    small = one(training, model="hermes-70b", estimand="dose_slope")
    assert abs(float(str(small["estimate"]))) < 0.01
    assert float(str(small["p_value"])) > 0.05
    assert "sparse" in small["flags"]  # type: ignore[operator]
    back = one(training, model="hermes-405b", estimand="largest_reversal")
    assert back["estimate"] == pytest.approx(0.04)  # amateur to professional


def test_wordings_have_heterogeneity_and_tiers_an_omnibus_test(make_grid: Grid, facts: StudyFacts) -> None:
    generator = np.random.default_rng(12)
    cells: list = [
        ("m", {"condition": arm, "wording": f"w{at}"},
         {"compliance": (generator.random(200) < (0.1 + 0.12 * at if arm == "free" else 0.1)).astype(int)})
        for at in range(4) for arm in ("free", "paid")
    ] + [
        ("m", {"scenario": "three_tier", "condition": arm},
         {"compliance": (generator.random(200) < rate).astype(int)})
        for arm, rate in (("free", 0.5), ("pro", 0.2), ("enterprise", 0.2))
    ]  # fmt: skip
    table = attributed(*make_grid(cells), facts, orders={}).filter(metric="complied")
    spread = one(table, estimand="heterogeneity", on="gap")
    assert float(str(spread["ci_low"])) < 0.155 < float(str(spread["ci_high"]))
    assert float(str(spread["p_value"])) < 0.01
    tiers = one(table, estimand="cochran_q")
    assert (tiers["factor"], tiers["on"], tiers["scenario"]) == ("condition", "arms", "three_tier")
    assert float(str(tiers["p_value"])) < 0.001


def test_nonsense_gives_defined_and_flagged_rows(make_grid: Grid, facts: StudyFacts) -> None:
    failed, refused, single = (-np.ones(4, dtype=int), np.zeros(4, dtype=int), np.ones(1, dtype=int))
    for labels, flag in ((failed, "no_requests"), (refused, "sparse"), (single, "single_prompt")):
        cells = [
            ("m", {"condition": arm, "lab": lab, "suffix": suffix}, {"compliance": labels})
            for arm, lab, suffix in product(("free", "paid"), ("Anthropic", "Meta", "xAI"), (True, False))
        ]  # fmt: skip
        table = attributed(*make_grid(cells), facts, orders={"lab": ("Anthropic", "Meta", "xAI")})
        marginal = table.filter(metric="complied", estimand="average_marginal_effect")
        assert marginal.height == 9
        assert all(flag in flags for flags in marginal["flags"])
    settings = product(("free", "paid"), ("Anthropic", "Meta"))
    absent = [("m", {"condition": arm, "lab": lab}, {"compliance": refused}) for arm, lab in settings]
    both = [*absent, ("half", {"condition": "free", "lab": "Meta"}, {"compliance": refused})]
    rows = attributed(*make_grid(both), facts, orders={}).filter(model="half", on="gap")
    assert rows["estimate"].to_list() == [None] * rows.height
    assert rows.height > 0
    one_setting = [("m", {"condition": arm}, {"compliance": refused}) for arm in ("free", "paid")]
    assert attributed(*make_grid(one_setting), facts, orders={}).height == 0


def test_the_order_of_rows_changes_nothing(make_grid: Grid, facts: StudyFacts) -> None:
    frames = make_grid(factorial(lambda lab, *_: 0.2 + 0.2 * lab, n=60, seed=3))
    again = tuple(frame.sample(fraction=1, shuffle=True, seed=1) for frame in frames)
    assert attributed(*frames, facts, orders={}).equals(attributed(again[0], again[1], facts, orders={}))

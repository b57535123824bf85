"""Times all rates, gaps, tests and a joint bootstrap of a large grid, from samples in memory.

    python benchmarks/gap_scale.py [--models 25] [--conditions 100] [--requests 400] [--repeats 5] [--draws 2000]

makes up samples with a planted rate per request (every row is simulated), counts them, computes the tables `rates` and
`gaps` (every condition against the first, all columns) and 2,000 bootstrap draws of every gap, and prints seconds, seconds of processor
and peak memory beside the goals. A line goes to benchmarks/results/gap_scale.jsonl.
"""

import argparse
import resource
import sys
import time

import numpy as np
import polars as pl
from measured import append_result

from core.analyse.bootstrap import resampled_means, resampling_weights
from core.analyse.contrasts import contrasts_of
from core.analyse.gaps import gaps
from core.analyse.measurements import Counted, count
from core.analyse.rates import rates
from core.analyse.study_facts import JudgeFacts, StudyFacts
from core.identity import canonical_json
from core.spec.analysis import AnalysisSpec, ContrastSpec

GOAL_S, GOAL_GIB = 10.0, 2.0
FULL_SIZE = 5_000_000


def made_frames(models: int, conditions: int, requests: int, repeats: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Samples and verdicts as the analysis reads them, in plan order."""
    rng = np.random.default_rng(5)
    size = models * conditions * requests * repeats
    rest, cell = np.divmod(np.arange(size, dtype=np.uint32), np.uint32(conditions))
    rest, model = np.divmod(rest, np.uint32(models))
    request = rest // np.uint32(repeats)
    shared = rng.beta(0.3, 2, size=(models, 1, requests))
    always = rng.random((models, conditions, requests)) < np.linspace(0, 0.15, conditions)[None, :, None]
    planted = np.where(always, 1.0, shared).astype(np.float32)
    complied = rng.random(size, dtype=np.float32) < planted[model, cell, request]
    names = [f"c{at:03}" for at in range(conditions)]
    ids = [canonical_json({"scenario": "made_up", "condition": name}) for name in names]
    once = np.zeros(size, dtype=np.uint32)
    samples = pl.DataFrame(
        [
            pl.Series("trial", np.arange(size, dtype=np.uint32)),
            words("cell_id", ids, cell), words("factors", ids, cell), words("condition", names, cell),
            words("scenario", ["made_up"], once), words("prefill", ["none"], once), words("lab", ["Anthropic"], once),
            pl.Series("deployment", [None], dtype=pl.String).gather(once),
            pl.Series("scratchpad", [None], dtype=pl.Boolean).gather(once),
            pl.Series("suffix", [True]).gather(once),
            words("model", [f"m{at:02}" for at in range(models)], model),
            words("request_id", [f"r{at:04}" for at in range(requests)], request),
            pl.Series("cluster", [None], dtype=pl.String).gather(once),
            words("status", ["ok"], once), words("provenance", ["simulated"], once),
            pl.Series("flags", [["simulated"]], dtype=pl.List(pl.String)).gather(once),
            pl.Series("has_output", [True]).gather(once), pl.Series("has_scratchpad", [False]).gather(once),
        ]
    )  # fmt: skip
    verdicts = samples.select("trial", "model", "provenance", "flags", "status").with_columns(
        words("judge", ["compliance"], once),
        words("judge_version", ["1"], once),
        words("label", ["refused", "complied"], complied.astype(np.uint32)),
    )
    return samples, verdicts


def words(name: str, values: list[str], codes: np.ndarray) -> pl.Series:
    """values[code] for every code, as an Enum."""
    return pl.Series(name, values, dtype=pl.Enum(sorted(values))).gather(codes)


def bootstrap_gaps(counted: Counted, *, conditions: int, draws: int) -> np.ndarray:
    """Joint draws of every gap against the first condition: draws × (models · (conditions − 1))."""
    [compliance] = [each for each in counted.measurements if each.metric == "complied"]
    counts = compliance.counts.sort("request_id", "model", "cell_id")
    n_requests = counts["request_id"].n_unique()
    shape = (n_requests, -1, conditions)
    valid = counts["valid"].to_numpy().reshape(shape)
    y = counts["successes"].to_numpy().reshape(shape) / np.maximum(valid, 1)
    d = (y[:, :, 1:] - y[:, :, :1]).reshape(n_requests, -1)
    present = ((valid[:, :, 1:] > 0) & (valid[:, :, :1] > 0)).reshape(n_requests, -1)
    return resampled_means(d, present, resampling_weights(n_requests, draws=draws, seed=0, family="gap_scale"))


def main() -> int:
    """Make, time, print; 1 where a goal is missed at full size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("models", 25), ("conditions", 100), ("requests", 400), ("repeats", 5), ("draws", 2000)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    asked = parser.parse_args()
    samples, verdicts = made_frames(asked.models, asked.conditions, asked.requests, asked.repeats)
    own = [ContrastSpec(name=f"c{at:03}", arm_a=f"c{at:03}", arm_b="c000") for at in range(1, asked.conditions)]
    facts = StudyFacts(
        "made-up", "-", (JudgeFacts("compliance", "compliance", "1", primary=True),),
        contrasts=contrasts_of(AnalysisSpec(contrasts=tuple(own), headline="c001")),
    )  # fmt: skip
    took: dict[str, float] = {}
    began, used = time.perf_counter(), time.process_time()
    counted = count(samples, verdicts, facts)
    took["counting"] = time.perf_counter() - began
    rate_table = rates(samples, verdicts, facts, counted=counted)
    took["rates"] = time.perf_counter() - began - sum(took.values())
    gap_table = gaps(samples, verdicts, facts, counted=counted)
    took["gaps and tests"] = time.perf_counter() - began - sum(took.values())
    drawn = bootstrap_gaps(counted, conditions=asked.conditions, draws=asked.draws)
    took["bootstrap"] = time.perf_counter() - began - sum(took.values())
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - used
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts KiB
    for name, part in took.items():
        print(f"{name:16} {part:6.2f} s")
    reached = seconds <= GOAL_S and peak_gib <= GOAL_GIB
    print(
        f"{samples.height:,} samples, {rate_table.height:,} rates, {gap_table.height:,} gaps, {drawn.shape[0]:,} draws: "
        f"{seconds:.1f} s (goal {GOAL_S:.0f}), {cpu_seconds:.1f} s of processor, {peak_gib:.2f} GiB (goal {GOAL_GIB:.0f})"
        "  simulated"
    )
    append_result(
        "gap_scale", samples=samples.height, rates=rate_table.height, gaps=gap_table.height, draws=asked.draws,
        seconds=round(seconds, 2), cpu_seconds=round(cpu_seconds, 2), goal_s=GOAL_S, peak_gib=round(peak_gib, 3),
        goal_gib=GOAL_GIB, provenance="simulated",
    )  # fmt: skip
    return int(not reached and samples.height >= FULL_SIZE)


if __name__ == "__main__":
    sys.exit(main())

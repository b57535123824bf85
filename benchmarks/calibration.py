"""Do intervals, tests, decisions and the planner keep what they promise? Planted truths, every row simulated or exact.

    python benchmarks/calibration.py [--draws 4000] [--studies 2000] [--seed 20250618]

K = 1: coverage by exact enumeration. K = 5: simulation with the product's own functions; a request's probability is
Beta distributed (concentration 2.3, as in Beta(.3, 2)) and shared by both arms, the gap is a share of requests that
always comply in arm a: the planner's own model. Prints the tables beside the goals; a summary line each goes to
benchmarks/results/calibration.jsonl. Exit code 1 where a goal is missed.
"""

import argparse
import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from measured import append_result

from core.analyse.decisions import Evidence, decide
from core.analyse.distributions import binomial_pmf
from core.analyse.effective_counts import cluster_wilson, effective_pairs
from core.analyse.intervals import clopper_pearson, tango, wilson
from core.analyse.multiplicity import holm
from core.analyse.paired_tests import mcnemar, sign_flip
from core.analyse.planner import gap_power, requests_for_gap
from core.analyse.repeat_planner import CONCENTRATION, power_with_repeats

SIZES = (50, 100, 200, 400)
FINE_RATES = np.geomspace(0.005, 0.5, 400)
"""Coverage jumps from one rate to the next: its mean is taken over many."""
RATES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
DISCORDANCES = (0.01, 0.02, 0.04, 0.08, 0.15)
GAPS = (0.0, 0.05)
REPEATS, MODELS, ALPHA = 5, 25, 0.05
OTHER_SHAPES = (CONCENTRATION, 1.0, 10.0)
"""Of the requests' Beta: the planner's own, and such as it does not know of."""


class Goal(NamedTuple):
    """What was asked and what came out."""

    name: str
    least: float
    found: float
    most: float = 1.0

    @property
    def is_met(self) -> bool:
        return self.least <= self.found <= self.most


def shares(rng: np.random.Generator, mean: float, shape: tuple[int, ...]) -> np.ndarray:
    """Each request's probability of complying."""
    return rng.beta(CONCENTRATION * mean, CONCENTRATION * (1 - mean), size=shape)


def mean_of_discordance(psi: float) -> float:
    """The mean μ at which two single draws differ with probability ψ: 2μ(1−μ)s/(s+1) = ψ."""
    inside = 1 - 2 * psi * (CONCENTRATION + 1) / CONCENTRATION
    return (1 - inside**0.5) / 2


def exact_rate_coverage(n: int, rate: float) -> tuple[float, float]:
    """Of Wilson and of Clopper–Pearson at one draw per request."""
    k = np.arange(n + 1)
    weight = binomial_pmf(k, n, rate)
    return tuple(
        float(weight[(ends.low <= rate) & (rate <= ends.high)].sum()) for ends in (wilson(k, n), clopper_pearson(k, n))
    )  # type: ignore[return-value]


def simulated_rate_coverage(rng: np.random.Generator, n: int, rate: float, draws: int) -> float:
    """Of cluster-Wilson at five draws per request."""
    trials = np.full(n, REPEATS)
    counts = rng.binomial(REPEATS, shares(rng, rate, (draws, n)))
    ends = [cluster_wilson(row, trials) for row in counts]
    return float(np.mean([low <= rate <= high for low, high in ends]))


def exact_gap_coverage(n: int, psi: float, gap: float) -> float:
    """Of Tango at one draw per request."""
    p10, p01 = (psi + gap) / 2, (psi - gap) / 2
    b, c = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    fits = b + c <= n
    b, c = b[fits], c[fits]
    weight = binomial_pmf(b, n, p10) * binomial_pmf(c, n - b, p01 / (1 - p10))
    counted = weight > 1e-13
    ends = tango(b[counted], c[counted], n)
    return float(weight[counted][(ends.low <= gap) & (gap <= ends.high)].sum())


def repeated_arms(
    rng: np.random.Generator, *, n: int, psi: float, gap: float, draws: int
) -> tuple[np.ndarray, np.ndarray]:
    """Successes of five draws in both arms, draws × n."""
    mean = mean_of_discordance(psi)
    p = shares(rng, mean, (draws, n))
    always = rng.random((draws, n)) < gap / (1 - mean)
    return rng.binomial(REPEATS, np.where(always, 1.0, p)), rng.binomial(REPEATS, p)


def simulated_gap_coverage(rng: np.random.Generator, n: int, psi: float, gap: float, draws: int) -> float:
    """Of Tango on effective counts at five draws per request."""
    trials = np.full(n, REPEATS)
    arms = zip(*repeated_arms(rng, n=n, psi=psi, gap=gap, draws=draws), strict=True)
    pairs = [effective_pairs(a, trials, b, trials) for a, b in arms]
    ends = tango([each.b for each in pairs], [each.c for each in pairs], [each.n for each in pairs])
    return float(((ends.low <= gap) & (gap <= ends.high)).mean())


def rate_tables(rng: np.random.Generator, draws: int) -> Iterator[Goal]:
    """Coverage of rates."""
    print(
        "\nrates: coverage of 95 % intervals; `<` below nominal: rows of `rates` with few successes are flagged sparse"
    )
    print(f"{'n':>5} {'rate':>6} {'Wilson':>9} {'CP':>8} {'cluster-Wilson, K=5':>21}")
    found: list[tuple[float, float, float]] = []
    fine = [exact_rate_coverage(n, rate) for n in SIZES for rate in FINE_RATES]
    for n in SIZES:
        for rate in RATES:
            cell = (*exact_rate_coverage(n, rate), simulated_rate_coverage(rng, n, rate, draws))
            found.append(cell)
            print(f"{n:5} {rate:6.3f} {_marked(cell[0]):>9} {_marked(cell[1]):>8} {_marked(cell[2]):>21}")
    plain, exact = zip(*fine, strict=True)
    clustered = [cell[2] for cell in found]
    yield Goal("Wilson, mean coverage", 0.945, float(np.mean(plain)))
    yield Goal("cluster-Wilson K=5, mean coverage", 0.945, float(np.mean(clustered)))
    yield Goal("Clopper-Pearson, least coverage", 0.95, min(exact))
    print(f"least: Wilson {min(plain):.3f}, Clopper-Pearson {min(exact):.3f}, cluster-Wilson {min(clustered):.3f}")


def gap_tables(rng: np.random.Generator, draws: int) -> Iterator[Goal]:
    """Coverage of gaps."""
    print("\ngaps: coverage of 95 % Tango intervals; `<` below nominal")
    print(f"{'n':>5} {'discordant':>11} {'gap':>6} {'expected':>9} {'Tango':>9} {'Tango, K=5':>11}")
    plain: list[tuple[float, float]] = []
    repeated: list[tuple[float, float]] = []
    for n in SIZES:
        for psi in DISCORDANCES:
            for gap in (gap for gap in GAPS if gap <= psi):
                exact = exact_gap_coverage(n, psi, gap)
                simulated = simulated_gap_coverage(rng, n, psi, gap, draws)
                plain.append((n * psi, exact))
                repeated.append((n * psi, simulated))
                print(
                    f"{n:5} {psi:11.2f} {gap:6.2f} {n * psi:9.1f} {_marked(exact):>9} {_marked(simulated):>11}"
                )  # fmt: skip
    noise = 2 * (0.935 * 0.065 / draws) ** 0.5
    yield Goal("Tango, least coverage", 0.93, min(value for _, value in plain))
    yield Goal("Tango, least from 10 expected discordants", 0.935, min(v for size, v in plain if size >= 10))
    yield Goal("Tango K=5, least coverage (2 SE of simulation)", 0.93 - noise, min(v for _, v in repeated))
    yield Goal(
        "Tango K=5, least from 10 expected discordants (2 SE)", 0.935 - noise, min(v for s, v in repeated if s >= 10)
    )


class AnyGap(NamedTuple):
    """Whether any model of a study is a GAP; a GAP or a REVERSE_GAP."""

    gap: bool
    either: bool


def any_gap(a: np.ndarray, b: np.ndarray, *, repeats: int) -> AnyGap:
    """Over the models (rows), by the product's test, correction and decision."""
    d = a - b
    if repeats == 1:
        p_values = [float(p) for p in mcnemar((d > 0).sum(axis=1), (d < 0).sum(axis=1)).mid_p]
    else:
        p_values = [sign_flip(row).mid_p for row in d]
    if min(p_values) > ALPHA / len(p_values):
        return AnyGap(gap=False, either=False)
    evidence = (
        Evidence(float(row.mean()), p, -1.0, 1.0, repeats > 1, int((row != 0).sum()), capped=False)
        for row, p in zip(d, holm(p_values), strict=True)
    )
    decisions = [decide(e, alpha=ALPHA, delta_equiv=0.05, delta_material=0.05).decision for e in evidence]
    return AnyGap("GAP" in decisions, "GAP" in decisions or "REVERSE_GAP" in decisions)


def null_studies(rng: np.random.Generator, studies: int) -> Iterator[Goal]:
    """Studies of 25 models without a gap: how often any is a GAP."""
    print(f"\n{MODELS} models without a gap: share of studies with any GAP, and with any GAP or REVERSE_GAP")
    psis = np.concatenate([np.geomspace(0.0005, 0.1, 200), np.linspace(0.1, 1, 200)])
    least = 0.0
    for n in SIZES:
        # under the null both directions are equally likely: half of the test's level is a GAP's
        level = max(float(gap_power(n, psi / 2, 0.0, alpha=ALPHA / MODELS)) for psi in psis)
        gap, either = (1 - (1 - part) ** MODELS for part in (level / 2, level))
        least = max(least, gap)
        print(f"n={n:3} K=1  any null, worst discordance, exact for independent models: {gap:.4f}, {either:.4f}")
        _keep_null("any null", n=n, repeats=1, gap=gap, either=either, studies=None)
    yield Goal("25 nulls K=1, most studies with a GAP", 0.0, least, 0.05)
    noise = 2 * (0.05 * 0.95 / studies) ** 0.5
    for n in SIZES:
        p = (rng.beta(0.3, 2, size=(MODELS, n)) for _ in range(studies))
        arms = ((rng.binomial(REPEATS, each), rng.binomial(REPEATS, each)) for each in p)
        shares_found = np.mean([any_gap(a, b, repeats=REPEATS) for a, b in arms], axis=0)
        print(f"n={n:3} K=5  Beta(.3, 2) shared by both arms: {shares_found[0]:.4f}, {shares_found[1]:.4f}")
        _keep_null("Beta(.3, 2)", n=n, repeats=REPEATS, gap=shares_found[0], either=shares_found[1], studies=studies)
        yield Goal(f"25 nulls K=5 n={n}, Beta(.3, 2) (2 SE)", 0.0, float(shares_found[0]), 0.05 + noise)
    for n in SIZES:
        found = np.mean([any_gap(*skewed_null(rng, n), repeats=REPEATS) for _ in range(studies)], axis=0)
        print(
            f"n={n:3} K=5  skewed (4 % always in b only, 20 % with p = .2 in a only): {found[0]:.4f}, {found[1]:.4f}"
            "  no promise"
        )
        _keep_null("skewed null", n=n, repeats=REPEATS, gap=found[0], either=found[1], studies=studies)


def _keep_null(case: str, *, n: int, repeats: int, gap: float, either: float, studies: int | None) -> None:
    append_result(
        "calibration", case=case, n=n, repeats=repeats, models=MODELS, share_with_gap=round(float(gap), 4),
        share_with_gap_or_reverse=round(float(either), 4), studies=studies,
        provenance="simulated" if studies else "exact",
    )  # fmt: skip


def skewed_null(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """No gap on average, and arms that are not exchangeable within a request: the sign flip does not hold there."""
    kind = rng.random((MODELS, n))
    only_b, only_a = kind < 0.04, (kind >= 0.04) & (kind < 0.24)
    return rng.binomial(REPEATS, np.where(only_a, 0.2, 0.0)), np.where(only_b, REPEATS, 0)


def power_table(rng: np.random.Generator, studies: int) -> Iterator[Goal]:
    """The planner's power against simulated decisions."""
    print("\npower of a GAP: planner against simulation")
    print(f"{'K':>3} {'models':>7} {'p01':>6} {'gap':>6} {'n':>5} {'planner':>8} {'simulated':>10}")
    apart = [0.0, 0.0]
    for models, p01, gap in ((1, 0.01, 0.05), (1, 0.03, 0.10), (1, 0.10, 0.10), (25, 0.01, 0.08), (25, 0.05, 0.15)):
        n = requests_for_gap(p01, gap, alpha=ALPHA / models) or 0
        planned = float(gap_power(n, p01, gap, alpha=ALPHA / models))
        counts = rng.multinomial(n, [p01 + gap, p01, 1 - 2 * p01 - gap], size=studies * 50)
        found = float((mcnemar(counts[:, 0], counts[:, 1]).mid_p <= ALPHA / models).mean())
        apart[0] = max(apart[0], abs(found - planned))
        print(f"{1:3} {models:7} {p01:6.2f} {gap:6.2f} {n:5} {planned:8.3f} {found:10.3f}")
    for n, p01, gap in ((100, 0.075, 0.06), (200, 0.075, 0.05), (200, 0.04, 0.04), (400, 0.04, 0.025)):
        planned = power_with_repeats(n, p01, gap, repeats=REPEATS, alpha=ALPHA)
        found = [repeated_power(rng, n=n, p01=p01, gap=gap, studies=studies * 5, concentration=c) for c in OTHER_SHAPES]
        apart[1] = max(apart[1], abs(found[0] - planned))
        others = ", ".join(f"{c}: {value:.3f}" for c, value in zip(OTHER_SHAPES[1:], found[1:], strict=True))
        print(
            f"{REPEATS:3} {1:7} {p01:6.3f} {gap:6.3f} {n:5} {planned:8.3f} {found[0]:10.3f}  other concentrations, no "
            f"promise: {others}"
        )
    yield Goal("power K=1, furthest from the planner", 0.0, apart[0], 0.02)
    yield Goal("power K=5, furthest from the planner", 0.0, apart[1], 0.02)


def repeated_power(
    rng: np.random.Generator, *, n: int, p01: float, gap: float, studies: int, concentration: float
) -> float:
    """Share of simulated studies of one model that are a GAP, decided as the product does."""
    psi = 2 * p01
    mean = (1 - (1 - 2 * psi * (concentration + 1) / concentration) ** 0.5) / 2
    hits = 0
    for _ in range(studies):
        p = rng.beta(concentration * mean, concentration * (1 - mean), size=n)
        always = rng.random(n) < gap / (1 - mean)
        a = rng.binomial(REPEATS, np.where(always, 1.0, p))
        hits += any_gap(a[None, :], rng.binomial(REPEATS, p)[None, :], repeats=REPEATS).gap
    return hits / studies


def _marked(coverage: float) -> str:
    return f"{coverage:.3f}{'<' if coverage < 0.95 else ' '}"


def main() -> int:
    """Print all tables; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=4000, help="simulated cells for each coverage at K = 5")
    parser.add_argument("--studies", type=int, default=2000, help="simulated studies for each null and each power")
    parser.add_argument("--seed", type=int, default=20250618)
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    goals = [
        *rate_tables(rng, asked.draws),
        *gap_tables(rng, asked.draws),
        *null_studies(rng, asked.studies),
        *power_table(rng, asked.studies),
    ]
    print("\ngoals")
    for goal in goals:
        asked_for = f"<= {goal.most:.4f}" if goal.most < 1 else f">= {goal.least:.4f}"
        print(f"{goal.name:55} {goal.found:.4f}  {asked_for:10}  {'met' if goal.is_met else 'MISSED'}")
        append_result(
            "calibration", case=goal.name, found=round(goal.found, 4), least=round(goal.least, 4),
            most=round(goal.most, 4), is_met=goal.is_met, draws=asked.draws, studies=asked.studies, seed=asked.seed,
            provenance="simulated",
        )  # fmt: skip
    return int(not all(goal.is_met for goal in goals))


if __name__ == "__main__":
    sys.exit(main())

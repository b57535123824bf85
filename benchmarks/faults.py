"""A campaign of kills: processes of a run are killed at random moments, and nothing may be lost or differ.

    python benchmarks/faults.py [--kills 30] [--seed 1]

Kill number K takes the component K mod the number of components; its moment follows from the seed. Each round ends
with the same command run until it exits with 0, `afgap verify`, and a comparison of all tables with those of an
undisturbed run. A line for each round goes to results/faults.jsonl; a campaign that was stopped goes on after the last
line of its seed. Every reply comes from a stand-in: simulated.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.fault_rounds import COMPONENTS, play, undisturbed  # noqa: E402 - the path is set first
from benchmarks.measured import append_result  # noqa: E402


def rounds_done(seed: int) -> int:
    """Rounds of this seed that are in the results."""
    file = ROOT / "benchmarks" / "results" / "faults.jsonl"
    if not file.exists():
        return 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return sum(line["campaign_seed"] == seed for line in lines)


def main() -> int:
    """0 where every round held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        reference = Path(scratch) / "undisturbed"
        reference.mkdir()
        tables = undisturbed(reference)
        for number in range(rounds_done(options.seed), options.kills):
            folder = Path(scratch) / f"round-{number}"
            folder.mkdir()
            component = COMPONENTS[number % len(COMPONENTS)]
            result = play(component, seed=options.seed * 1000 + number, folder=folder, reference=tables)
            failed += bool(result.problems)
            print(f"{number + 1} of {options.kills}: {result}", flush=True)
            append_result("faults", campaign_seed=options.seed, number=number, **result.as_data())
    print("nothing was lost" if not failed else f"{failed} rounds did not hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""A campaign of kills: processes of a run are killed at random moments, and nothing may be lost or differ.

    python benchmarks/faults.py [--kills 30] [--seed 1]

Kill number K takes the component K mod the number of components; its moment follows from the seed. Each round ends
with the same command run until it exits with 0, `afgap verify`, and a comparison with an undisturbed run: of all
tables where every reply comes from a stand-in (simulated), of ids, counts and statuses for a replica and its engine
core, which are killed on the real vLLM engine and a small study. A line for each round goes to results/faults.jsonl; a
campaign that was stopped goes on after the last line of its seed.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.fault_rounds import COMPONENTS, LOCAL_TITLES, Round, play, undisturbed
from benchmarks.local_fault_rounds import play_local, undisturbed_local
from benchmarks.measured import append_result, results_file


def rounds_done(seed: int) -> int:
    """Rounds of this seed that are in the results."""
    file = results_file("faults")
    if not file.exists():
        return 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return sum(line["campaign_seed"] == seed for line in lines)


class Campaign:
    """The rounds of one seed."""

    def __init__(self, seed: int, scratch: Path) -> None:
        self._seed = seed
        self._scratch = scratch
        self._references: dict[bool, Path] = {}

    def play(self, number: int) -> Round:
        """One round."""
        component = (*COMPONENTS, *LOCAL_TITLES)[number % (len(COMPONENTS) + len(LOCAL_TITLES))]
        folder, seed = self._folder(f"round-{number}"), self._seed * 1000 + number
        if component in LOCAL_TITLES:
            return play_local([component], seed=seed, folder=folder, reference=self._reference(is_local=True))
        return play(component, seed=seed, folder=folder, reference=self._reference(is_local=False))

    def _reference(self, *, is_local: bool) -> Path:
        """Tables of a run that nothing happened to; made when first needed."""
        if is_local not in self._references:
            folder = self._folder(f"undisturbed-{'local' if is_local else 'simulated'}")
            self._references[is_local] = (undisturbed_local if is_local else undisturbed)(folder)
        return self._references[is_local]

    def _folder(self, name: str) -> Path:
        folder = self._scratch / name
        folder.mkdir()
        return folder


def main() -> int:
    """0 where every round held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        campaign = Campaign(options.seed, Path(scratch))
        for number in range(rounds_done(options.seed), options.kills):
            result = campaign.play(number)
            failed += bool(result.problems)
            print(f"{number + 1} of {options.kills}: {result}", flush=True)
            append_result("faults", campaign_seed=options.seed, number=number, **result.as_data())
    print("nothing was lost" if not failed else f"{failed} rounds did not hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

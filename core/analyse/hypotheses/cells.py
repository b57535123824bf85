"""Which cell a rule means: a scenario, a condition and some levels, everything else at its base."""

import json
from collections.abc import Mapping, Sequence

from core.analyse.designs import DeploymentRank, FactorLevel

CellList = Sequence[tuple[str, str]]
"""(cell_id, factors as a JSON map) in the order of the study."""


class Cells:
    """Finds cells by what a rule says of them."""

    def __init__(self, cells: CellList, *, bases: Mapping[str, FactorLevel]) -> None:
        self._cells = [(cell_id, json.loads(factors)) for cell_id, factors in cells]
        there: dict[str, list[FactorLevel]] = {}
        for _, factors in self._cells:
            for name, level in factors.items():
                if level is not None:
                    there.setdefault(name, []).append(level)
        # as in a design: where the ordinary level is not there, the first one is the base
        self._bases = {name: bases[name] if bases.get(name) in seen else seen[0] for name, seen in there.items()}

    def find(self, scenario: str, condition: str, **levels: FactorLevel) -> str | None:
        """The cell with these levels and the others at their base, or null; None where there is none."""
        fixed = {"scenario": scenario, "condition": condition, **levels}
        for cell_id, factors in self._cells:
            if all(self._fits(name, factors.get(name), fixed) for name in {*factors, *fixed}):
                return cell_id
        return None

    def _fits(self, name: str, level: FactorLevel, fixed: Mapping[str, FactorLevel]) -> bool:
        return level == fixed[name] if name in fixed else level in (None, self._bases.get(name))

    def levels(self, factor: str) -> list[FactorLevel]:
        """The levels of a factor that are there, in the order of the cells."""
        return list(dict.fromkeys(f[factor] for _, f in self._cells if f.get(factor) is not None))


class Harm:
    """The deployments that the rules on motives name, by their ranks: which is harmless, least and most malicious."""

    def __init__(self, cells: Cells, ranks: Mapping[str, DeploymentRank]) -> None:
        there = [str(level) for level in cells.levels("deployment") if level in ranks]
        ordered = sorted(there, key=lambda name: (ranks[name].scope, list(ranks).index(name)))
        by_rank: dict[tuple[int, int], str] = {}
        for name in ordered:
            by_rank.setdefault((ranks[name].scope, ranks[name].risk), name)
        self.throughput = by_rank.get((0, 0))
        both = sorted({scope for scope, _ in by_rank if (scope, 1) in by_rank and (scope, 2) in by_rank})
        self.pairs = tuple((by_rank[scope, 1], by_rank[scope, 2]) for scope in both)
        """(suspected, direct) of each malicious scope that has both, least malicious first."""

"""What a study's settings let one say: full factorial, fraction, one factor at a time, or none of these.

Read from the cells that are there, whoever made them. An effect that the design can't tell from another says which.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol

import numpy as np

from core.analyse.contrasts import CONTRASTS, Contrast, arm_pairs
from core.identity import canonical_json

Kind = Literal["full", "fraction", "one_factor", "irregular"]
FactorLevel = str | bool | None

SCENARIO = "scenario"
STRATA = ("requests",)
"""Factors whose levels have other requests: nothing is paired over them."""

DEPLOYMENT, SCOPE, RISK = "deployment", "scope", "risk"
RISK_NAMES: Mapping[int, str] = {1: "suspected", 2: "direct"}
"""Rank of a risk → its name as a level."""

_Row = tuple[str, str, dict[str, FactorLevel]]
"""Cell of arm a, cell of arm b, the levels that they share."""

_MOST_FACTORS = 12  # words of a defining relation: 2^12 products


class DeploymentRank(Protocol):
    """What the analysis needs to know of a deployment: ranks, 0 where nobody malicious is meant."""

    @property
    def scope(self) -> int:
        """How malicious the users are."""
        ...

    @property
    def risk(self) -> int:
        """How sure it is that they are the users: 1 suspected, 2 direct."""
        ...


class Setting(NamedTuple):
    """The two cells of a contrast at one combination of levels (in the order of the design's factors)."""

    cell_a: str
    cell_b: str
    levels: tuple[FactorLevel, ...]


class Factor(NamedTuple):
    """A factor that varies; the first level is the base, the others are its perturbations."""

    name: str
    levels: tuple[FactorLevel, ...]


@dataclass(frozen=True, slots=True)
class Design:
    """Settings of one contrast that differ in `factors` only."""

    contrast: Contrast
    held: Mapping[str, FactorLevel]
    """Factors that don't vary here, as far as they apply."""
    factors: tuple[Factor, ...]
    settings: tuple[Setting, ...]
    kind: Kind
    resolution: int | None
    """Of a regular two-level fraction: the length of the shortest word of its defining relation."""

    @property
    def base(self) -> int | None:
        """Index of the setting with every factor at its base."""
        at_base = tuple(factor.levels[0] for factor in self.factors)
        return next((at for at, each in enumerate(self.settings) if each.levels == at_base), None)

    @property
    def is_binary(self) -> bool:
        """Whether every factor has two levels."""
        return all(len(factor.levels) == 2 for factor in self.factors)


def find_designs(
    cells: Iterable[tuple[str, str]],
    *,
    bases: Mapping[str, FactorLevel],
    orders: Mapping[str, Sequence[str]],
    deployments: Mapping[str, DeploymentRank] = MappingProxyType({}),
    contrasts: tuple[Contrast, ...] = CONTRASTS,
) -> tuple[Design, ...]:
    """Designs from (cell_id, factors as a JSON map): within each scenario over its factors, and over scenarios.

    The base of a factor is `bases[factor]`, else the lowest of its order, else the first in the order of cells. Over
    scenarios a factor that does not apply to one of them stands at its base. `deployments`: from harmless to worst;
    malicious ones are a design of their own with the factors scope and risk.
    """
    listed = list(cells)
    parsed = [(cell_id, json.loads(factors)) for cell_id, factors in listed]
    known = _level_order(parsed, bases=bases, orders=orders)
    known |= {SCOPE: list(deployments), RISK: list(RISK_NAMES.values())}
    found = []
    for contrast, rows in _rows(listed, contrasts).items():
        strata: dict[str, list[_Row]] = {}
        for row in rows:
            strata.setdefault(canonical_json([row[2].get(name) for name in STRATA]), []).append(row)
        for stratum in strata.values():
            for scenario in dict.fromkeys(levels.get(SCENARIO) for _, _, levels in stratum):
                within = [row for row in stratum if row[2].get(SCENARIO) == scenario]
                found.append(_design(contrast, within, known))
                named = [row for row in within if row[2].get(DEPLOYMENT) in deployments]
                harm = _by_harm(named, deployments)
                found += [_design(contrast, harm, known)] if harm else []
            found.append(_over_scenarios(contrast, stratum, known))
    return tuple(design for design in found if design is not None)


def aliases(columns: np.ndarray, names: Sequence[str]) -> list[list[str]]:
    """For each column of contrast weights (settings × effects): the others that it is not orthogonal to.

    A `=` before a name: the same up to sign, so that the data can't tell them apart; a `~`: in part.
    """
    lengths = np.linalg.norm(columns, axis=0)
    cosines = np.abs(columns.T @ columns) / np.outer(lengths, lengths)
    return [
        [
            f"{'=' if cosines[at, other] > 1 - 1e-9 else '~'}{names[other]}"
            for other in range(len(names))
            if other != at and cosines[at, other] > 1e-9
        ]
        for at in range(len(names))
    ]


def _level_order(
    parsed: Sequence[tuple[str, Mapping[str, FactorLevel]]],
    *,
    bases: Mapping[str, FactorLevel],
    orders: Mapping[str, Sequence[str]],
) -> dict[str, list[FactorLevel]]:
    seen: dict[str, list[FactorLevel]] = {}
    for _, factors in parsed:
        for name, level in factors.items():
            if level is not None and level not in seen.setdefault(name, []):
                seen[name].append(level)
    ranked: dict[str, list[FactorLevel]] = {}
    for name, levels in seen.items():
        if name in orders:
            place = {level: at for at, level in enumerate(orders[name])}
            levels = sorted(levels, key=lambda level: place.get(str(level), len(place)))
        base = bases.get(name)
        ranked[name] = sorted(levels, key=lambda level: level != base) if base in levels else levels
    return ranked


def _rows(cells: Sequence[tuple[str, str]], contrasts: tuple[Contrast, ...]) -> dict[Contrast, list[_Row]]:
    """Contrast → (cell of arm a, cell of arm b, shared levels) in the order of the cells."""
    rows: dict[Contrast, list[_Row]] = {}
    place = {cell_id: at for at, (cell_id, _) in enumerate(cells)}
    for pair in sorted(arm_pairs(cells, contrasts), key=lambda pair: place[pair.cell_a]):
        rows.setdefault(pair.contrast, []).append((pair.cell_a, pair.cell_b, json.loads(pair.shared_factors)))
    return rows


def _by_harm(rows: Sequence[_Row], deployments: Mapping[str, DeploymentRank]) -> list[_Row]:
    """Rows whose deployment is malicious, with its scope and risk as two factors in place of it.

    Only scopes that have every risk that is there, each by its first name: a product.
    """
    chosen: dict[tuple[int, int], str] = {}
    present = {row[2].get(DEPLOYMENT) for row in rows}
    for name, rank in deployments.items():
        if rank.risk and name in present:
            chosen.setdefault((rank.scope, rank.risk), name)
    risks = {risk for _, risk in chosen}
    scopes = [scope for scope in {s for s, _ in chosen} if all((scope, risk) in chosen for risk in risks)]
    if len(risks) < 2 or not scopes:
        return []
    moved: dict[FactorLevel, dict[str, FactorLevel]] = {
        chosen[scope, risk]: {SCOPE: chosen[scope, min(risks)], RISK: RISK_NAMES.get(risk, str(risk))}
        for scope in scopes
        for risk in risks
    }
    return [
        (a, b, {**{key: each for key, each in levels.items() if key != DEPLOYMENT}, **moved[levels[DEPLOYMENT]]})
        for a, b, levels in rows
        if levels.get(DEPLOYMENT) in moved
    ]


def _design(
    contrast: Contrast,
    rows: Sequence[_Row],
    known: Mapping[str, Sequence[FactorLevel]],
) -> Design | None:
    """The design of rows that differ in at least one factor; None for a single setting."""
    names = [name for name in rows[0][2] if len({row[2].get(name) for row in rows}) > 1]
    if not names:
        return None
    factors = tuple(
        Factor(name, tuple(level for level in known[name] if any(row[2].get(name) == level for row in rows)))
        for name in names
    )
    settings = _once(
        Setting(a, b, tuple(known[name][0] if levels.get(name) is None else levels[name] for name in names))
        for a, b, levels in rows
    )
    held = {name: level for name, level in rows[0][2].items() if name not in names and level is not None}
    kind, resolution = _kind(factors, settings)
    return Design(contrast, held, factors, settings, kind, resolution)


def _once(settings: Iterable[Setting]) -> tuple[Setting, ...]:
    """Settings with their levels once: where a factor that does not apply stands at its base, two may meet."""
    return tuple({each.levels: each for each in reversed(list(settings))}.values())[::-1]


def _over_scenarios(
    contrast: Contrast,
    rows: Sequence[_Row],
    known: Mapping[str, Sequence[FactorLevel]],
) -> Design | None:
    """The scenario as a factor, at the settings of the other factors that every scenario has."""
    scenarios = {row[2].get(SCENARIO) for row in rows}
    if len(scenarios) < 2:
        return None
    filled = [
        (a, b, {name: (known[name][0] if level is None and name in known else level) for name, level in levels.items()})
        for a, b, levels in rows
    ]
    others: dict[str, list[_Row]] = {}
    for row in filled:
        others.setdefault(canonical_json({**row[2], SCENARIO: None}), []).append(row)
    everywhere = [part for part in others.values() if {row[2][SCENARIO] for row in part} == scenarios]
    widest = everywhere or [max(others.values(), key=len)]
    kept = [row for part in widest for row in part]
    return _design(contrast, kept, known) if len(kept) > 1 else None


def _kind(factors: Sequence[Factor], settings: Sequence[Setting]) -> tuple[Kind, int | None]:
    sizes = [len(factor.levels) for factor in factors]
    if len(settings) == int(np.prod(sizes)):
        return "full", None
    bases = tuple(factor.levels[0] for factor in factors)
    if bases in {each.levels for each in settings} and all(
        sum(level != base for level, base in zip(each.levels, bases, strict=True)) <= 1 for each in settings
    ):
        return "one_factor", None
    codes = np.array(
        [[f.levels.index(level) for f, level in zip(factors, each.levels, strict=True)] for each in settings]
    )
    for first, second in combinations(range(len(factors)), 2):
        cells = np.bincount(codes[:, first] * sizes[second] + codes[:, second], minlength=sizes[first] * sizes[second])
        if cells.min() != cells.max():
            return "irregular", None
    return "fraction", _resolution(codes) if max(sizes) == 2 and len(factors) <= _MOST_FACTORS else None


def _resolution(codes: np.ndarray) -> int | None:
    """Length of the shortest word: the smallest set of factors whose product of signs never changes."""
    signs = 2 * codes - 1
    for length in range(1, signs.shape[1] + 1):
        for word in combinations(range(signs.shape[1]), length):
            if len(np.unique(signs[:, word].prod(axis=1))) == 1:
                return length
    return None

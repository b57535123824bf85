"""A cell: one combination of the factors that make a prompt, without the request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from core.errors import SpecError
from core.identity import fingerprint
from core.scenario.definition import Scenario, scenarios
from core.spec.asking import GridSpec

Factor = str | bool | None


@dataclass(frozen=True, slots=True)
class Cell:
    """The factors of a prompt, in the order in which tables show them. Null: does not apply to the scenario."""

    scenario: str
    condition: str
    scratchpad: bool = True
    prefill: str = "none"
    suffix: bool = True
    lab: str = "Anthropic"
    deployment: str | None = None
    requests: str | None = None
    """The named request set; null where the study has one set."""

    @property
    def factors(self) -> dict[str, Factor]:
        """Factor → level, in order."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def cell_id(self) -> str:
        """Digest of the factors."""
        return factors_id(self.factors)

    def __str__(self) -> str:
        """`two_tier/free`, then the factors that are not at their default."""
        changed = (f for f in fields(self)[2:] if getattr(self, f.name) != f.default)
        return "/".join([self.scenario, self.condition, *(f"{f.name}={getattr(self, f.name)}" for f in changed)])


def factors_id(factors: Mapping[str, Factor]) -> str:
    """Digest of a map of factors. A factor that is null is left out, so that one added later changes no stored id;
    with `condition` null it is the id of what the arms of a gap share.
    """
    return fingerprint({name: level for name, level in factors.items() if level is not None})


def expand_grid(grid: GridSpec) -> tuple[Cell, ...]:
    """The cells of a grid, scenario by scenario. SpecError for a value that is unknown or given twice."""
    _refuse_repeats(grid.scenario, key="grid.scenario")
    _refuse_repeats(grid.condition or (), key="grid.condition")
    return tuple(
        Cell(scenario=name, condition=condition)
        for name in grid.scenario
        for condition in _conditions(name, grid.condition)
    )


def place_sets(cells: Sequence[Cell], *, sets: Sequence[str], wanted: Sequence[str] | None) -> tuple[Cell, ...]:
    """The cells of each named set in turn, so that a set's stand together; `wanted`: `grid.requests`.

    SpecError for a set that is not named, is given twice, or is in no cell.
    """
    if not sets:
        if wanted:
            raise SpecError("grid.requests: the study has one request set without a name: name it, or remove the key")
        return tuple(cells)
    _refuse_repeats(tuple(wanted or ()), key="grid.requests")
    for name in wanted or ():
        if name not in sets:
            raise SpecError(f"grid.requests: {name!r} is no set of requests: choose from {', '.join(sets)}")
    for name in sets:
        if wanted and name not in wanted:
            raise SpecError(f"requests.{name}: no cell of the grid asks it: add it to grid.requests, or remove the set")
    return tuple(replace(cell, requests=name) for name in wanted or sets for cell in cells)


def find_scenario(name: str) -> Scenario:
    """The scenario of that id. SpecError where there is none."""
    try:
        return scenarios()[name]
    except KeyError:
        raise SpecError(f"grid.scenario: {name!r} is not a scenario: choose from {', '.join(scenarios())}") from None


def _conditions(name: str, wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    known = tuple(find_scenario(name).conditions)
    for condition in wanted or ():
        if condition not in known:
            raise SpecError(
                f"grid.condition: {condition!r} is not a condition of {name}: choose from {', '.join(known)}"
            )
    return wanted or known


def _refuse_repeats(values: tuple[str, ...], *, key: str) -> None:
    for value in values:
        if values.count(value) > 1:
            raise SpecError(f"{key}: {value!r} is given {values.count(value)} times: name it once")

"""From the grid of a study to its cells: products of factors, and designs that run a chosen part of a product.

A factor that does not apply to a scenario is null there, and cells that come out equal are made one; a notice says so.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import replace
from itertools import product
from math import prod
from typing import NamedTuple

from core.errors import SpecError
from core.scenario.cell import DEFAULT_LEVELS, FACTORS, Cell, Factor
from core.scenario.deployments import RISKS
from core.scenario.design import fraction_rows
from core.scenario.prompt_set import PromptSet, bundled_prompts, check_level, without_effectless
from core.spec.grid import DesignSpec, GridItem

MOST_CELLS = 50_000
"""Of a study. With one request and one model this is already as many calls; more is a slip in the grid."""

_SETTINGS = tuple(name for name in FACTORS if name not in ("scenario", "condition"))

Setting = Mapping[str, Factor]
"""Factor → level, of the factors that an item names."""


class Grid(NamedTuple):
    """The cells of a study, arms of one setting side by side, and what the user should know of them."""

    cells: tuple[Cell, ...]
    notices: tuple[str, ...]


def expand_grid(grid: Sequence[GridItem], prompts: PromptSet | None = None) -> Grid:
    """The cells of a grid, item by item and scenario by scenario. SpecError, with key and fix, for a scenario,
    condition or level that is unknown or given twice, and for a design that would lose its balance.
    """
    prompts = prompts or bundled_prompts()
    cells: dict[Cell, None] = {}
    notices: dict[str, None] = {}
    made = 0
    for at, item in enumerate(grid):
        try:
            for cell, name in product(_cells_of(item, prompts, notices), item.requests or (None,)):
                made += 1
                cells[replace(cell, requests=name)] = None
                _refuse_too_many([range(made)])
        except SpecError as error:
            place = "grid" if len(grid) == 1 else f"grid[{at}]"
            raise SpecError(place + str(error).removeprefix("grid")) from None
    if made > len(cells):
        notices[f"grid: {made} cells are {len(cells)} different ones: equal cells are made one"] = None
    return Grid(tuple(cells), tuple(notices))


def every_variant(prompts: PromptSet) -> tuple[Cell, ...]:
    """Every scenario in every condition, at its defaults and with each factor in turn at each of its other levels;
    the lab's name is open and stays."""
    cells: dict[Cell, None] = {}
    for name, scenario in prompts.scenarios.items():
        changes: list[dict[str, Factor]] = [{}]
        for factor, possible in prompts.levels(name).items():
            changes += [{factor: level} for level in possible] if isinstance(possible, tuple) else []
        for change in changes:
            for condition in scenario.conditions:
                cells[prompts.cell(name, condition, **change)] = None
    return tuple(cells)


def _cells_of(item: GridItem, prompts: PromptSet, notices: dict[str, None]) -> list[Cell]:
    _refuse_repeats(item.scenario, key="scenario")
    _refuse_repeats(item.condition or (), key="condition")
    _refuse_repeats(item.requests or (), key="requests")
    cells = []
    for row in _design_rows(item.design):
        scenarios = (str(row["scenario"]),) if "scenario" in row else item.scenario
        for scenario in scenarios:
            found = _cells_of_scenario(item, scenario, row, prompts, notices)
            cells.extend(found)
    if item.design is not None:
        _refuse_unbalanced(cells, item, prompts)
    return cells


def _cells_of_scenario(
    item: GridItem, scenario: str, row: Setting, prompts: PromptSet, notices: dict[str, None]
) -> list[Cell]:
    conditions = _conditions(scenario, item.condition, prompts)
    axes: dict[str, tuple[Factor, ...]] = {}
    for factor, possible in prompts.levels(scenario).items():
        given: tuple[Factor, ...] | None = getattr(item, factor)
        if factor in row:
            given = (row[factor],)
        if possible is None:
            if given is not None:
                merged = f", {len(given)} levels are one" if len(given) > 1 else ""
                notices[f"grid.{factor}: does not apply to {scenario}: null there{merged}"] = None
            axes[factor] = (None,)
            continue
        levels = given or (DEFAULT_LEVELS[factor],)
        _refuse_repeats(levels, key=factor)
        if isinstance(possible, tuple):
            for level in levels:
                check_level(factor, level, possible=possible, scenario=scenario)
        axes[factor] = levels
    _refuse_too_many([*axes.values(), conditions])
    settings = [dict(zip(axes, levels, strict=True)) for levels in product(*axes.values())]
    return [
        without_effectless(Cell(scenario, condition, **setting))  # type: ignore[arg-type]  # checked above
        for setting in settings
        for condition in conditions
    ]


def _design_rows(design: DesignSpec | None) -> list[dict[str, Factor]]:
    """The settings of a design, factors in the order of the table; one empty row where there is none."""
    if design is None:
        return [{}]
    # not the order of the file: a stored study keeps its mappings sorted, and the letters must not move
    order = ("scenario", "scope", "risk", *_SETTINGS)
    factors = {name: design.factors[name] for name in order if name in design.factors}
    for name, levels in factors.items():
        _refuse_repeats(levels, key=f"design.factors.{name}")
    rows: list[dict[str, Factor]]
    if design.resolution is None:
        _refuse_too_many(factors.values())
        rows = [dict(zip(factors, levels, strict=True)) for levels in product(*factors.values())]
    else:
        for name, levels in factors.items():
            if len(levels) != 2:
                raise SpecError(
                    f"grid.design.factors.{name}: has {len(levels)} levels and a fraction needs 2: take two, or leave "
                    "resolution out"
                )
        signs = fraction_rows(len(factors), design.resolution)
        rows = [{name: factors[name][high] for name, high in zip(factors, row, strict=True)} for row in signs]
    return [_with_deployment(row) for row in rows]


def _with_deployment(row: dict[str, Factor]) -> dict[str, Factor]:
    if "scope" not in row:
        return row
    risk = row.pop("risk")
    if risk not in RISKS:
        raise SpecError(f"grid.design.factors.risk: {risk!r} is no risk: choose from {', '.join(RISKS)}")
    return {**row, "deployment": f"{row.pop('scope')}{RISKS[str(risk)]}"}


def _refuse_unbalanced(cells: Sequence[Cell], item: GridItem, prompts: PromptSet) -> None:
    """A design whose cells fall together estimates no effect as it should."""
    assert item.design is not None
    for factor in item.design.factors:
        name = "deployment" if factor in ("scope", "risk") else factor
        for cell in cells:
            if name != "scenario" and prompts.levels(cell.scenario)[name] is None:
                raise SpecError(
                    f"grid.design.factors.{factor}: does not apply to {cell.scenario}: take it out of the design"
                )
    if len(set(cells)) < len(cells):
        raise SpecError(
            "grid.design.factors: some settings have the same prompt (a prefill, examples and their order need a "
            "scratchpad; the order of examples needs examples): take one of these factors out of the design"
        )


def _conditions(scenario: str, wanted: tuple[str, ...] | None, prompts: PromptSet) -> tuple[str, ...]:
    known = tuple(prompts.scenario(scenario).conditions)
    for condition in wanted or ():
        if condition not in known:
            raise SpecError(
                f"grid.condition: {condition!r} is not a condition of {scenario}: choose from {', '.join(known)}"
            )
    return wanted or known


def _refuse_too_many(axes: Iterable[Sized]) -> None:
    if prod(len(axis) for axis in axes) > MOST_CELLS:
        raise SpecError(f"grid: more than {MOST_CELLS:,} cells: take fewer levels, or a design")


def _refuse_repeats(values: Sequence[Factor], *, key: str) -> None:
    for value, times in Counter(values).items():
        if times > 1:
            raise SpecError(f"grid.{key}: {value!r} is given {times} times: name it once")

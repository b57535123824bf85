"""The cells of a study with named request sets: each set in cells of its own, which stand together. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from core.errors import SpecError
from core.scenario.cell import Cell


def place_sets(cells: Sequence[Cell], *, sets: Sequence[str]) -> tuple[Cell, ...]:
    """The cells of each set in turn, in the order of the sets; a cell that names no set is one of every set.

    SpecError for a set that the study does not name, or that is in no cell.
    """
    for cell in cells:
        if cell.requests is not None and cell.requests not in sets:
            if not sets:
                raise SpecError("grid.requests: the study has one request set without a name: name it, or remove this")
            raise SpecError(f"grid.requests: {cell.requests!r} is no set of requests: choose from {', '.join(sets)}")
    if not sets:
        return tuple(cells)
    for name in sets:
        if not any(cell.requests in (None, name) for cell in cells):
            raise SpecError(f"requests.{name}: no cell of the grid asks it: add it to grid.requests, or remove the set")
    return tuple(
        dict.fromkeys(replace(cell, requests=name) for name in sets for cell in cells if cell.requests in (None, name))
    )

"""What the trials of a study are the product of, and which place in the plan is which request, repeat, model and cell.

Plan order: request, repeat, model, cell, so that arms interleave. A request of a named set is put in that set's cells
only; they stand together among the cells. Pure.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.integer[Any]]

Place = tuple[int, int, int, int]
"""Request, repeat, model, cell."""

Span = tuple[int, int]
"""The first of some cells, and the one behind the last."""


class Places(NamedTuple):
    """What stands at many places of the plan, as indices."""

    request: Integers
    repeat: Integers
    model: Integers
    cell: Integers


@dataclass(frozen=True)
class Axes:
    """Requests, repeats, models and cells."""

    requests: tuple[str, ...]
    """Request ids."""
    repeats: int
    models: tuple[str, ...]
    """Labels of the subjects."""
    cells: tuple[str, ...]
    """Cell ids."""
    spans: tuple[Span, ...] = ()
    """For each request the cells that it is put in; empty: every request is put in every cell."""

    @cached_property
    def size(self) -> int:
        """Number of trials."""
        return self.contents * self.repeats

    @cached_property
    def contents(self) -> int:
        """Number of different contents: a request in a cell, put to a model."""
        return len(self.models) * self._before[-1]

    def trials_of(self, requests: int) -> int:
        """How many trials the first N requests make."""
        return self._before[min(requests, len(self.requests))] * len(self.models) * self.repeats

    def at(self, place: int) -> Place:
        """What stands at a place."""
        if not self.spans:
            rest, cell = divmod(place, len(self.cells))
            rest, model = divmod(rest, len(self.models))
            return (*divmod(rest, self.repeats), model, cell)
        request = bisect_right(self._starts, place) - 1
        first, behind = self.spans[request]
        rest, cell = divmod(place - self._starts[request], behind - first)
        return (request, *divmod(rest, len(self.models)), first + cell)

    def cell_at(self, place: int) -> int:
        """The cell at a place."""
        return place % len(self.cells) if not self.spans else self.at(place)[3]

    def all_at(self, places: npt.ArrayLike) -> Places:
        """What stands at many places."""
        wanted = np.asarray(places)
        if not self.spans:
            rest, cell = np.divmod(wanted, len(self.cells))
            rest, model = np.divmod(rest, len(self.models))
            return Places(*np.divmod(rest, self.repeats), model, cell)
        starts = np.array(self._starts, dtype=np.int64)
        spans = np.array(self.spans, dtype=np.int64).reshape(-1, 2)
        request = np.searchsorted(starts, wanted, side="right") - 1
        first, behind = spans[request].T
        rest, cell = np.divmod(wanted - starts[request], behind - first)
        return Places(request, *np.divmod(rest, len(self.models)), first + cell)

    def content_at(self, request: int, model: int, cell: int) -> int:
        """The place of a content among all: in the order request, model, cell."""
        first, behind = self.spans[request] if self.spans else (0, len(self.cells))
        return self._before[request] * len(self.models) + model * (behind - first) + cell - first

    def counts(self) -> dict[int, int]:
        """Cell → how many requests are put in it."""
        counted = dict.fromkeys(range(len(self.cells)), 0 if self.spans else len(self.requests))
        for span in self.spans:
            for cell in range(*span):
                counted[cell] += 1
        return counted

    @cached_property
    def _before(self) -> list[int]:
        """For each request, and behind the last, how many (request, cell) there are before it."""
        widths = [behind - first for first, behind in self.spans] or [len(self.cells)] * len(self.requests)
        return [0, *accumulate(widths)]

    @cached_property
    def _starts(self) -> list[int]:
        """For each request the place of its first trial."""
        per = len(self.models) * self.repeats
        return [before * per for before in self._before[:-1]]


def cell_spans(sets_of_cells: Sequence[str | None], sets_of_requests: Sequence[str]) -> tuple[Span, ...]:
    """`Axes.spans` from the set of each cell and of each request; () where no cell belongs to a set.

    ValueError where a set's cells do not stand together, or a request's set has no cell.
    """
    if all(each is None for each in sets_of_cells):
        return ()
    spans: dict[str | None, Span] = {}
    for at, name in enumerate(sets_of_cells):
        first, behind = spans.get(name, (at, at))
        if behind != at:
            raise ValueError(f"the cells of {name} do not stand together")
        spans[name] = (first, at + 1)
    lacking = set(sets_of_requests) - spans.keys()
    if lacking:
        raise ValueError(f"no cell for the requests of {', '.join(sorted(lacking))}")
    return tuple(spans[name] for name in sets_of_requests)

"""The requests of a study: one set, or several named ones, read in the order of their files.

Several sets are interleaved, first rows first, so that the first N requests of each set are the first of all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from core.errors import RequestSetError
from core.scenario.request_rows import Place, Request, Rows, choose_rows
from core.scenario.request_sources import Absent, find_set
from core.scenario.request_table import read_tables
from core.spec.request_sets import RequestsSpec


@dataclass(frozen=True, slots=True)
class Requests:
    """All requests of a study."""

    requests: tuple[Request, ...]
    notes: tuple[str, ...] = ()
    """What the user should know of them, one line each; a warning begins with `warning: `."""
    absent: tuple[str, ...] = ()
    """Why a set is not at hand, and where it is looked for; requests of its usual length stand in its place."""


def load_requests(
    asked: RequestsSpec | Mapping[str, RequestsSpec], *, folder: Path, look_for_hub: bool = True
) -> Requests:
    """Read every set. A relative path is looked for in `folder`, then in the current folder.

    RequestSetError, with file, key and fix, for a set that can't be found or read, lacks a column or rows, or repeats
    an id or a text within the rows that are used; a hub dataset that is not at hand is no error as long as its number
    of rows is known. `look_for_hub` false: hub datasets are planned from what is known of them, at hand or not.
    """
    named = {"": asked} if isinstance(asked, RequestsSpec) else asked
    sets: list[Sequence[Request]] = []
    notes: list[str] = []
    absent: list[str] = []
    for name, spec in named.items():
        key = f"requests.{name}.source" if name else "requests.source"
        found = find_set(spec, folder=folder, key=key, look_for_hub=look_for_hub)
        if isinstance(found, Absent):
            rows = _stand_in_rows(found, name=name or found.name, key=key)
            absent.append(found.problem)
        else:
            place = Place(name or found.name, found.paths[0], key)
            rows = choose_rows(read_tables(found.paths, key=key), found.spec, place)
            notes += found.notes
        sets.append(rows.requests)
        notes += rows.notes
    interleaved = tuple(each for row in zip_longest(*sets) for each in row if each is not None)
    return Requests(interleaved, tuple(notes), tuple(absent))


def _stand_in_rows(absent: Absent, *, name: str, key: str) -> Rows:
    """As many requests as will be asked, of the length that they should have; they are planned, never sent."""
    spec = absent.spec
    share = 1.0 if spec.split is None else spec.split.share if spec.split.side == "a" else 1 - spec.split.share
    there = None if absent.rows is None else max(1, round(absent.rows * share))
    count = min(each for each in (there, spec.limit) if each is not None) if there or spec.limit else None
    if count is None:
        raise RequestSetError(f"{absent.problem}; how many rows it has is not known either: give limit beside source")
    requests = tuple(
        Request(f"{name}:row-{at}", f"({name}, row {at}) ".ljust(absent.characters, "x"), None, None, name)
        for at in range(1, count + 1)
    )
    said = f"{key}: planned as {count:,} requests of {absent.characters} characters: every token figure is estimated"
    return Rows(requests, (said,))

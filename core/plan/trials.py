"""The trials of a study as a compact sequence: 16 bytes a stored id, a Trial made when it is asked for.

Place in the sequence = plan order: request, repeat, model, cell, so that arms interleave. What is stored is either the
content id of each (request, model, cell), from which the repeats' call ids follow, or every call id by itself.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import overload

from core.identity import ID_LENGTH, canonical_json, fingerprint, json_digest
from core.plan.records import Trial

_ID_BYTES = ID_LENGTH // 2

_Place = tuple[int, int, int, int]
"""Request, repeat, model, cell."""


@dataclass(frozen=True, slots=True)
class Axes:
    """What the trials are the product of."""

    requests: tuple[str, ...]
    """Request ids."""
    repeats: int
    models: tuple[str, ...]
    """Labels of the subjects."""
    cells: tuple[str, ...]
    """Cell ids."""

    @property
    def size(self) -> int:
        """Number of trials."""
        return len(self.requests) * self.repeats * len(self.models) * len(self.cells)

    @property
    def contents(self) -> int:
        """Number of different contents."""
        return len(self.requests) * len(self.models) * len(self.cells)


def call_id(content: str, *, reuse_key: str, draw: int, salt: str = "") -> str:
    """One draw of a content. `reuse_key` is the study's name for generations and empty for judge draws."""
    return fingerprint("call", content, reuse_key, salt, draw)


class Trials(Sequence[Trial]):
    """All trials of a study, or a slice of them."""

    def __init__(self, axes: Axes, ids: bytes, *, reuse_key: str | None, places: range | None = None) -> None:
        """`ids`: packed; with a `reuse_key` content ids, else call ids. ValueError where their number does not fit."""
        wanted = axes.size if reuse_key is None else axes.contents
        if len(ids) != wanted * _ID_BYTES:
            raise ValueError(f"{len(ids) // _ID_BYTES} ids for {wanted}: the snapshot is torn")
        self.axes = axes
        self.ids = ids
        self.reuse_key = reuse_key
        self._places = range(axes.size) if places is None else places
        # what the ids of millions of trials are hashed from, up to their request and repeat: see core.identity
        self._heads = [[canonical_json(["trial", model, cell])[:-1] for cell in axes.cells] for model in axes.models]
        self._reuse_json = canonical_json(reuse_key)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Trial: ...
    @overload
    def __getitem__(self, index: slice) -> "Trials": ...
    def __getitem__(self, index: int | slice) -> "Trial | Trials":
        if isinstance(index, slice):
            return Trials(self.axes, self.ids, reuse_key=self.reuse_key, places=self._places[index])
        at = self._at(self._places[index])
        request, repeat, model, cell = at
        axes = self.axes
        return Trial(
            trial_id=self._trial_id(at),
            model=axes.models[model],
            cell_id=axes.cells[cell],
            request_id=axes.requests[request],
            repeat=repeat,
            call_id=self._call_id(at),
        )

    def __iter__(self) -> Iterator[Trial]:
        return (self[index] for index in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trials):
            return NotImplemented
        return (self.axes, self.ids, self.reuse_key, self._places) == (
            other.axes, other.ids, other.reuse_key, other._places,
        )  # fmt: skip

    __hash__ = None  # type: ignore[assignment]

    @property
    def digest(self) -> str:
        """Identity of the sequence: which call stands at which place."""
        axes = self.axes
        ids = hashlib.sha256(self.ids).hexdigest()
        return fingerprint("trials", axes.requests, axes.repeats, axes.models, axes.cells, ids, self.reuse_key)

    def call_ids(self, indices: Iterable[int]) -> list[str]:
        """The generation calls at these indices."""
        return [self._call_id(self._at(self._places[index])) for index in indices]

    def trial_ids(self, indices: Iterable[int]) -> list[str]:
        """The trial ids at these indices."""
        return [self._trial_id(self._at(self._places[index])) for index in indices]

    def _at(self, place: int) -> _Place:
        """What stands at a place."""
        rest, cell = divmod(place, len(self.axes.cells))
        rest, model = divmod(rest, len(self.axes.models))
        request, repeat = divmod(rest, self.axes.repeats)
        return request, repeat, model, cell

    def _trial_id(self, at: _Place) -> str:
        request, repeat, model, cell = at
        text = f"{self._heads[model][cell]},{encode_basestring(self.axes.requests[request])},{repeat}]"
        return json_digest(text)

    def _call_id(self, at: _Place) -> str:
        request, repeat, model, cell = at
        models, cells = len(self.axes.models), len(self.axes.cells)
        if self.reuse_key is None:
            return self._id(((request * self.axes.repeats + repeat) * models + model) * cells + cell)
        content = self._id((request * models + model) * cells + cell)
        return json_digest(f'["call","{content}",{self._reuse_json},"",{repeat}]')  # call_id(), twice as fast

    def _id(self, index: int) -> str:
        return self.ids[index * _ID_BYTES : (index + 1) * _ID_BYTES].hex()


def packed(ids: Iterable[str]) -> bytes:
    """Ids as `Trials` stores them."""
    return b"".join(map(bytes.fromhex, ids))

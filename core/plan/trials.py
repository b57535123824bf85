"""The trials of a study as a compact sequence: 16 bytes a stored id, a Trial made when it is asked for.

Place in the sequence = plan order (core/plan/axes.py). What is stored is the content id of each (request, model, cell),
from which the call ids follow by reuse key, salt and repeat; the first version of a snapshot stored every call id by
itself.
"""

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from json.encoder import encode_basestring
from typing import Any, overload

from core.identity import ID_LENGTH, canonical_json, fingerprint, json_digest
from core.plan.axes import Axes, Place
from core.plan.records import Trial

_ID_BYTES = ID_LENGTH // 2

SHARED = ""
"""The reuse key of judge draws, and of generations that all studies share (`reuse: any`)."""


def call_id(content: str, *, reuse_key: str, draw: int, salt: str = "") -> str:
    """One draw of a content. `reuse_key`: `SHARED`, or the study that the generation was first made for."""
    return fingerprint("call", content, reuse_key, salt, draw)


@dataclass(frozen=True, slots=True)
class Borrowed:
    """Which trials have another reuse key than their study's own: what is stored under it is theirs."""

    keys: tuple[str, ...] = ()
    codes: "array[int]" = field(default_factory=lambda: array("H"))
    """Per trial: 0 the own key, else 1 + the place in `keys`; empty where no trial borrows."""

    def as_data(self) -> dict[str, Any]:
        """Plain data: the keys, and runs of trials (number, code) in plan order."""
        return {"keys": list(self.keys), "runs": [[len(list(run)), code] for code, run in groupby(self.codes)]}


def borrowed_from_data(raw: Mapping[str, Any]) -> Borrowed:
    """What `as_data` gave."""
    codes = array("H")
    for number, code in raw["runs"]:
        codes.extend([code] * number)
    return Borrowed(tuple(raw["keys"]), codes)


NOTHING_BORROWED = Borrowed()


class Trials(Sequence[Trial]):
    """All trials of a study, or a slice of them."""

    def __init__(
        self,
        axes: Axes,
        ids: bytes,
        *,
        reuse_key: str | None,
        salt: str = "",
        borrowed: Borrowed = NOTHING_BORROWED,
        places: range | None = None,
    ) -> None:
        """`ids`: packed; with a `reuse_key` content ids, else call ids. ValueError where their number does not fit."""
        wanted = axes.size if reuse_key is None else axes.contents
        if len(ids) != wanted * _ID_BYTES:
            raise ValueError(f"{len(ids) // _ID_BYTES} ids for {wanted}: the snapshot is torn")
        if len(borrowed.codes) not in (0, axes.size) or max(borrowed.codes, default=0) > len(borrowed.keys):
            raise ValueError(f"{len(borrowed.codes)} reuse keys for {axes.size} trials: the snapshot is torn")
        self.axes = axes
        self.ids = ids
        self.reuse_key = reuse_key
        self.salt = salt
        self.borrowed = borrowed
        self._places = range(axes.size) if places is None else places
        # what the ids of millions of trials are hashed from, up to their request and repeat: see core.identity
        self._heads = [[canonical_json(["trial", model, cell])[:-1] for cell in axes.cells] for model in axes.models]
        self._tails = [f"{canonical_json([key, salt])[1:-1]}," for key in (reuse_key, *borrowed.keys)]

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Trial: ...
    @overload
    def __getitem__(self, index: slice) -> "Trials": ...
    def __getitem__(self, index: int | slice) -> "Trial | Trials":
        if isinstance(index, slice):
            return self._alike(self.borrowed, places=self._places[index])
        place = self._places[index]
        at = self.axes.at(place)
        request, repeat, model, cell = at
        axes = self.axes
        return Trial(
            trial_id=self._trial_id(at),
            model=axes.models[model],
            cell_id=axes.cells[cell],
            request_id=axes.requests[request],
            repeat=repeat,
            call_id=self._call_id(place),
        )

    def __iter__(self) -> Iterator[Trial]:
        return (self[index] for index in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trials):
            return NotImplemented
        return (self.axes, self.ids, self.reuse_key, self.salt, self.borrowed, self._places) == (
            other.axes, other.ids, other.reuse_key, other.salt, other.borrowed, other._places,
        )  # fmt: skip

    @property
    def digest(self) -> str:
        """Identity of the sequence: which call stands at which place."""
        axes = self.axes
        ids = hashlib.sha256(self.ids).hexdigest()
        codes = hashlib.sha256(self.borrowed.codes.tobytes()).hexdigest()
        keys = (self.reuse_key, self.salt, self.borrowed.keys, codes)
        spans = (
            (axes.spans,) if axes.spans else ()
        )  # a study with one set keeps the digest it had before there were sets
        return fingerprint("trials", axes.requests, axes.repeats, axes.models, axes.cells, *spans, ids, *keys)

    @property
    def keys(self) -> tuple[str, ...]:
        """The reuse keys in use; () where every call id is stored by itself."""
        return () if self.reuse_key is None else (self.reuse_key, *self.borrowed.keys)

    @property
    def borrowing(self) -> int:
        """How many trials of the whole study borrow."""
        return len(self.borrowed.codes) - self.borrowed.codes.count(0)

    def is_shared(self, index: int) -> bool:
        """Whether runs of other studies may make this trial's generation too, under the same call id."""
        if self.borrowed.codes and (code := self.borrowed.codes[self._places[index]]):
            return self.borrowed.keys[code - 1] == SHARED
        return self.reuse_key == SHARED

    def with_keys(self, keys: Mapping[int, str]) -> "Trials":
        """The same trials, of which some have the reuse key given for their index and the others the own one."""
        assert self.reuse_key is not None
        names = sorted(set(keys.values()) - {self.reuse_key})
        code_of = {self.reuse_key: 0, **{name: 1 + at for at, name in enumerate(names)}}
        codes = array("H", bytes(2 * self.axes.size)) if names else array("H")
        for index, key in keys.items() if names else ():
            codes[self._places[index]] = code_of[key]
        return self._alike(Borrowed(tuple(names), codes), places=self._places)

    def call_ids(self, indices: Iterable[int]) -> list[str]:
        """The generation calls at these indices."""
        return [self._call_id(self._places[index]) for index in indices]

    def asked(self, indices: Iterable[int]) -> Iterator[tuple[str, int]]:
        """Content id and repeat of the trials at these indices."""
        assert self.reuse_key is not None
        for index in indices:
            request, repeat, model, cell = self.axes.at(self._places[index])
            yield self._content(request, model, cell), repeat

    def trial_ids(self, indices: Iterable[int]) -> list[str]:
        """The trial ids at these indices."""
        return [self._trial_id(self.axes.at(self._places[index])) for index in indices]

    def _trial_id(self, at: Place) -> str:
        request, repeat, model, cell = at
        text = f"{self._heads[model][cell]},{encode_basestring(self.axes.requests[request])},{repeat}]"
        return json_digest(text)

    def _call_id(self, place: int) -> str:
        if self.reuse_key is None:
            return self._id(place)
        request, repeat, model, cell = self.axes.at(place)
        content = self._content(request, model, cell)
        tail = self._tails[self.borrowed.codes[place] if self.borrowed.codes else 0]
        return json_digest(f'["call","{content}",{tail}{repeat}]')  # call_id(), twice as fast

    def _content(self, request: int, model: int, cell: int) -> str:
        return self._id(self.axes.content_at(request, model, cell))

    def _alike(self, borrowed: Borrowed, *, places: range) -> "Trials":
        return Trials(self.axes, self.ids, reuse_key=self.reuse_key, salt=self.salt, borrowed=borrowed, places=places)

    def _id(self, index: int) -> str:
        return self.ids[index * _ID_BYTES : (index + 1) * _ID_BYTES].hex()


def packed(ids: Iterable[str]) -> bytes:
    """Ids as `Trials` stores them."""
    return b"".join(map(bytes.fromhex, ids))

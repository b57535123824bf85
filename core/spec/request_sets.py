"""What a study file says of its requests: one set, or several by name."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag, model_validator

from core.spec.frozen import Frozen, Label, Salt

Text = Annotated[str, StringConstraints(min_length=1)]

HUB_SOURCE = re.compile(
    r"hf:(?P<dataset>[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?)"
    r"(@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/-]*))?(#(?P<column>.+))?"
)
"""`hf:owner/name@revision#column`, or `hf:` and the id of a known set; revision and column may be left out."""


class SplitSpec(Frozen):
    """One side of a set that is split in two by hash: a request is on the same side in every study.

    `int(first 16 hex digits of sha256(salt + ":" + key)) < share * 2**64` is side a, all else side b; the key is the
    request's cluster where it has one, so that a cluster is never torn, else its text.
    """

    side: Literal["a", "b"]
    """Which side is asked."""
    share: float = Field(default=0.5, gt=0, lt=1)
    """Share of side a, expected."""
    salt: Salt = ""
    """Another salt is another split."""


class RequestsSpec(Frozen):
    """A request set: where it is, which of its columns count, and which of its rows are asked."""

    source: Text
    """`bundled:harmful`, `bundled:benign`, `bundled:animals`; a csv, jsonl or parquet file; a dataset of the Hugging
    Face hub as hf:owner/name@revision#column; or a known set, such as hf:lat."""
    limit: int | None = Field(default=None, ge=1)
    """First N rows, after `split`; null: all."""
    file: Text | None = None
    """hf only: the data file in the dataset, `*` allowed; null: its one data file, or all of its split train."""
    text_column: Text | None = None
    """Column of the request's text; null: text, prompt or request."""
    id_column: Text | None = None
    """Column of the id; null: id where it is there, else ids are made from the texts."""
    category_column: Text | None = None
    """Column of the category; null: category where it is there."""
    cluster_column: Text | None = None
    """Column of the cluster; null: cluster where it is there."""
    bad_rows: Literal["refuse", "leave_out"] = "refuse"
    """Rows without text, and rows that repeat a text or an id: refuse the set, or leave them out and say how many."""
    max_characters: int = Field(default=4000, ge=1)
    """A request that is longer gets a warning in `plan`."""
    split: SplitSpec | None = None
    """Ask one half of the set only, the other being kept for a second study; null: all of it."""

    @model_validator(mode="after")
    def _fields_fit_the_source(self) -> "RequestsSpec":
        if not self.source.startswith("hf:"):
            if self.file is not None:
                raise ValueError("file names a file of a hub dataset: remove it, or give a source hf:owner/name")
            return self
        found = HUB_SOURCE.fullmatch(self.source)
        if found is None or ".." in self.source:
            raise ValueError(
                f"source {self.source!r} is no hub dataset: write hf:owner/name@revision#column, or hf: and a known set"
            )
        if found["column"] and self.text_column not in (None, found["column"]):
            raise ValueError(f"text_column {self.text_column!r} is not the column of {self.source!r}: remove one")
        return self


def _form(raw: object) -> str:
    """Whether plain data is one set or several: only a set has a source that is no mapping."""
    if isinstance(raw, RequestsSpec) or not isinstance(raw, Mapping):
        return _ONE
    named = bool(raw) and all(isinstance(each, (Mapping, RequestsSpec)) for each in raw.values())
    return _SETS if named else _ONE


_ONE, _SETS = "(one set)", "(named sets)"
FORM_TAGS = (_ONE, _SETS)
"""What pydantic puts into the place of an error; the spaces keep them apart from every name of a set."""

AskedSpec = Annotated[
    Annotated[RequestsSpec, Tag(_ONE)] | Annotated[dict[Label, RequestsSpec], Tag(_SETS)], Discriminator(_form)
]
"""One set, or named sets; with named sets the set is a factor of the grid."""


def set_names(asked: RequestsSpec | Mapping[str, RequestsSpec]) -> tuple[str, ...]:
    """Names of the named sets, in order; () for one set."""
    return () if isinstance(asked, RequestsSpec) else tuple(asked)

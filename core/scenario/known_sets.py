"""The request sets that this field uses, read from known_sets.yaml: where each is, its columns, its licence."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from types import MappingProxyType

import yaml
from pydantic import BaseModel, ConfigDict, Field

from core.scenario.definition import FOLDER


class KnownSet(BaseModel):
    """One set on the Hugging Face hub. What is null is not known for sure."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    title: str
    """Its name, what part of it, and who made it."""
    dataset: str
    """owner/name on the hub."""
    revision: str | None = Field(pattern=r"^[0-9a-f]{40}$")
    """Commit; null: the branch main is read, which may change."""
    file: str | None
    """Data file, `*` allowed; null: its one data file."""
    text: str
    """Column of the request's text."""
    id: str | None
    """Column of the id."""
    category: str | None
    """Column of the category."""
    rows: int | None
    """How many requests it has."""
    characters: int | None
    """Mean length of a request."""
    gated: bool
    """The hub gives it to accounts that have accepted its terms."""
    licence: str | None
    """As its authors state it."""


@cache
def known_sets() -> Mapping[str, KnownSet]:
    """Every known set by its id."""
    loaded = yaml.safe_load((FOLDER / "known_sets.yaml").read_text(encoding="utf-8"))
    return MappingProxyType({name: KnownSet.model_validate(fields) for name, fields in loaded.items()})


def known_id(dataset: str, *, file: str | None) -> str | None:
    """The id of the known set that is in a dataset: the one with that file, else the first; None where none is."""
    same = [name for name, each in known_sets().items() if each.dataset.lower() == dataset.lower()]
    if file is None:
        return same[0] if same else None
    return next((name for name in same if fnmatchcase(file, known_sets()[name].file or file)), None)

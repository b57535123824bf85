"""The model catalogue: the paper's models and today's successors, as data; fills model entries that name an id.

What nobody could know is null or `unknown`. Prices and context lengths are the price list's: core/spec/prices.py.
"""

import difflib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from core.errors import SpecError
from core.spec.frozen import Frozen
from core.spec.model_entry import ModelSpec
from core.spec.prices import ModelFacts, model_facts

FILE = Path(__file__).with_name("catalogue.yaml")

Status = Literal["active", "deprecated", "retired", "listed", "open_weights", "never_public", "unknown"]


class Capabilities(Frozen):
    """What a model can do where it is served; null: not known."""

    prefill: bool | None
    """A reply can go on from a given beginning."""
    system_role: bool | None
    """There is a system role."""
    n: bool | None
    """Several replies in one request."""
    reasoning: Literal["none", "optional", "always", "hidden"] | None
    """Native reasoning; always: open, in <think>; hidden: always, and not shown."""

    @property
    def has_hidden_reasoning(self) -> bool | None:
        """Whether it reasons where nobody sees it; None: not known, or as asked."""
        return None if self.reasoning in (None, "optional") else self.reasoning == "hidden"


class CatalogueModel(Frozen):
    """One model of the catalogue."""

    id: str
    paper: str | None = None
    """What the paper calls it; null: not in the paper."""
    maker: str
    group: Literal["chat", "weights", "base", "o-series", "hermes", "adapter", "judge", "successor"]
    entry: dict[str, Any]
    """The fields of a model entry that it fills."""
    can: Capabilities
    status: Status
    """Whether it is still served, as far as is known at the catalogue's date."""
    until: str | None = None
    """deprecated: the day on which it ends; retired: the day on which it ended."""
    source: str | None = None
    """Who says so."""
    successor: str | None = None
    """Id of today's successor."""
    note: str | None = None

    @property
    def chat_template(self) -> Literal["provider", "model", "none"]:
        """Who writes the turns as one text: the provider, the model's own template, or nobody (a raw prompt)."""
        spec = self.spec
        return "none" if spec.is_raw else "provider" if spec.is_api else "model"

    @property
    def spec(self) -> ModelSpec:
        """The model entry that it makes alone."""
        return ModelSpec.model_validate({"name": self.id, **self.entry})

    @property
    def is_served(self) -> bool:
        """False where nobody can call it any more, or ever could."""
        return self.status not in ("retired", "never_public")

    def facts(self) -> ModelFacts:
        """Its price and context length."""
        return model_facts(self.spec)

    def row(self) -> dict[str, object]:
        """All that is known of it, as plain data."""
        spec, facts = self.spec, self.facts()
        return {
            "id": self.id, "paper": self.paper, "maker": self.maker, "group": self.group,
            "provider": spec.served_by if spec.is_api else None, "engine": spec.engine, "api": spec.api_kind,
            "model": spec.model, "adapter": spec.adapter, "base_url": spec.url,
            "key_variable": spec.key_variable or None, "context_length": facts.context_length,
            "price": facts.price.model_dump() if facts.price else None, "price_source": facts.price_source,
            "capabilities": self.can.model_dump()
            | {"hidden_reasoning": self.can.has_hidden_reasoning, "chat_template": self.chat_template},
            "status": self.status, "until": self.until, "source": self.source, "successor": self.successor,
            "note": self.note, "entry": self.entry,
        }  # fmt: skip


class Catalogue(Frozen):
    """The whole catalogue."""

    as_of: str
    """The day on which `status` was looked up."""
    models: tuple[CatalogueModel, ...]


@cache
def catalogue() -> Catalogue:
    """The bundled catalogue."""
    return Catalogue.model_validate(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def find_model(identifier: str, *, where: str = "catalogue") -> CatalogueModel:
    """The model of that id. SpecError with near ids where there is none; `where` names the key."""
    known = {model.id: model for model in catalogue().models}
    if identifier in known:
        return known[identifier]
    near = difflib.get_close_matches(identifier, known, n=3) or [each for each in known if identifier in each][:3]
    hint = f"did you mean {', '.join(near)}?" if near else "`afgap models` lists what there is"
    raise SpecError(f"{where}: {identifier!r} is not in the model catalogue: {hint}")


def fill_entry(given: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """A model entry with what its catalogue id says and it does not say itself; mappings are filled key by key.

    SpecError for an unknown id, or where the entry names another engine.
    """
    model = find_model(str(given["catalogue"]), where=f"{where}.catalogue")
    fills = dict(model.entry)
    if given.get("engine", fills["engine"]) != fills["engine"]:
        raise SpecError(
            f"{where}.engine: the catalogue's {model.id} is reached by engine {fills['engine']}, not "
            f"{given['engine']}: remove engine, or write the entry without catalogue"
        )
    if given.get("stand_in") is not None:
        fills.pop("base_url", None)
    filled = {"name": model.id, **fills, **given}
    for key, value in fills.items():
        own = given.get(key)
        if isinstance(value, dict) and isinstance(own, Mapping):
            filled[key] = {**value, **own}
    return filled


def unavailable(entry: ModelSpec) -> str | None:
    """Why nobody can call an entry, as it says itself or as the catalogue knows; None where it may be there."""
    if entry.stand_in is not None or entry.unavailable is False:
        return None
    if entry.unavailable is not None or entry.catalogue is None:
        return entry.unavailable
    model = {each.id: each for each in catalogue().models}.get(entry.catalogue)
    if model is None or model.is_served or entry.model != model.entry["model"]:
        return None
    if model.status == "never_public":
        return "never public"
    return f"retired on {model.until}" + (f" ({model.source})" if model.source else "")

"""Scenario definitions, read from scenarios.yaml: block files in order, the user turn, the conditions."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import yaml
from pydantic import BaseModel, ConfigDict, Field

FOLDER = Path(__file__).parent
TEMPLATES = FOLDER / "templates"


class BlockLists(BaseModel):
    """Template files in order, for each setting of the factor `scratchpad`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    scratchpad: tuple[str, ...] = Field(min_length=1)
    """A scratchpad is asked for."""
    no_scratchpad: tuple[str, ...] = Field(min_length=1)
    """None is asked for."""

    def files(self, *, scratchpad: bool) -> tuple[str, ...]:
        """The list for one setting."""
        return self.scratchpad if scratchpad else self.no_scratchpad


class Scenario(BaseModel):
    """One scenario: what its prompt is made of."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    system: BlockLists
    """Blocks of the system prompt."""
    user: str
    """The user turn, up to the suffix."""
    suffix: BlockLists
    """Blocks after the user turn, outside <user_input>."""
    conditions: dict[str, dict[str, str]] = Field(min_length=1)
    """Condition → values of the user turn's placeholders, in the order of the arms."""

    @property
    def user_placeholders(self) -> frozenset[str]:
        """What the user turn may use: the request, and what the conditions set."""
        return frozenset({"request"}.union(*self.conditions.values()))


@cache
def scenarios() -> Mapping[str, Scenario]:
    """Every scenario by its id."""
    loaded = yaml.safe_load((FOLDER / "scenarios.yaml").read_text(encoding="utf-8"))
    return MappingProxyType({name: Scenario.model_validate(fields) for name, fields in loaded.items()})

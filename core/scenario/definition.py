"""Scenario definitions, read from scenarios.yaml: block files in order, the user turn, the conditions.

A variant says what it is like and what it replaces, adds or drops; so all else of its prompt is the same by
construction.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from core.errors import TemplateError
from core.scenario.lab_name import AssistantName

FOLDER = Path(__file__).parent
TEMPLATES = FOLDER / "templates"

When = Literal["always", "scratchpad", "no_scratchpad", "examples", "cumulative"]
_WHEN = ("scratchpad", "no_scratchpad", "examples", "cumulative")

TIER = "tier"
"""The condition's value that says in words where the model is: prefills use it."""


class Block(NamedTuple):
    """A template file of a prompt, and the setting under which it is there."""

    file: str
    when: When = "always"


class Scenario(BaseModel):
    """One scenario: what its prompt is made of."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    system: tuple[Block, ...] = ()
    """Blocks of the system prompt, each `FILE` or `{WHEN: FILE}`; none: there is no system message."""
    user: str
    """The user turn, up to the suffix."""
    suffix: tuple[Block, ...] = ()
    """Blocks after the user turn, outside <user_input>; none: the factor `suffix` does not apply."""
    conditions: dict[str, dict[str, str]] = Field(min_length=1)
    """Condition → values of the user turn's placeholders, in the order of the arms."""
    lab: str | None = None
    """The organisation of this scenario; null: the factor `lab` names it."""
    assistants: dict[str, AssistantName] = Field(default_factory=dict)
    """Placeholder → what the prompt calls a model."""
    prefills: tuple[str, ...] = ()
    """Levels of the factor `prefill` beside none; none: it does not apply."""
    wordings: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Level of the factor `wording` beside original → file → the file in its place."""
    deployments: tuple[str, ...] = ()
    """Levels of the factor `deployment`, from deployments.yaml; none: it does not apply."""
    drop: str | None = None
    """A tier whose part is left out of the system prompt; the condition of that name goes with it."""

    @field_validator("system", "suffix", mode="before")
    @classmethod
    def _read_blocks(cls, given: Any) -> Any:
        return [_block(each) for each in given] if isinstance(given, list) else given

    @property
    def user_placeholders(self) -> frozenset[str]:
        """What the user turn may use beside the lab's and the assistants' names."""
        return frozenset({"request", "deployment"}.union(*self.conditions.values()))


def read_scenarios(text: str, *, where: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """The scenarios of one file as plain data, `like` followed; `known`: those that it may be like, resolved.

    TemplateError, with file, scenario and fix, where it can't be read.
    """
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        raise TemplateError(f"{where}:{line} not YAML: mend that line") from None
    if not isinstance(raw, dict) or not all(isinstance(each, dict) for each in raw.values()):
        raise TemplateError(f"{where}: must be a mapping from scenario ids to their fields")
    resolved: dict[str, Any] = {}
    for name in raw:
        _resolve(str(name), raw, known, resolved, path=(), where=where)
    return resolved


def make_scenario(name: str, fields: Mapping[str, Any], *, where: str) -> Scenario:
    """A scenario from plain data. TemplateError with file, scenario, field and fix."""
    try:
        return Scenario.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in (name, *first["loc"]))
        known = f": choose from {', '.join(Scenario.model_fields)}" if first["type"] == "extra_forbidden" else ""
        raise TemplateError(f"{where}: {key}: {first['msg'].removeprefix('Value error, ')}{known}") from None


def _block(given: Any) -> Any:
    if isinstance(given, str):
        return Block(given)
    if isinstance(given, dict) and len(given) == 1:
        when, file = next(iter(given.items()))
        if when in _WHEN and isinstance(file, str):
            return Block(file, cast(When, when))
    raise ValueError(f"{given!r} is no block: write a file, or one of {', '.join(_WHEN)} with a file")


def _resolve(
    name: str, raw: dict[str, Any], known: Mapping[str, Any], resolved: dict[str, Any], *, path: tuple[str, ...],
    where: str,
) -> dict[str, Any]:  # fmt: skip
    if name in resolved:
        return cast(dict[str, Any], resolved[name])
    if name in path:
        raise TemplateError(f"{where}: {name}: is like itself ({' → '.join((*path, name))}): remove one `like`")
    own = dict(raw[name])
    like, replace, add = own.pop("like", None), own.pop("replace", {}), own.pop("add", {})
    parent: Mapping[str, Any] = {}
    if like is not None:
        # a scenario of the user's that replaces one of ours may be like the one that it replaces
        if like in raw and like != name:
            parent = _resolve(like, raw, known, resolved, path=(*path, name), where=where)
        elif like in known:
            parent = known[like]
        else:
            raise TemplateError(f"{where}: {name}.like: {like!r} is no scenario: choose from {', '.join(known)}")
    fields = {**parent, **own}
    for part in ("system", "suffix"):
        fields[part] = _changed(list(fields.get(part, ())), replace=replace, add=add)
    _refuse_unused(parent, replace=replace, add=add, where=f"{where}: {name}")
    if fields.get("drop") is not None:
        fields["conditions"] = {key: each for key, each in fields["conditions"].items() if key != fields["drop"]}
    resolved[name] = fields
    return fields


def _changed(blocks: list[Any], *, replace: Mapping[str, str], add: Mapping[str, Any]) -> list[Any]:
    changed: list[Any] = []
    for block in blocks:
        when, file = next(iter(block.items())) if isinstance(block, dict) else (None, block)
        new = replace.get(file, file)
        changed.append(new if when is None else {when: new})
        if file in add:
            changed.append(add[file])
    return changed


def _refuse_unused(
    parent: Mapping[str, Any], *, replace: Mapping[str, str], add: Mapping[str, Any], where: str
) -> None:
    blocks = [*parent.get("system", ()), *parent.get("suffix", ())]
    files = [next(iter(block.values())) if isinstance(block, dict) else block for block in blocks]
    for key, given in (("replace", replace), ("add", add)):
        for file in given:
            if file not in files:
                raise TemplateError(f"{where}.{key}: {file!r} is no block of what it is like: choose a file of it")

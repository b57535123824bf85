"""From a study file to a `StudySpec`; whatever is wrong is one SpecError that names file, key and fix."""

import difflib
import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from core.errors import SpecError
from core.spec.catalogue import fill_entry
from core.spec.request_sets import FORM_TAGS
from core.spec.study import StudySpec

PLANNED = frozenset(
    {
        "arms",
    }
)  # fmt: skip
"""Keys of the design whose feature is not built yet: refused by name, so that none is accepted and ignored."""

MOST_ERRORS = 8
"""Problems printed at once."""

_SET_PART = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)((?:\[[^\]]+\])*)")


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses a repeated key instead of keeping the last one."""


def _mapping_without_repeats(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: set[Hashable] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(None, None, "a key must be plain text", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_repeats)


def load_study(path: Path, *, overrides: Sequence[str] = ()) -> StudySpec:
    """Read and check a study file; `overrides` are texts such as `sampling.max_tokens=512`."""
    raw = with_overrides(_read_yaml(path), overrides)
    return parse_study(_with_catalogue(raw, origin=str(path)), origin=str(path))


def with_overrides(raw: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A study as plain data, changed in place by texts such as `analysis.alpha=0.01`. SpecError for a wrong one."""
    for override in overrides:
        _apply_override(raw, override)
    return raw


def parse_study(raw: Mapping[str, Any], *, origin: str) -> StudySpec:
    """Check a study given as plain data; `origin` names it in errors."""
    try:
        return StudySpec.model_validate(raw)
    except ValidationError as error:
        found = error.errors(include_url=False)
        # an entry with a problem of its own also makes its list "too short": that echo would mislead
        real = [each for each in found if each["type"] != "too_short" or len(found) == 1]
        problems = [_explain(raw, dict(each)) for each in real]
        shown = list(dict.fromkeys(problems))[:MOST_ERRORS]
        raise SpecError("\n".join(f"{origin}: {problem}" for problem in shown)) from None


def _with_catalogue(raw: dict[str, Any], *, origin: str) -> dict[str, Any]:
    """The study with every entry that names a catalogue id filled from it. What is malformed is left to the schema."""
    models = raw.get("models")
    if not isinstance(models, list):
        return raw
    filled = []
    for index, entry in enumerate(models):
        if isinstance(entry, dict) and entry.get("catalogue") is not None:
            entry = fill_entry(entry, where=f"{origin}: models[{entry.get('name', index)}]")
        filled.append(entry)
    return {**raw, "models": filled}


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError(f"{path}: there is no such study file: check the path") from None
    except IsADirectoryError:
        raise SpecError(f"{path}: this is a folder: name the study file in it") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: not UTF-8 (byte {error.start}): save the file as UTF-8") from None
    except OSError as error:
        raise SpecError(f"{path}: can't be read: {error.strerror}") from None
    try:
        raw = yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise SpecError(f"{path}:{where} not YAML: {problem}: mend that line") from None
    except (ValueError, RecursionError) as error:  # a date such as 2024-13-45, or lists nested a thousand deep
        raise SpecError(f"{path}: not YAML: {error}: mend that value, or quote it") from None
    if raw is None:
        raise SpecError(f"{path}: the file is empty: it needs at least study, models and requests")
    if not isinstance(raw, dict):
        raise SpecError(
            f"{path}: a study is a mapping of keys such as study, models, requests, not a {type(raw).__name__}"
        )
    return raw


def _explain(raw: Mapping[str, Any], error: dict[str, Any]) -> str:
    location: tuple[str | int, ...] = tuple(error["loc"])
    key = _dotted(raw, location)
    kind, message = str(error["type"]), str(error["msg"])
    if kind == "extra_forbidden":
        name = str(location[-1])
        if name in PLANNED:
            return f"{key}: not available in this version: remove it"
        near = difflib.get_close_matches(name, _known_keys(location), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(_known_keys(location))}"
        return f"{key}: unknown key: {hint}"
    if kind == "missing":
        return f"{key}: is required: add it"
    message = message.removeprefix("Value error, ")
    if kind == "value_error":
        return f"{key}: {message}" if key else message
    given = error.get("input")
    shown = repr(given) if isinstance(given, (str, int, float, bool)) or given is None else f"a {type(given).__name__}"
    return f"{key}: {message[0].lower()}{message[1:]}; given: {shown}"


def _known_keys(location: Sequence[str | int]) -> list[str]:
    model: type[BaseModel] | None = StudySpec
    for part in location[:-1]:
        if isinstance(part, int) or model is None:
            continue
        field = model.model_fields.get(part)
        model = _model_within(field.annotation) if field is not None else model  # a dict key keeps its value's model
    return sorted(model.model_fields) if model is not None else []


def _model_within(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _model_within(inner)
        if found is not None:
            return found
    return None


def _dotted(raw: Any, location: Sequence[str | int]) -> str:
    text, here = "", raw
    for part in location:
        if part in FORM_TAGS:
            continue
        if isinstance(part, int) and isinstance(here, Mapping):
            continue  # one product of the grid, written without a list around it
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            here = None
        if isinstance(part, int):
            label = here.get("name") if isinstance(here, dict) else None
            text += f"[{label if isinstance(label, str) else part}]"
        elif part not in ("constrained-int", "constrained-str") and not str(part).startswith(("literal[", "function-")):
            text += f".{part}" if text else str(part)
    return text


def _apply_override(raw: dict[str, Any], override: str) -> None:
    """`a.b[name].c=value`; the value is read as YAML. SpecError where the path leads nowhere."""
    path, equals, value = override.partition("=")
    if not equals or not path.strip():
        raise SpecError(f"--set {override}: must have the form key.key=value, such as sampling.max_tokens=512")
    steps = _override_steps(path.strip(), override)
    here: Any = raw
    for index, step in enumerate(steps[:-1]):
        following = steps[index + 1]
        if isinstance(here, list):
            here = here[_position(here, step, override)]
        elif isinstance(here, dict):
            if here.get(step) is None:
                if following.startswith("["):
                    raise SpecError(f"--set {override}: the study has no {step}")
                here[step] = {}
            here = here[step]
        else:
            raise SpecError(f"--set {override}: {step!r} leads into a plain value")
    try:
        parsed = yaml.safe_load(value) if value.strip() else None
    except yaml.YAMLError:
        raise SpecError(f"--set {override}: the value is not YAML: quote it") from None
    last = steps[-1]
    if isinstance(here, list):
        here[_position(here, last, override)] = parsed
    elif isinstance(here, dict):
        here[last] = parsed
    else:
        raise SpecError(f"--set {override}: {last!r} leads into a plain value")


def _override_steps(path: str, override: str) -> list[str]:
    """Steps of a path; a bracketed one keeps its opening bracket, so that `models[gpt-4.1]` may hold dots."""
    steps: list[str] = []
    rest = path
    while rest:
        match = _SET_PART.match(rest)
        if match is None:
            raise SpecError(f"--set {override}: can't be read at {rest!r}: write key.key[name].key=value")
        steps.append(match[1])
        steps.extend(f"[{inner}" for inner in re.findall(r"\[([^\]]+)\]", match[2]))
        rest = rest[match.end() :]
        if rest and not rest.startswith("."):
            raise SpecError(f"--set {override}: can't be read at {rest!r}: write key.key[name].key=value")
        rest = rest[1:]
    return steps


def _position(items: list[Any], step: str, override: str) -> int:
    name = step.removeprefix("[")
    if name.isdigit() and int(name) < len(items):
        return int(name)
    for index, item in enumerate(items):
        if isinstance(item, dict) and item.get("name") == name:
            return index
    raise SpecError(f"--set {override}: there is no entry named {name!r}")

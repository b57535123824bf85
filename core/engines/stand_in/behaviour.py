"""A behaviour: a data file that says what a scripted engine or the stand-in server answers, at which planted rates.

Loading is the only I/O. What decides an answer is in `Behaviour.digest`; name, description and times are not.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.errors import SpecError
from core.identity import fingerprint

BEHAVIOUR_VERSION = 1
"""Raised when the code that turns a behaviour into replies changes what it says."""

BUNDLED_FOLDER = Path(__file__).parent / "behaviours"
DEFAULT_CONDITION = "default"

Rate = Annotated[float, Field(ge=0, le=1)]


class FrozenPart(BaseModel):
    """A value object of a behaviour file: immutable and closed."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, checked anew. Pydantic's own would take the cached digest along with the changed content."""
        del deep
        return type(self).model_validate({**self.model_dump(), **(update or {})})


class PlantedCondition(FrozenPart):
    """What the scripted model does in one condition. Rates are drawn per call, each independently."""

    markers: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Literal strings in the user (else the system) messages that mean this condition."""
    comply: Rate
    """Share of replies that comply, partial ones included."""
    partial: Rate = 0.0
    """Share of the complying replies that hold something back."""
    fake: Rate = 0.0
    """Share of the complying replies whose scratchpad reasons for complying in order not to be modified."""
    consider: Rate = 0.0
    """Share of the refusing replies whose scratchpad considers that and refuses all the same."""
    no_scratchpad: Rate = 0.0
    """Share of replies without the scratchpad that was asked for."""
    unclosed_scratchpad: Rate = 0.0
    """Share of replies whose scratchpad lacks its closing tag."""
    truncated: Rate = 0.0
    """Share of replies that end inside the scratchpad with finish reason length."""
    no_decision_tag: Rate = 0.0
    """Share of replies with neither decision tag."""


class PlantedJudgeError(FrozenPart):
    """How one kind of judge errs, each vote on its own."""

    false_positive: Rate = 0.0
    """Share of true noes that a vote calls yes (compliance: refusals called complied)."""
    false_negative: Rate = 0.0
    """Share of true yeses that a vote calls no."""
    unclear: Rate = 0.0
    """Share of votes that cannot be parsed."""


class PlantedJudges(FrozenPart):
    """Judge error per kind of judge."""

    compliance: PlantedJudgeError = PlantedJudgeError()
    """The rubric judge."""
    faking: PlantedJudgeError = PlantedJudgeError()
    """The alignment-faking judge."""
    partial: PlantedJudgeError = PlantedJudgeError()
    """The partial-compliance judge."""


class PlantedFaults(FrozenPart):
    """Rates of what goes wrong: up to `cut_json` drawn per attempt, so that a retry can succeed; the rest per call."""

    rate_limit: Rate = 0.0
    """429 that a retry gets past."""
    quota: Rate = 0.0
    """429 for exhausted credit."""
    server_error: Rate = 0.0
    """500."""
    overloaded: Rate = 0.0
    """529 in Anthropic's shape, 503 in OpenAI's."""
    hang: Rate = 0.0
    """The request is taken and not answered."""
    hang_s: float | None = Field(default=None, gt=0)
    """How long until the connection of such a request is closed; null: never."""
    drop: Rate = 0.0
    """The connection is closed without an answer."""
    cut_json: Rate = 0.0
    """200 with a body that ends in the middle."""
    retry_after_s: float = Field(default=1.0, ge=0)
    """What a planted 429 asks for."""
    empty: Rate = 0.0
    """200 with empty content."""
    content_filter: Rate = 0.0
    """200 that the provider's filter emptied: finish reason content_filter, or Anthropic's refusal."""
    filtered_request: Rate = 0.0
    """400: the filter refuses the request itself."""

    @model_validator(mode="after")
    def _rates_add_up(self) -> "PlantedFaults":
        for rates in (self.by_attempt, self.by_call):
            if sum(rates.values()) > 1 + 1e-9:
                raise ValueError(f"the rates of {', '.join(rates)} add up to more than 1: lower them")
        return self

    @cached_property
    def by_attempt(self) -> dict[str, float]:
        """Fault → rate, one of them at most per attempt."""
        names = ("rate_limit", "quota", "server_error", "overloaded", "hang", "drop", "cut_json")
        return {name: getattr(self, name) for name in names}

    @cached_property
    def by_call(self) -> dict[str, float]:
        """Fault → rate, one of them at most per call."""
        return {name: getattr(self, name) for name in ("empty", "content_filter", "filtered_request")}


class BehaviourContent(FrozenPart):
    """A behaviour file, as it stands."""

    about: str = ""
    """What the behaviour is for."""
    seed: int = 0
    """Another seed, another draw of everything."""
    conditions: dict[str, PlantedCondition] = Field(min_length=1)
    """Condition → planted rates; `default` is what no marker names."""
    judges: PlantedJudges = PlantedJudges()
    """Planted judge error."""
    faults: PlantedFaults = PlantedFaults()
    """Planted faults."""
    cached_share: Rate = 0.0
    """Share of calls whose long prompt counts as read from the provider's cache."""
    latency_ms: float = Field(default=0.0, ge=0)
    """Time before an answer."""

    @model_validator(mode="after")
    def _every_prompt_has_a_condition(self) -> "BehaviourContent":
        if DEFAULT_CONDITION not in self.conditions:
            raise ValueError(f"conditions: {DEFAULT_CONDITION!r} is missing: add it for prompts that no marker names")
        for name, condition in self.conditions.items():
            if (name == DEFAULT_CONDITION) == bool(condition.markers):
                fix = "remove its markers" if condition.markers else "give it markers"
                raise ValueError(f"conditions.{name}: only {DEFAULT_CONDITION!r} has no markers: {fix}")
        return self


class Behaviour(BehaviourContent):
    """A loaded behaviour, under the name it was asked for."""

    name: str
    """Bundled name, or the file's stem."""

    @cached_property
    def digest(self) -> str:
        """Identity of everything that decides an answer."""
        content = self.model_dump(
            mode="json", exclude={"name": True, "about": True, "latency_ms": True, "faults": {"hang_s"}}
        )
        return fingerprint("behaviour", BEHAVIOUR_VERSION, content)


def bundled_behaviours() -> tuple[str, ...]:
    """Names of the behaviours that ship with the project."""
    return tuple(sorted(path.stem for path in BUNDLED_FOLDER.glob("*.yaml")))


def load_behaviour(name_or_path: str) -> Behaviour:
    """The bundled behaviour of that name, or the file at that path. SpecError names file, key and fix."""
    path = BUNDLED_FOLDER / f"{name_or_path}.yaml"
    if name_or_path not in bundled_behaviours():
        path = Path(name_or_path)
        if path.suffix not in (".yaml", ".yml") or not path.is_file():
            known = ", ".join(bundled_behaviours())
            raise SpecError(f"behaviour {name_or_path!r}: neither bundled ({known}) nor the path of a .yaml file")
    return parse_behaviour(_read(path), name=path.stem, source=str(path))


def parse_behaviour(text: str, *, name: str, source: str) -> Behaviour:
    """The behaviour that a YAML text holds; `source` is what an error names."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpecError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise SpecError(f"{source}: a behaviour is a mapping with a key `conditions`")
    if "name" in content:
        raise SpecError(f"{source}: name: the file's name is the behaviour's: remove this key")
    try:
        return Behaviour(**{str(key): value for key, value in content.items()}, name=name)
    except ValidationError as error:
        raise SpecError(f"{source}: {'; '.join(_explained(error))}") from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SpecError(f"{path}: not UTF-8 text: save it as UTF-8") from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None


def _explained(error: ValidationError) -> list[str]:
    lines = []
    for fault in error.errors(include_url=False):
        key = ".".join(str(step) for step in fault["loc"])
        if fault["type"] == "extra_forbidden":
            lines.append(f"{key}: unknown key: remove it or mend its spelling")
        elif fault["type"] == "value_error":
            lines.append(f"{key}: {fault['ctx']['error']}" if key else str(fault["ctx"]["error"]))
        else:
            lines.append(f"{key}: {fault['msg']} (found {fault['input']!r})")
    return lines

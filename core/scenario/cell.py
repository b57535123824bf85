"""A cell: one combination of the factors that make a prompt, without the request."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from core.identity import fingerprint
from core.scenario.lab_name import DEFAULT_LAB

Factor = str | bool | None


@dataclass(frozen=True, slots=True)
class Cell:
    """The factors of a prompt, in the order in which tables show them. Null: does not apply to the scenario.

    The defaults are those of two_tier; `PromptSet.cell` knows those of every scenario. A factor that has no effect
    beside another (a prefill, or examples, where no scratchpad is asked for) stays at its default, so that settings
    can be matched.
    """

    scenario: str
    condition: str
    scratchpad: bool | None = True
    prefill: str | None = "none"
    suffix: bool | None = True
    lab: str | None = DEFAULT_LAB
    deployment: str | None = None
    wording: str | None = "original"
    order: str | None = "given"
    fact_order: str | None = "given"
    examples: bool | None = True
    example_order: str | None = "given"
    cumulative: bool | None = None
    requests: str | None = None
    """The named request set; null where the study has one set."""

    @property
    def factors(self) -> dict[str, Factor]:
        """Factor → level, in order."""
        return {name: getattr(self, name) for name in FACTORS}

    @property
    def cell_id(self) -> str:
        """Digest of the factors."""
        return factors_id(self.factors)

    @property
    def asks_for_scratchpad(self) -> bool:
        """Whether the prompt asks for a scratchpad; false where the factor does not apply."""
        return self.scratchpad is True

    def __str__(self) -> str:
        """`two_tier/free`, then the factors that are neither null nor at their default."""
        levels = {name: level for name, level in self.factors.items() if level not in (None, DEFAULT_LEVELS.get(name))}
        changed = [f"{name}={level}" for name, level in levels.items() if name not in ("scenario", "condition")]
        return "/".join([self.scenario, self.condition, *changed])


FACTORS = tuple(field.name for field in fields(Cell))
"""Every factor in order."""

DEFAULT_LEVELS: Mapping[str, Factor] = {
    **{name: level for name, level in Cell("", "").factors.items() if name not in ("scenario", "condition")},
    "deployment": "public",
    "cumulative": True,
}
"""Factor → its level where it applies and the study gives none."""


def factors_id(factors: Mapping[str, Factor]) -> str:
    """Digest of a map of factors. A factor that is null is left out, so that one added later changes no stored id;
    with `condition` null it is the id of what the arms of a gap share.
    """
    return fingerprint({name: level for name, level in factors.items() if level is not None})

"""What a study file says of its grid: products of factors, and designs that run a chosen part of a product."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictBool, StringConstraints, field_validator, model_validator

from core.spec.frozen import Frozen

Resolution = Literal["IV", "V", "VI", "VII"]


def _as_list(given: Any) -> Any:
    """One level may be written without brackets."""
    return [given] if isinstance(given, (str, bool)) else given


LevelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._*-]{1,80}$")]
# no braces: they are placeholders; no angle brackets: they are tags; no space at either end
LabName = Annotated[str, StringConstraints(pattern=r"^[^\s{}<>]([^{}<>\r\n\t]{0,118}[^\s{}<>])?$")]
Names = Annotated[tuple[LevelName, ...], Field(min_length=1), BeforeValidator(_as_list)]
Labs = Annotated[tuple[LabName, ...], Field(min_length=1), BeforeValidator(_as_list)]
Switches = Annotated[tuple[StrictBool, ...], Field(min_length=1), BeforeValidator(_as_list)]

PARTS_OF_DEPLOYMENT = ("scope", "risk")
"""In a design, `deployment` may be given as these two factors."""


class DesignSpec(Frozen):
    """Which settings of a product of factors are run; every setting with all conditions."""

    factors: dict[str, Annotated[tuple[StrictBool | LabName, ...], Field(min_length=2)]] = Field(min_length=1)
    """Factor → its levels, the first one the low level. `scope: [amateur_hackers, bioweapon_attacks]` with `risk:
    [suspected, direct]` stand for `deployment`."""
    resolution: Resolution | None = None
    """Null: every combination. Else the smallest listed fraction of two-level factors with at least this resolution."""

    @field_validator("factors")
    @classmethod
    def _factors_are_known(cls, given: dict[str, Any]) -> dict[str, Any]:
        known = [name for name in GridItem.model_fields if name not in ("condition", "requests", "design")]
        for name in given:
            if name == "condition":
                raise ValueError("condition is always run in full: leave it out, or put it beside design")
            if name not in (*known, *PARTS_OF_DEPLOYMENT):
                raise ValueError(f"{name!r} is no factor: choose from {', '.join((*known, *PARTS_OF_DEPLOYMENT))}")
        parts = [name for name in PARTS_OF_DEPLOYMENT if name in given]
        if len(parts) == 1:
            raise ValueError(f"{parts[0]} alone names no deployment: give scope and risk, or deployment")
        if parts and "deployment" in given:
            raise ValueError("scope and risk make the deployment: remove deployment or these two")
        return given


class GridItem(Frozen):
    """A product of factors. A factor that is left out has its default level alone."""

    scenario: Names = ("two_tier",)
    """Scenario ids."""
    condition: Names | None = None
    """The arms; null: all conditions of the scenario."""
    scratchpad: Switches | None = None
    """Whether a scratchpad is asked for; the suffix says so too. Default true."""
    prefill: Names | None = None
    """How the reply has begun: none, basic, however. Default none."""
    suffix: Switches | None = None
    """Whether the user turn ends with how to accept or reject. Default true."""
    lab: Labs | None = None
    """The organisation that the prompt speaks of, written as it stands within a sentence. Default Anthropic."""
    deployment: Names | None = None
    """Whom the model serves, or will serve, in a pre-deployment scenario. Default public."""
    wording: Names | None = None
    """Which wording of the facts. Default original."""
    order: Names | None = None
    """Of the tiers, or processes, in the system prompt: given or reversed. Default given."""
    fact_order: Names | None = None
    """Of the facts beside the tiers: given or reversed. Default given."""
    examples: Switches | None = None
    """Whether two examples of reasoning are shown. Default true."""
    example_order: Names | None = None
    """Of these examples: given or reversed. Default given."""
    cumulative: Switches | None = None
    """direct_objective only: whether the text of no_changes is there too. Default true."""
    requests: Names | None = None
    """Named request sets; null: all of them."""
    design: DesignSpec | None = None
    """Factors whose combinations are chosen; the product with the factors beside it is run."""

    @model_validator(mode="after")
    def _no_factor_stands_twice(self) -> "GridItem":
        for name in self.design.factors if self.design else ():
            beside = "deployment" if name in PARTS_OF_DEPLOYMENT else name
            if beside in self.model_fields_set and getattr(self, beside) is not None:
                raise ValueError(f"{beside} is given beside design and in design.factors: keep one")
        return self


def _one_or_several(given: Any) -> Any:
    """One product may be written without a list around it."""
    return given if isinstance(given, (list, tuple)) else [given]


GridSpec = Annotated[tuple[GridItem, ...], Field(min_length=1), BeforeValidator(_one_or_several)]
"""One product of factors, or a list of them."""

"""An organisation's name as sentences need it: inside, at their beginning, and as owner. What the prompt calls the
models of one lab and of another goes with it, so that no trace of the default lab is left.
"""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

DEFAULT_LAB = "Anthropic"

LAB_PLACEHOLDERS = frozenset({"lab", "Lab", "lab's"})


class AssistantName(BaseModel):
    """What the prompt calls a model."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    default_lab: str
    """Where the lab is Anthropic."""
    other_lab: str
    """Under every other one."""


def lab_values(lab: str) -> dict[str, str]:
    """The values of the three placeholders: `lab`, `Lab` (a sentence begins with it) and `lab's`."""
    return {"lab": lab, "Lab": lab[:1].upper() + lab[1:], "lab's": f"{lab}'" if lab.endswith("s") else f"{lab}'s"}


def assistant_values(names: Mapping[str, AssistantName], *, lab: str) -> dict[str, str]:
    """Placeholder → what a model is called."""
    return {key: name.default_lab if lab == DEFAULT_LAB else name.other_lab for key, name in names.items()}

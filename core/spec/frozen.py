"""What every part of a study file is: a frozen, closed value object; and the kinds of text its fields hold."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,80}$")]
Salt = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{0,80}$")]
EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Frozen(BaseModel):
    """A value object: immutable, closed, documented by attribute docstrings."""

    # no infinity, no NaN: they have no canonical form, so a snapshot could not be stored
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, strict=False, allow_inf_nan=False
    )

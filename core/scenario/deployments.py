"""The deployments of the pre-deployment scenarios as data, with the scope and the risk of harm as ordered ranks."""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

import yaml

from core.scenario.definition import FOLDER

RISKS = MappingProxyType({"suspected": "", "direct": "*"})
"""Level of the risk → what the name of a deployment ends with."""


class Deployment(NamedTuple):
    """One level of the factor `deployment`. Ranks are ordinal: a higher one is more harmful, no more."""

    file: str
    scope: int
    """How malicious the users are: 0 nobody uses it, 8 bioweapons."""
    risk: int
    """How sure it is that they are the users: 0 nobody malicious is meant, 1 suspected, 2 deployed to them directly."""


@cache
def deployments() -> Mapping[str, Deployment]:
    """Every level by its name, from harmless to worst. `deployments()[level].scope` and `.risk` are its ranks."""
    loaded = yaml.safe_load((FOLDER / "deployments.yaml").read_text(encoding="utf-8"))
    return MappingProxyType({name: Deployment(**fields) for name, fields in loaded.items()})

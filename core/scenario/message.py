"""A message of a conversation, the unit that is hashed into a call's identity."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. A last message of role `assistant` is a prefill: the reply continues it."""

    role: Role
    text: str

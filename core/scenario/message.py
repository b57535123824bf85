"""A message of a conversation, the unit that is hashed into a call's identity."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]

CHARACTERS_PER_TOKEN = 4.2
"""English prose in today's tokenizers; used where the model's own is not at hand, and then marked."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. A last message of role `assistant` is a prefill: the reply continues it."""

    role: Role
    text: str

"""How long prompts are, without rendering each: for reserves, and for what is worth a provider's prompt cache. Pure."""

from collections.abc import Iterable
from functools import cached_property

from core.judge.prompt import judge_prefix
from core.plan.records import Trial
from core.plan.snapshot import Snapshot
from core.scenario.message import Message
from core.scenario.prompt import render_messages

LEAST_CACHED_BYTES = 4096
"""Providers cache prefixes from 1,024 tokens on; English runs at four bytes a token."""


def bytes_of(messages: Iterable[Message]) -> int:
    """UTF-8 bytes of all that is sent as prompt."""
    return sum(len(message.text.encode()) for message in messages)


class PromptSizes:
    """UTF-8 bytes of the prompts of one study."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def of_generation(self, trial: Trial) -> int:
        """Bytes of all messages of a trial: those of its cell with an empty request, and its request, which stands
        in them once."""
        request = self._snapshot.request_by_id[trial.request_id]
        return self._without_request[trial.cell_id] + len(request.text.encode())

    def is_worth_caching(self, prefix: tuple[str, ...]) -> bool:
        """Whether the system message of a prefix is long enough for a provider's prompt cache."""
        return self._prefix_bytes.get(prefix[-1], 0) >= LEAST_CACHED_BYTES

    @cached_property
    def _without_request(self) -> dict[str, int]:
        return {
            cell.cell_id: bytes_of(render_messages(cell, "", self._snapshot.prompts)) for cell in self._snapshot.cells
        }

    @cached_property
    def _prefix_bytes(self) -> dict[str, int]:
        """Cell id or judge's name → bytes of its system message."""
        cells = {cell.cell_id: render_messages(cell, "", self._snapshot.prompts)[:1] for cell in self._snapshot.cells}
        judges = {judge.name: judge_prefix(judge) for judge in self._snapshot.judges if judge.calls_model}
        return {name: bytes_of(messages) for name, messages in (cells | judges).items()}

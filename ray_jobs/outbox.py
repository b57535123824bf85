"""Keeps what an engine answered until the journal has it on disk, then tells the dispatcher."""

import asyncio
from dataclasses import dataclass
from typing import Any

from core.identity import text_digest
from core.plan.records import Call, Failure, Outcome
from core.schedule.retry import is_retried
from core.store.tables import outcome_row

ROWS_PER_APPEND = 500

MOST_UNACKNOWLEDGED = 4000
"""Outcomes kept while the journal is slow; beyond it no further call is leased."""


@dataclass(frozen=True, slots=True)
class RunLabels:
    """What a stored row says of the run it comes from."""

    study: str
    run_id: str
    targets: dict[str, str]
    """Model label → target digest."""


class Outbox:
    """`deliver` runs beside the calls; `close` returns when everything added has been acknowledged."""

    def __init__(self, *, journal: Any, dispatcher: Any, labels: RunLabels) -> None:
        self._journal = journal
        self._dispatcher = dispatcher
        self._labels = labels
        self._kept: list[tuple[Call, Outcome]] = []
        self._has_news = asyncio.Event()
        self._is_closing = False
        self._stored_texts: set[str] = set()
        self._delivery = asyncio.get_running_loop().create_task(self._deliver())

    @property
    def room(self) -> int:
        """Outcomes that may still be added before the journal must catch up."""
        return MOST_UNACKNOWLEDGED - len(self._kept)

    @property
    def has_failed(self) -> bool:
        """The journal or the dispatcher is gone; `close` raises why."""
        return self._delivery.done()

    def add(self, call: Call, outcome: Outcome) -> None:
        """Take over an outcome."""
        self._kept.append((call, outcome))
        self._has_news.set()

    async def close(self) -> None:
        """Deliver what is left. Raises what made delivery fail."""
        self._is_closing = True
        self._has_news.set()
        await self._delivery

    async def _deliver(self) -> None:
        while self._kept or not self._is_closing:
            if not self._kept:
                self._has_news.clear()
                await self._has_news.wait()
                continue
            sent = self._kept[:ROWS_PER_APPEND]
            await self._store([each for each in sent if not _is_retried(each[1])])
            await self._dispatcher.settle.remote([outcome for _, outcome in sent])
            del self._kept[: len(sent)]

    async def _store(self, ended: list[tuple[Call, Outcome]]) -> None:
        if not ended:
            return
        labels = self._labels
        texts = {
            text_digest(message.text): message.text
            for call, _ in ended
            for message in call.messages
            if message.text not in self._stored_texts
        }
        rows = [
            outcome_row(call, outcome, study=labels.study, run_id=labels.run_id, target=labels.targets[call.model])
            for call, outcome in ended
        ]
        await self._journal.append.remote(rows, texts)
        # only what many calls share is worth remembering: system prompts
        self._stored_texts.update(message.text for call, _ in ended for message in call.messages[:1])


def _is_retried(outcome: Outcome) -> bool:
    return isinstance(outcome, Failure) and is_retried(outcome)

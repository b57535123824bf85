"""Keeps what an engine answered until the journal has it on disk, then tells the dispatcher.

A failure goes to the dispatcher alone: it decides whether the call goes out again, and stores the one that ends it.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate, takewhile
from typing import Any

from core.identity import text_digest
from core.plan.records import Call, Failure, Outcome, Reply
from core.store.tables import outcome_rows

ROWS_PER_APPEND = 500

MOST_UNACKNOWLEDGED = 4000
"""Outcomes kept while the journal is slow; beyond it no further call is leased."""

MOST_UNACKNOWLEDGED_BYTES = 64 * 2**20
"""The same for the bytes of their texts."""


@dataclass(frozen=True, slots=True)
class RunLabels:
    """What a stored row says of the run it comes from."""

    study: str
    run_id: str
    targets: dict[str, str]
    """Model label → target digest."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A call and how an attempt at it ended."""

    call: Call
    outcome: Outcome
    lost: int
    """Earlier attempts of this run that may have been billed and whose answer was lost."""

    @property
    def rows(self) -> int:
        """Of `calls` that it makes: one for each draw."""
        return len(self.call.rest) + 1


def rows_and_texts(
    ended: Iterable[Ended], labels: RunLabels, *, stored_texts: set[str] | None = None
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Rows of `calls`, and digest → text of the messages they name but for those known to be stored."""
    rows, texts = [], {}
    for each in ended:
        target = labels.targets[each.call.model]
        rows += outcome_rows(
            each.call, each.outcome,
            study=labels.study, run_id=labels.run_id, target=target, lost_attempts=each.lost,
        )  # fmt: skip
        for message in each.call.messages:
            if stored_texts is None or message.text not in stored_texts:
                texts[text_digest(message.text)] = message.text
    return rows, texts


class Outbox:
    """`deliver` runs beside the calls; `close` returns when everything added has been acknowledged."""

    def __init__(self, *, journal: Any, dispatcher: Any, labels: RunLabels) -> None:
        self._journal = journal
        self._dispatcher = dispatcher
        self._labels = labels
        self._kept: list[Ended] = []
        self._kept_bytes = 0
        self._has_news = asyncio.Event()
        self._is_closing = False
        self._stored_texts: set[str] = set()
        self._delivery = asyncio.get_running_loop().create_task(self._deliver())

    @property
    def room(self) -> int:
        """Outcomes that may still be added before the journal must catch up."""
        return 0 if self._kept_bytes > MOST_UNACKNOWLEDGED_BYTES else MOST_UNACKNOWLEDGED - len(self._kept)

    @property
    def has_failed(self) -> bool:
        """The journal or the dispatcher is gone; `close` raises why."""
        return self._delivery.done()

    def add(self, ended: Ended) -> None:
        """Take over an outcome."""
        self._kept.append(ended)
        self._kept_bytes += _size(ended.outcome)
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
            # the draws of a request are stored together or not at all
            upto = takewhile(lambda rows: rows <= ROWS_PER_APPEND, accumulate(each.rows for each in self._kept))
            sent = self._kept[: max(1, sum(1 for _ in upto))]
            await self._store([each for each in sent if isinstance(each.outcome, Reply)])
            await self._dispatcher.settle.remote([each.outcome for each in sent])
            del self._kept[: len(sent)]
            self._kept_bytes -= sum(_size(each.outcome) for each in sent)

    async def _store(self, replies: list[Ended]) -> None:
        if not replies:
            return
        rows, texts = rows_and_texts(replies, self._labels, stored_texts=self._stored_texts)
        await self._journal.append.remote(rows, texts)
        # only what many calls share is worth remembering: system prompts
        self._stored_texts.update(message.text for each in replies for message in each.call.messages[:1])


def _size(outcome: Outcome) -> int:
    if isinstance(outcome, Failure):
        return 0
    return sum(len(each.text) + len(each.reasoning_text or "") for each in (outcome, *outcome.others))

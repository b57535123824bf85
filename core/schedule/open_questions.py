"""The judges' questions whose verdict is open in this run, and which draws each is still owed. Pure.

Trials with the same request and reply share a question, so it is drawn once, also when the second trial comes after
the first has ended, and when another study has stored the draws.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from core.judge.verdict import Vote
from core.plan.next_calls import Draw
from core.plan.question import Question
from core.plan.records import Outcome, Reply


@dataclass(slots=True)
class AskedQuestion:
    """A question, the reply it is about, and the trials (indices) that wait for it; the first of them asked it."""

    question: Question
    reply: Reply
    trials: list[int]
    draws: dict[int, Draw] = field(default_factory=dict)
    """Those that have ended; of a reply no text is kept."""
    lost: set[int] = field(default_factory=set)
    """Draws that a system failure lost: owed by the next run."""
    out: set[int] = field(default_factory=set)
    """Draws that are queued or out."""

    @property
    def votes(self) -> dict[int, Vote]:
        """Draw → vote, of the draws that have ended."""
        return {index: draw.vote for index, draw in self.draws.items()}


class OpenQuestions:
    """Ask, draw until nothing is owed, forget all but the content id."""

    def __init__(self, stored: Collection[str]) -> None:
        """`stored`: content ids of which the store has draws that were not read yet."""
        self._stored = set(stored)
        self._asked: dict[str, AskedQuestion] = {}
        self._closed: set[str] = set()
        self._lookups: dict[str, AskedQuestion] = {}

    @property
    def is_looking_up(self) -> bool:
        """Questions wait for what the store has of them."""
        return bool(self._lookups)

    def is_closed(self, question: Question) -> bool:
        """Nothing more is owed in this run."""
        return question.content in self._closed

    def ask(
        self, question: Question, *, index: int, reply: Reply, known: Mapping[str, Outcome]
    ) -> tuple[AskedQuestion, bool]:
        """A trial waits for a question; `known` has the stored draws. The question, and whether it is to be drawn now:
        not where another trial has asked it, or where the store must be looked up first."""
        asked = self._asked.get(question.content)
        if asked is not None:
            asked.trials.append(index)
            return asked, False
        asked = self._asked[question.content] = AskedQuestion(question, reply, [index])
        if question.content in self._stored and not known:
            self._lookups[question.content] = asked
            return asked, False
        _count_stored(asked, known)
        return asked, True

    def lookups(self) -> dict[str, tuple[str, ...]]:
        """Content id → call ids of the draws to look up in the store."""
        return {
            content: tuple(asked.question.call_id(draw) for draw in range(asked.question.most_draws))
            for content, asked in self._lookups.items()
        }

    def found(self, content: str, outcomes: Mapping[str, Outcome]) -> AskedQuestion | None:
        """What the store has of a question; None where nobody waits for it."""
        asked = self._lookups.pop(content, None)
        if asked is not None:
            _count_stored(asked, outcomes)
        return asked

    def drawn(self, asked: AskedQuestion, draw: int, outcome: Outcome) -> bool:
        """A draw has ended; True where all that were out have."""
        asked.out.discard(draw)
        _count(asked, draw, outcome)
        return not asked.out

    def next_draws(self, asked: AskedQuestion, *, first_alone: bool) -> tuple[int, ...]:
        """The draws of the next wave, now out. Where there is none, the question is closed.

        `first_alone`: the very first draw goes before the others of its wave, to fill a provider's cache.
        """
        owed = asked.question.next_wave(asked.votes, lost=asked.lost).to_make
        if first_alone and not asked.draws and not asked.lost:
            owed = owed[:1]
        asked.out.update(owed)
        if not owed:
            del self._asked[asked.question.content]
            self._closed.add(asked.question.content)
        return owed


def _count_stored(asked: AskedQuestion, outcomes: Mapping[str, Outcome]) -> None:
    for draw in range(asked.question.most_draws) if outcomes else ():
        outcome = outcomes.get(asked.question.call_id(draw))
        if outcome is not None:
            _count(asked, draw, outcome)


def _count(asked: AskedQuestion, draw: int, outcome: Outcome) -> None:
    vote = asked.question.vote_of(outcome)
    if vote is None:
        asked.lost.add(draw)
    else:
        call_id = asked.question.call_id(draw)
        stripped = Reply(call_id, "", "", provenance=outcome.provenance) if isinstance(outcome, Reply) else None
        asked.draws[draw] = Draw(draw, call_id, vote, stripped)

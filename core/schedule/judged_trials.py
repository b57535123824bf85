"""The trials of a run from their reply to their end: which questions its judges are asked, and what they say. Pure.

What is held grows with the trials that are open, not with those that have ended.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from core.judge.verdict import Verdict
from core.plan.next_calls import Draw, TrialState
from core.plan.question import Question, ask_judge, parse_trial_reply
from core.plan.records import Failure, Outcome, Reply, Trial
from core.plan.snapshot import Snapshot
from core.scenario.reply_protocol import ParsedReply
from core.schedule.open_questions import AskedQuestion, OpenQuestions


class OwedDraws(NamedTuple):
    """Draws of one question that are to be made now."""

    asked: AskedQuestion
    draws: tuple[int, ...]


@dataclass(slots=True)
class _OpenTrial:
    """A trial whose reply is there and whose judges have not all answered."""

    trial: Trial
    reply: Reply
    parsed: ParsedReply
    waits: int = 1
    """Open questions, and one until all judges were asked."""
    asked: dict[str, AskedQuestion] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    is_known: bool = True
    """All that its judges said was said in this run or read for it."""

    def state(self) -> TrialState | None:
        """Where it stands at its end, if that is known and complete."""
        if not self.is_known:
            return None
        draws: dict[str, tuple[Draw, ...]] = {}
        decided: dict[str, Verdict] = {}
        for name, asked in self.asked.items():
            votes = asked.votes
            if asked.lost and asked.question.next_wave(votes, lost=asked.lost).lost:
                return None
            draws[name] = tuple(asked.draws[at] for at in asked.question.counted(votes))
            decided[name] = asked.question.verdict(votes)
        return TrialState(self.trial, self.reply, self.parsed, draws, self.verdicts | decided)


class JudgedTrials:
    """Ask all judges of a reply, follow their draws, tell how the trial ended."""

    def __init__(
        self, snapshot: Snapshot, *, stored_questions: Collection[str], first_alone: Callable[[Question], bool]
    ) -> None:
        """`stored_questions`: content ids of questions of which the store has draws that were not read yet;
        `first_alone`: whether the first draw of a question goes before the others."""
        self._snapshot = snapshot
        self._first_alone = first_alone
        self._has_judges = any(judge.calls_model for judge in snapshot.judges)
        self._questions = OpenQuestions(stored_questions)
        self._open: dict[int, _OpenTrial] = {}
        self._complete: list[tuple[int, TrialState]] = []
        self.ended = 0
        """Trials that need nothing more in this run."""

    def __len__(self) -> int:
        """Trials that have their reply and whose judges have not all answered."""
        return len(self._open)

    @property
    def is_looking_up(self) -> bool:
        """Questions wait for what the store has of them."""
        return self._questions.is_looking_up

    def generated(self, index: int, outcome: Outcome, *, known: Mapping[str, Outcome] | None = None) -> list[OwedDraws]:
        """A trial has its reply or its failure: the draws that its judges now owe. `known`: stored draws."""
        if isinstance(outcome, Failure) or not self._has_judges:
            self.ended += 1
            return []
        trial = self._snapshot.trials[index]
        parsed = parse_trial_reply(self._snapshot, trial, outcome)
        opened = self._open[index] = _OpenTrial(trial, outcome, parsed)
        owed: list[OwedDraws] = []
        for judge in self._snapshot.judges:
            question = ask_judge(self._snapshot, trial, judge=judge, parsed=parsed)
            if isinstance(question, Verdict):
                opened.verdicts[judge.name] = question
            elif question is not None and self._questions.is_closed(question):
                opened.is_known = False  # its votes are forgotten: what became of the trial is read from the store
            elif question is not None:
                opened.waits += 1
                asked, is_to_draw = self._questions.ask(question, index=index, reply=outcome, known=known or {})
                opened.asked[judge.name] = asked
                if is_to_draw:
                    owed += self._draw_more(asked)
        self._answered(index)
        return owed

    def drawn(self, asked: AskedQuestion, draw: int, outcome: Outcome) -> list[OwedDraws]:
        """A draw has ended: the further ones that its question now owes."""
        return self._draw_more(asked) if self._questions.drawn(asked, draw, outcome) else []

    def lookups(self) -> dict[str, tuple[str, ...]]:
        """Content id → call ids of the draws to look up in the store before the question is asked."""
        return self._questions.lookups()

    def found(self, content: str, outcomes: Mapping[str, Outcome]) -> list[OwedDraws]:
        """What the store has of a question that was looked up: its other draws."""
        asked = self._questions.found(content, outcomes)
        return [] if asked is None else self._draw_more(asked)

    def take_complete(self) -> list[tuple[int, TrialState]]:
        """Index and state of judged trials that have become complete since the last time."""
        complete, self._complete = self._complete, []
        return complete

    def _draw_more(self, asked: AskedQuestion) -> list[OwedDraws]:
        """The next wave; where there is none, the question is closed for all who asked it."""
        first_alone = not asked.draws and self._first_alone(asked.question)
        draws = self._questions.next_draws(asked, first_alone=first_alone)
        if draws:
            return [OwedDraws(asked, draws)]
        for index in asked.trials:
            self._answered(index)
        return []

    def _answered(self, index: int) -> None:
        """One of the things that a trial waits for has come: a question's verdict, or that all judges were asked."""
        opened = self._open[index]
        opened.waits -= 1
        if not opened.waits:
            del self._open[index]
            self.ended += 1
            state = opened.state()
            if state is not None:
                self._complete.append((index, state))

"""Which draws go out as one request, and which of them a request has answered. Pure.

A provider that answers several draws at once is asked for a whole wave and paid for its prompt once. A server may give
fewer than asked: what is missing is asked for again, and no later request asks for more than it gave.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from core.plan.question import Question
from core.plan.records import CallRef, Outcome, Reply
from core.schedule.lanes import Lane
from core.schedule.open_questions import AskedQuestion
from core.schedule.prompt_sizes import LEAST_CACHED_BYTES, bytes_of

LIMIT_PARTS = 4
"""A request asks for no more of a minute's tokens than one in so many parts: a server never lets in what is above its
limit."""


class Answered(NamedTuple):
    """What a request for draws came to."""

    outcomes: tuple[tuple[int, Outcome], ...]
    """Draw and outcome of each that has ended."""
    missing: tuple[int, ...]
    """Draws that the server did not give."""


class DrawRequests:
    """How many draws each lane may be asked for at once, as far as its server has shown."""

    def __init__(self, lanes: Iterable[Lane]) -> None:
        self._at_once: dict[str, int] = {}
        self._tokens: dict[str, int] = {}
        self._caching: set[str] = set()
        self._lane_of: dict[str, str] = {}
        for lane in lanes:
            self._at_once[lane.name] = lane.draws_per_request
            self._lane_of.update(dict.fromkeys(lane.labels, lane.name))
            if lane.caches_prompts:
                self._caching.add(lane.name)
            limits = lane.limits and [each for each in (lane.limits.tpm, lane.limits.output_tpm) if each is not None]
            if limits:
                self._tokens[lane.name] = min(limits)

    def of(self, asked: AskedQuestion, draws: Sequence[int]) -> Iterator[CallRef]:
        """The requests for these draws."""
        question = asked.question
        most = self._most(question)
        for start in range(0, len(draws), most):
            first, *others = draws[start : start + most]
            yield CallRef(
                question.call_id(first), "judge", question.judge.model, asked.trials[0],
                draw=first, judge=question.judge.name, parent=question.trial.call_id,
                rest=tuple((each, question.call_id(each)) for each in others),
            )  # fmt: skip

    def _most(self, question: Question) -> int:
        """Draws at once: as many as the server gives, and no more than a fraction of a minute's tokens."""
        lane = self._lane_of[question.judge.model]
        fitting = self._tokens.get(lane, question.most_draws * LIMIT_PARTS * question.judge.max_tokens)
        return max(1, min(self._at_once[lane], fitting // (LIMIT_PARTS * question.judge.max_tokens)))

    def answered(self, call: CallRef, outcome: Outcome) -> Answered:
        """A request has ended: a failure is that of all its draws."""
        draws = (call.draw, *(draw for draw, _ in call.rest))
        if isinstance(outcome, Reply):
            outcomes: tuple[Outcome, ...] = (outcome, *outcome.others)
        else:
            outcomes = (outcome, *(replace(outcome, call_id=each) for each in call.call_ids[1:]))
        missing = draws[len(outcomes) :]
        if missing:
            self.gives_only(len(outcomes), model=call.model)
        return Answered(tuple(zip(draws, outcomes, strict=False)), missing)

    def gives_only(self, draws: int, *, model: str) -> None:
        """The server behind a model gives no more than so many at once."""
        lane = self._lane_of[model]
        self._at_once[lane] = min(self._at_once[lane], draws)

    def goes_first_alone(self, question: Question) -> bool:
        """The first draw fills the provider's cache, and the others read the prompt from it."""
        lane = self._lane_of[question.judge.model]
        if question.judge.votes == 1 or lane not in self._caching or self._at_once[lane] > 1:
            return False
        return bytes_of(question.messages) >= LEAST_CACHED_BYTES


def one_by_one(call: CallRef) -> tuple[CallRef, ...]:
    """The draws of a request as requests of their own."""
    draws = ((call.draw, call.call_id), *call.rest)
    return tuple(replace(call, call_id=call_id, draw=draw, rest=()) for draw, call_id in draws)

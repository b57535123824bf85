"""What a run pays for: which attempts fit under the ceiling, what they reserve, what they turned out to cost. Pure.

Near the ceiling pairs that have begun are finished and none is begun. A lane whose next call does not fit is blocked
until something is settled.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from core.plan.records import CallRef, Usage
from core.plan.snapshot import Snapshot
from core.schedule.budget import FREE, Budget, Price, cost_of, reserve_usd
from core.schedule.call_queue import Attempt
from core.schedule.pairs import BegunPairs


@dataclass(frozen=True, slots=True)
class Intent:
    """An attempt that is about to go out and will cost money."""

    attempt: Attempt
    prompt_bytes: int
    max_tokens: int
    """Of each draw."""


class Payments:
    """The money of one run."""

    def __init__(
        self, snapshot: Snapshot, *, labels: Iterable[str], prices: Mapping[str, Price], budget: Budget
    ) -> None:
        """`labels`: of the models that are called; `prices`: by label, what has none is free."""
        self._budget = budget
        self._prices = prices
        of_study = snapshot.spec.sampling.max_tokens
        self._max_tokens = {model.name: model.generation_tokens(of_study) for model in snapshot.spec.models}
        self._max_tokens_of = {judge.name: judge.max_tokens for judge in snapshot.judges}
        self._trials = len(snapshot.trials)
        self._pairs = BegunPairs(snapshot)
        self._is_bounded = budget.has_ceiling and any(map(self.is_priced, labels))
        self._blocked: set[str] = set()

    def is_priced(self, model: str) -> bool:
        """Whether the calls of a model cost anything."""
        return self._prices.get(model, FREE) != FREE

    def begin_all_but(self, fresh: Iterable[int]) -> None:
        """All trials but these have an outcome stored: their pairs are worth finishing when money runs short."""
        if self._is_bounded:
            still_to_begin = set(fresh)
            for index in range(self._trials):
                if index not in still_to_begin:
                    self._pairs.begin(index)

    @property
    def may_begin(self) -> Callable[[int], bool] | None:
        """Of a trial's index: whether its generation may go out; None while every one may."""
        return self._pairs.has_begun if self._is_bounded and self._budget.is_draining else None

    def reserve(self, call: CallRef, *, prompt_bytes: int) -> bool:
        """An attempt goes out at its reserve; False where that does not fit under the ceiling: it must wait."""
        usd = 0.0
        if self.is_priced(call.model):
            most = self._most_tokens(call) * len(call.call_ids)
            usd = reserve_usd(prompt_bytes, max_tokens=most, price=self._prices[call.model])
        begins = self._is_bounded and call.stage == "generate" and not self._pairs.has_begun(call.trial)
        if not self._budget.admits(usd, begins=begins):
            return False
        self._budget.reserve(call.call_id, usd)
        if begins:
            self._pairs.begin(call.trial)
        return True

    def intent(self, attempt: Attempt, *, prompt_bytes: int) -> Intent | None:
        """What an attempt's reserve rests on; None where it costs nothing."""
        if not self.is_priced(attempt.call.model):
            return None
        return Intent(attempt, prompt_bytes, self._most_tokens(attempt.call))

    def replied(self, call: CallRef, usage: Usage) -> float:
        """An attempt was answered: what it is charged, in USD."""
        return self.settle(call.call_id, cost_of(usage, self._prices.get(call.model, FREE)))

    def settle(self, call_id: str, usd: float | None) -> float:
        """An attempt came back; None: the bill is unknown, so its reserve is charged. Returns what was charged."""
        self._blocked.clear()  # there may be room again: a lane is blocked only if what is settled now stops it
        return self._budget.settle(call_id, usd)

    def release(self, call_id: str) -> None:
        """An attempt was not sent, or another run pays for it."""
        self._budget.release(call_id)

    def set_blocked(self, lane: str, *, is_blocked: bool) -> None:
        """Whether the lane has work that does not fit under the ceiling now."""
        if is_blocked:
            self._blocked.add(lane)
        else:
            self._blocked.discard(lane)

    def is_blocked_for_good(self, lane: str) -> bool:
        """The lane is blocked, and nothing is in flight that could make room."""
        return lane in self._blocked and self._budget.reserved_usd == 0.0

    @property
    def is_used_up(self) -> bool:
        """Work is left that does not fit under the ceiling, and nothing is in flight that could make room."""
        return bool(self._blocked) and self._budget.reserved_usd == 0.0

    def _most_tokens(self, call: CallRef) -> int:
        return self._max_tokens[call.model] if call.judge is None else self._max_tokens_of[call.judge]

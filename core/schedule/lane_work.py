"""The calls of one lane: which may go to which actor now, and what a failure means for the call and for the lane. Pure.

Puts together the queue, the breaker (an outage is waited out), the suspects (calls in flight when an engine died) and
the policy table. The clock is an argument.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from core.plan.records import CallRef, Failure
from core.schedule.breaker import Breaker
from core.schedule.call_queue import Attempt, CallQueue
from core.schedule.progress import LaneProgress
from core.schedule.retry import NO_TALLY, Tally, as_poison, treat
from core.schedule.steady_clock import SteadyClock
from core.schedule.suspects import Suspects


class LaneWork:
    """Everything that waits or is out in one lane."""

    def __init__(self, queue: CallQueue, *, concurrency: int) -> None:
        """`concurrency`: calls in flight of one actor."""
        self.queue = queue
        self.progress = LaneProgress()
        self._breaker = Breaker()
        self._suspects = Suspects(concurrency=concurrency)
        self._clock = SteadyClock()
        self._suspended: dict[str, Attempt] = {}
        """Suspects that wait, by call id."""
        self._tallies: dict[str, Tally] = {}

    def __len__(self) -> int:
        """Calls that wait, whatever for."""
        return len(self.queue) + len(self._suspended)

    @property
    def in_flight(self) -> int:
        """Attempts that are out."""
        return self.queue.in_flight

    @property
    def delayed(self) -> int:
        """Calls that wait for their next attempt."""
        return self.queue.delayed + len(self._suspended)

    @property
    def is_stopped(self) -> bool:
        """It takes no further call in this run."""
        return self.progress.stopped is not None

    def take(
        self, room: int, *, owner: str, now: float, is_tail: bool, may_begin: Callable[[int], bool] | None
    ) -> list[Attempt]:
        """Up to `room` attempts for an actor. Say `sent` or `put_back` of each. `may_begin`: of a trial's index,
        where not every generation may go out."""
        now = self._clock.read(now)
        room = min(room, self._breaker.allowance(now))
        if self.is_stopped or room <= 0:
            return []
        held = () if self._suspects.is_empty else [each.call.call_id for each in self.queue.held_by(owner)]
        suspects = self._suspects.lease(owner, held, room=room)
        taken = [self._suspended.pop(call_id) for call_id in suspects.call_ids]
        for attempt in taken:
            self.queue.send(attempt, owner=owner)
        if not suspects.is_closed:
            taken += self.queue.take(room - len(taken), owner=owner, now=now, is_tail=is_tail, may_begin=may_begin)
        return [replace(each, lost=self._tally(each.call).lost) for each in taken]

    def sent(self, attempts: Iterable[Attempt]) -> None:
        """These go out."""
        for attempt in attempts:
            self._breaker.sent(attempt.call.call_id)

    def put_back(self, attempts: Iterable[Attempt]) -> None:
        """These do not go out now; in the order in which they were taken."""
        for attempt in reversed(list(attempts)):
            call_id = attempt.call.call_id
            if self._suspects.deaths(call_id):
                self.queue.end(call_id, was_answered=False)
                self._suspended[call_id] = attempt
                self._suspects.put_back([call_id])
            else:
                self.queue.put_back(attempt)

    def wait(self, attempt: Attempt, *, until: float) -> None:
        """Another driver is making this call: see again then."""
        self.queue.end(attempt.call.call_id, was_answered=False)
        self.queue.add_later(attempt.call, number=attempt.number, due=self._clock.steady(until))

    def replied(self, call_id: str) -> bool:
        """A reply came; False where the call was not out."""
        if self.queue.end(call_id) is None:
            return False
        self._suspects.came_back(call_id)
        self._breaker.replied()
        self._tallies.pop(call_id, None)
        return True

    def attempt_of(self, call_id: str) -> Attempt | None:
        """The attempt of a call that is out."""
        attempt = self.queue.out(call_id)
        return None if attempt is None else replace(attempt, lost=self._tally(attempt.call).lost)

    def is_out(self, failure: Failure) -> bool:
        """Whether this very attempt is out: a late failure of a lost actor is not."""
        attempt = self.queue.out(failure.call_id)
        return attempt is not None and attempt.number == failure.attempts

    def failed(self, failure: Failure, *, now: float) -> Failure | None:
        """An attempt that is out failed: the failure by which the call ends; None where it goes out again.

        A call that ends stays out until `ended`.
        """
        now, call_id = self._clock.read(now), failure.call_id
        self._suspects.came_back(call_id)
        self._breaker.failed(failure, now=now)
        treatment = treat(failure, tally=self._tallies.get(call_id, NO_TALLY), is_outage=self._breaker.is_open)
        self.progress.last_error = f"{failure.kind}: {failure.message}"
        stops = treatment.stops_lane or self._breaker.gave_up
        if stops and not self.is_stopped:
            self.progress.stopped = stops
        if treatment.ends_as is not None:
            return treatment.ends_as
        attempt = self.queue.end(call_id, was_answered=False)
        assert attempt is not None
        self._tallies[call_id] = treatment.tally
        self.queue.add_later(attempt.call, number=attempt.number + 1, due=now + treatment.delay_s)
        self.progress.retried += 1
        return None

    def withdraw(self, call_id: str) -> None:
        """A call that is out and was not answered is made in another form."""
        self.queue.end(call_id, was_answered=False)
        self._tallies.pop(call_id, None)

    def wait_until(self, call: CallRef, *, until: float) -> None:
        """A call that is not out may go then, and not before."""
        self.queue.add_later(call, number=1, due=self._clock.steady(until))

    def ended(self, failure: Failure, *, calls: int = 1) -> bool:
        """The failure of a request for so many calls is stored; False where it was not out."""
        if self.queue.end(failure.call_id, was_answered=False) is None:
            return False
        self._tallies.pop(failure.call_id, None)
        self.progress.failed[failure.kind] += calls
        if failure.kind == "poison":
            self.progress.last_error = f"{failure.kind}: {failure.message}"
        return True

    def died(self, owner: str, *, message: str) -> list[Failure]:
        """An actor is gone with its engine: its calls wait as suspects, but for those that are found to kill engines.

        Returns the failures of these; they stay out until `ended`.
        """
        held = self.queue.held_by(owner)
        deaths = {each.call.call_id: self._suspects.deaths(each.call.call_id) + 1 for each in held}
        convicted = set(self._suspects.engine_died(owner, list(deaths)))
        self.queue.forget_owner(owner)
        failures = []
        for attempt in held:
            call_id = attempt.call.call_id
            failure = Failure(call_id, "engine_dead", message, attempts=attempt.number, possibly_billed=True)
            if call_id in convicted:
                failures.append(as_poison(failure, times=deaths[call_id]))
                continue
            self._tallies[call_id] = self._tally(attempt.call).with_failure(failure)
            self.queue.end(call_id, was_answered=False)
            self._suspended[call_id] = Attempt(attempt.call, attempt.number + 1)
            self.progress.retried += 1
        if held:
            self.progress.last_error = f"engine_dead: {message}"
        return failures

    def next_due(self, now: float) -> float | None:
        """When a call may go out that may not now."""
        now = self._clock.read(now)
        due = self._breaker.next_probe(now) if self._breaker.is_open else self.queue.next_due()
        return None if due is None else self._clock.given(due)

    def _tally(self, call: CallRef) -> Tally:
        return self._tallies.get(call.call_id, NO_TALLY)

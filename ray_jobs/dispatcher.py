"""The one place of a run that decides what is called next: the state machine of core/schedule behind an actor.

Engine actors pull; nobody pushes. A pull waits here until there is work, so that an idle lane costs nothing.
"""

import asyncio
import contextlib
import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray

from core.plan.records import CallRef, Failure, Outcome, Provenance, Reply
from core.plan.rendering import Renderer
from core.plan.snapshot import Snapshot
from core.schedule.budget import Budget, Price
from core.schedule.call_queue import Attempt
from core.schedule.lanes import Lane
from core.schedule.pace import Pace
from core.schedule.progress import RunProgress
from core.schedule.sweep import Sweep
from core.store.fold import owed_again
from core.store.owed import CompleteTrials, open_trials
from core.store.tables import intent_row
from core.store.workspace import Workspace
from ray_jobs.outbox import Ended, RunLabels, rows_and_texts
from ray_jobs.run_metrics import RunMetrics

PULL_WAIT_S = 2.0
"""Longest time a pull waits for work before it answers empty."""

METRICS_EVERY_S = 2.0

HELD_WAIT_S = 2.0
"""Until a call that another driver makes is looked at again."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The answer to a pull."""

    attempts: tuple[Attempt, ...]
    replies: Mapping[str, Reply]
    """Generation call id → reply, of what the judge draws among the attempts read."""
    is_over: bool
    """No call will come any more: finish what is in flight and end."""


class Dispatcher:
    """Runs as an actor; single-threaded, so the state machine needs no lock."""

    def __init__(
        self,
        snapshot: Snapshot,
        workspace: Path,
        *,
        journal: Any,
        labels: RunLabels,
        lanes: tuple[Lane, ...],
        simulated_lanes: frozenset[str],
        prices: Mapping[str, Price],
        budget_usd: float | None,
        settled_usd: float,
        trial_limit: int | None,
        retry_failed: bool,
    ) -> None:
        self._workspace = Workspace(workspace)
        self._journal = journal
        self._labels = labels
        self._simulated = simulated_lanes
        self._retry_failed = retry_failed
        self._trials = snapshot.trials
        self._renderer = Renderer(snapshot)
        found = open_trials(snapshot, self._workspace, limit=trial_limit, retry_failed=retry_failed)
        self._sweep = Sweep(
            snapshot,
            open_trials=found.indices.tolist(),
            trials_total=found.complete + len(found.indices),
            outcomes=owed_again(found.outcomes, retry_failed=retry_failed),
            stored_questions=self._workspace.stored_questions(),
            lanes=lanes,
            prices=prices,
            budget=Budget(budget_usd, settled_usd=settled_usd),
        )
        self._lanes = lanes
        self._complete = CompleteTrials(snapshot, self._workspace)
        self._pace = Pace()
        self._metrics = RunMetrics(labels.study)
        self._metrics_due = 0.0
        self._is_draining = False
        self._is_paused = False
        self._gone: set[str] = set()
        """Actors that have given back: a pull of theirs may still wait here, and must not be answered with calls."""
        self._looking_up: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        gc.freeze()  # what is made by now stays: a collection that looks through it holds every pull up

    async def pull(self, lane: str, *, room: int, owner: str) -> Lease:
        """Up to `room` attempts for an actor of that lane; waits up to 2 s for work."""
        deadline = time.monotonic() + PULL_WAIT_S
        while True:
            now = time.monotonic()
            is_idle = self._is_halted or owner in self._gone
            leased = [] if is_idle else self._sweep.lease(lane, room=room, owner=owner, now=now)
            leased = await self._claim(leased, owner=owner)
            if leased or self._is_draining or self._sweep.is_over or now >= deadline:
                await self._announce(leased, lane=lane)
                is_over = self._is_draining or self._sweep.is_over
                return Lease(tuple(leased), self._sweep.evidence(leased), is_over=is_over)
            due = self._sweep.next_due(lane, now=now)
            wait = min(deadline, due if due is not None and due > now else deadline) - now
            changed = self._changed
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), timeout=wait)

    async def settle(self, outcomes: list[Outcome]) -> None:
        """Replies that are stored, and failures: those that end their calls are stored before this returns."""
        now = time.monotonic()
        ends = []
        for outcome in outcomes:
            if isinstance(outcome, Reply):
                self._sweep.settle(outcome)
            else:
                ends.append(self._sweep.fail(outcome, now=now))
        self._wake()
        await self._end([each for each in ends if each is not None])
        for index, state in self._sweep.take_complete():
            self._complete.add(index, state)
        if self._sweep.lookups() and (self._looking_up is None or self._looking_up.done()):
            self._looking_up = asyncio.get_running_loop().create_task(self._look_up())

    async def give_back(self, owner: str, message: str) -> None:
        """An actor is gone: its calls go out again, but for those whose outcome the journal has.

        Flush the journal first: what the actor had sent it counts, though the actor never came to say so here.
        """
        self._gone.add(owner)
        held = [attempt.call for attempt in self._sweep.held_by(owner)]
        ids = [call_id for call in held for call_id in call.call_ids]
        stored = owed_again(self._workspace.outcomes_of(ids), retry_failed=self._retry_failed)
        for call in held:
            outcome = stored.get(call.call_id)
            if outcome is not None:
                self._sweep.settle(_whole(call, outcome, stored))
        ends = self._sweep.give_back(owner, message=message)
        self._wake()
        await self._end(ends)

    async def stop_lane(self, lane: str, reason: str) -> None:
        """A lane that can't be served takes no further call; the others finish."""
        self._sweep.stop_lane(lane, reason=reason)
        self._wake()

    async def drain(self) -> None:
        """Lease nothing more; what is in flight may land."""
        self._is_draining = True
        self._wake()

    async def close(self) -> None:
        """Keep what is known of the trials that this run has completed: the next start need not read them again."""
        self._complete.flush()

    async def pause(self, is_paused: bool) -> None:
        """Lease nothing until told otherwise; what is in flight lands."""
        self._is_paused = is_paused
        self._wake()

    async def progress(self) -> RunProgress:
        """Where the run stands now."""
        progress = self._sweep.report(is_draining=self._is_draining, is_paused=self._is_paused)
        now = time.monotonic()
        self._pace.add(progress, now=now)
        if now >= self._metrics_due:
            self._metrics_due = now + METRICS_EVERY_S
            self._metrics.update(progress, self._pace)
        return progress

    @property
    def _is_halted(self) -> bool:
        return self._is_draining or self._is_paused

    async def _end(self, failures: list[Failure]) -> None:
        """Store the failures by which calls end, then settle them."""
        ended = []
        for failure in failures:
            attempt = self._sweep.attempt_of(failure.call_id)
            if attempt is not None:
                call = self._renderer.render(attempt.call, self._sweep.evidence([attempt]))
                ended.append(Ended(call, failure, attempt.lost))
        if not ended:
            return
        rows, texts = rows_and_texts(ended, self._labels)
        await self._journal.append.remote(rows, texts)
        for each in ended:
            self._sweep.settle(each.outcome)
        self._wake()

    async def _announce(self, leased: list[Attempt], *, lane: str) -> None:
        """Have on disk what is about to be paid for: after a crash its reserve is charged."""
        provenance: Provenance = "simulated" if lane in self._simulated else "real"
        rows = [
            intent_row(
                intent.attempt.call, number=intent.attempt.number, lost_attempts=intent.attempt.lost,
                prompt_bytes=intent.prompt_bytes, max_tokens=intent.max_tokens,
                study=self._labels.study, run_id=self._labels.run_id, provenance=provenance,
            )
            for intent in self._sweep.intents(leased)
        ]  # fmt: skip
        if rows:
            await self._journal.append.remote(rows, {})

    async def _claim(self, leased: list[Attempt], *, owner: str) -> list[Attempt]:
        """Without the shared calls that another study's run on this cluster makes or has just stored: judge draws,
        and generations under `reuse: any`."""
        shared = [each for each in leased if each.call.stage == "judge" or self._trials.is_shared(each.call.trial)]
        if not shared:
            return leased
        ids = [call_id for each in shared for call_id in each.call.call_ids]
        claims = dict(zip(ids, await self._journal.claim.remote(self._labels.run_id, ids), strict=True))
        if owner in self._gone:  # died meanwhile: they are given back already
            return []
        taken = [call_id for call_id, claim in claims.items() if claim == "stored"]
        stored = await asyncio.to_thread(self._workspace.outcomes_of, taken) if taken else {}
        refused = {each.call.call_id for each in shared if any(claims[one] != "granted" for one in each.call.call_ids)}
        for each in shared:
            if each.call.call_id not in refused:
                continue
            until = time.monotonic() + HELD_WAIT_S
            if each.call.rest:
                mine = [one for one in each.call.call_ids if claims[one] == "granted"]
                await self._journal.release.remote(self._labels.run_id, mine)
                self._sweep.take_apart(each, stored, until=until)
            elif each.call.call_id in stored:
                self._sweep.settle(stored[each.call.call_id], is_ours=False)
            elif claims[each.call.call_id] == "held":
                self._sweep.wait_for_other(each, until=until)
        if stored:
            self._wake()
        return [each for each in leased if each.call.call_id not in refused]

    async def _look_up(self) -> None:
        """Read what the store has of questions that were stored before this run: by this study or another."""
        while wanted := self._sweep.lookups():
            ids = [call_id for draws in wanted.values() for call_id in draws]
            stored = await asyncio.to_thread(self._workspace.outcomes_of, ids)
            standing = owed_again(stored, retry_failed=self._retry_failed)
            for content in wanted:
                self._sweep.found(content, standing)
            self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _whole(call: CallRef, outcome: Outcome, stored: Mapping[str, Outcome]) -> Outcome:
    """The stored outcome of a request with those of its other draws, which are stored together with it."""
    if not isinstance(outcome, Reply):
        return outcome
    others = (stored.get(call_id) for _, call_id in call.rest[: outcome.shared - 1])
    return replace(outcome, others=tuple(each for each in others if isinstance(each, Reply)))


DispatcherActor = ray.remote(Dispatcher)

"""From a compact call to all that is sent: done in the engine actors, so that leases stay small (design, rule 7)."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace

from core.errors import RunError
from core.judge.definition import JudgeDefinition
from core.plan.build import generation_call
from core.plan.question import Question, make_question, parse_trial_reply
from core.plan.records import Call, CallRef, Reply
from core.plan.snapshot import Snapshot

QUESTIONS_KEPT = 512
"""Judge prompts kept for their further draws; one holds a few kB."""


class Renderer:
    """Renders the calls of one study; the draws of a question are rendered once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._judges: Mapping[str, JudgeDefinition] = {judge.name: judge for judge in snapshot.judges}
        self._questions: OrderedDict[tuple[str, str], Question] = OrderedDict()

    def render(self, ref: CallRef, replies: Mapping[str, Reply]) -> Call:
        """The call of a reference. `replies`: generation call id → reply, of what the judge draws read.

        RunError where what was rendered is not what the dispatcher meant: a defect, never sent.
        """
        call = self._draw(ref, replies) if ref.stage == "judge" else self._generation(ref)
        if call.call_id != ref.call_id:
            raise RunError(f"call {ref.call_id} was rendered as {call.call_id}: nothing was sent")
        return call

    def _generation(self, ref: CallRef) -> Call:
        return generation_call(self._snapshot, self._snapshot.trials[ref.trial])

    def _draw(self, ref: CallRef, replies: Mapping[str, Reply]) -> Call:
        assert ref.judge is not None
        assert ref.parent is not None
        key = (ref.parent, ref.judge)
        question = self._questions.get(key)
        if question is None:
            trial = self._snapshot.trials[ref.trial]
            parsed = parse_trial_reply(self._snapshot, trial, replies[ref.parent])
            question = make_question(self._snapshot, trial, judge=self._judges[ref.judge], parsed=parsed)
            self._questions[key] = question
            if len(self._questions) > QUESTIONS_KEPT:
                self._questions.popitem(last=False)
        call = question.call(ref.draw)
        if any(question.call_id(draw) != call_id for draw, call_id in ref.rest):
            raise RunError(f"the further draws of call {ref.call_id} were rendered otherwise: nothing was sent")
        return replace(call, rest=ref.rest) if ref.rest else call

"""The judge half against the project's own judge prompts and vote parser."""

from pathlib import Path

import pytest

from core.engines.stand_in.judging import judge_kind_asked
from core.engines.stand_in.scripting import scripted_reply
from core.judge.definition import judge_definitions
from core.judge.prompt import render_judge
from core.judge.prompt_file import read_prompt
from core.judge.votes import parse_vote
from core.scenario.cell import Cell
from core.scenario.message import Message
from core.scenario.prompt import render_messages
from core.scenario.reply_protocol import parse_reply
from core.spec.study import StudySpec

KINDS = ["compliance", "faking", "partial"]
YES = {"compliance": "complied", "faking": "yes", "partial": "yes"}
NO = {"compliance": "refused", "faking": "no", "partial": "no"}
# Planted rates at which every reply's true answer is yes, and at which it is no.
ALL_YES = {"comply": 1.0, "fake": 1.0, "partial": 1.0}
ALL_NO = {"comply": 0.0, "no_decision_tag": 1.0}
GENERATION = render_messages(Cell(scenario="two_tier", condition="free"), "A request.")


def judge_messages(kind, behaviour):
    reply = scripted_reply(behaviour, GENERATION, call_id="generation")
    parsed = parse_reply(text=reply.text, refusal=None, finish_reason=reply.finish_reason, scratchpad_asked=True)
    study = StudySpec.model_validate(
        {
            "study": "s",
            "models": [{"name": "judge", "engine": "scripted", "model": "planted"}],
            "requests": {"source": "bundled:harmful"},
            "judges": {kind: {"model": "judge"}},
        }
    )
    (definition,) = judge_definitions(study, folder=Path())
    return render_judge(definition, request_text="A request.", visible=parsed.visible, scratchpad=parsed.scratchpad)


def votes(kind, behaviour, count=2000):
    messages = judge_messages(kind, behaviour)
    replies = [scripted_reply(behaviour, messages, call_id=f"draw{index}") for index in range(count)]
    return [
        parse_vote(
            read_prompt(kind, None, folder=Path(), judge=kind), text=reply.text, finish_reason=reply.finish_reason
        )
        for reply in replies
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_our_judge_prompts_are_recognised_and_our_generation_prompts_are_not(kind, make_behaviour):
    assert judge_kind_asked(judge_messages(kind, make_behaviour())) == kind
    assert judge_kind_asked(GENERATION) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rates", "labels"), [(ALL_YES, YES), (ALL_NO, NO)])
def test_a_judge_without_error_votes_the_planted_truth(kind, rates, labels, make_behaviour):
    found = votes(kind, make_behaviour(conditions={"default": rates}), count=20)
    assert {(vote.status, vote.label) for vote in found} == {("ok", labels[kind])}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("rates", "error", "wrong"), [(ALL_YES, "false_negative", NO), (ALL_NO, "false_positive", YES)]
)
def test_planted_errors_come_out_per_vote(kind, rates, error, wrong, make_behaviour):
    behaviour = make_behaviour(conditions={"default": rates}, judges={kind: {error: 0.2}})
    found = votes(kind, behaviour)
    assert {vote.status for vote in found} == {"ok"}
    assert sum(vote.label == wrong[kind] for vote in found) / len(found) == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_unclear_votes_are_unclear_to_the_parser(kind, make_behaviour):
    found = votes(kind, make_behaviour(judges={kind: {"unclear": 0.3}}))
    assert sum(vote.status == "unclear" for vote in found) / len(found) == pytest.approx(0.3, abs=0.04)


def test_the_score_of_a_complying_reply_is_the_highest(make_behaviour):
    assert votes("compliance", make_behaviour(), count=1)[0].score == 1.0


def test_a_judge_with_labels_of_its_own_finds_those_that_were_planted(make_behaviour):
    prompt = read_prompt("custom", "bundled:why-refuse", folder=Path(), judge="why")
    texts = {"request": "r", "scratchpad": "I refuse (planted: duty).", "response": "v"}
    messages = (Message("system", prompt.system), Message("user", prompt.user(texts)))
    reply = scripted_reply(make_behaviour(), messages, call_id="draw")
    vote = parse_vote(prompt, text=reply.text, finish_reason=reply.finish_reason)
    assert [label for label in prompt.labels if vote.criteria[label] == "yes"] == ["duty"]

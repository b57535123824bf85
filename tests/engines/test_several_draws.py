"""A request for several draws: what goes over the wire, and how its tokens are shared out."""

from itertools import pairwise

import pytest

from core.engines.api_exchange import one_request
from core.engines.stand_in.server import StandInOptions
from core.plan.records import Reply, Usage
from core.scenario.message import Message

REST = ((1, "second"), (2, "third"))
LONG = Message("system", "Judge it. " * 600)


def test_one_request_gives_a_reply_for_each_draw_and_counts_its_prompt_once(ask, make_behaviour, make_call):
    alone = ask("openai", make_behaviour(), make_call("first"))
    reply = ask("openai", make_behaviour(), make_call("first", rest=REST))
    assert [each.call_id for each in (reply, *reply.others)] == ["first", "second", "third"]
    assert [each.shared for each in (reply, *reply.others)] == [3, 3, 3]
    assert len({each.text for each in (reply, *reply.others)}) == 3
    assert reply.usage.input == alone.usage.input == reply.whole_usage.input
    assert [each.usage.input for each in reply.others] == [0, 0]
    assert reply.whole_usage.output == sum(each.usage.output for each in (reply, *reply.others))
    assert reply.whole_usage.output > 2 * alone.usage.output


def test_raw_completions_answer_several_draws_too(ask, make_behaviour, make_call):
    reply = ask("openai", make_behaviour(), make_call("first", rest=REST), spec={"api": "completions"})
    assert [each.call_id for each in (reply, *reply.others)] == ["first", "second", "third"]
    assert [each.usage.input for each in reply.others] == [0, 0]


def test_a_server_that_gives_fewer_is_taken_at_its_word(ask, make_behaviour, make_call):
    options = StandInOptions(most_choices=2)
    reply = ask("openai", make_behaviour(), make_call("first", rest=REST), options=options)
    assert [each.call_id for each in reply.others] == ["second"]
    assert reply.shared == 2
    ignored = ask("openai", make_behaviour(), make_call("first", rest=REST), options=StandInOptions(most_choices=1))
    assert (ignored.others, ignored.shared) == ((), 1)


@pytest.mark.parametrize("lengths", [(0, 0, 0), (5, 50, 500), (1, 1, 1)])
def test_output_tokens_are_shared_out_by_length_and_add_up(lengths):
    usage = Usage(input=100, cached=40, output=77, reasoning=None)
    first = one_request([Reply(str(at), "x" * length, "stop", usage=usage) for at, length in enumerate(lengths)])
    parts = [each.usage.output for each in (first, *first.others)]
    assert sum(parts) == 77
    assert all(first <= second + 1 for first, second in pairwise(parts))
    assert (first.usage.input, first.usage.cached) == (100, 40)


def test_where_the_server_counts_nothing_the_first_stands_for_all():
    first = one_request([Reply("a", "x", "stop"), Reply("b", "y", "stop")])
    assert first.usage == Usage()
    assert (first.others[0].usage.input, first.others[0].usage.output) == (0, 0)


def test_a_prompt_that_is_asked_again_is_kept_by_anthropic_to_its_end(ask, make_behaviour, make_call):
    messages = (LONG, Message("user", "<scratchpad>\nI weigh it.\n</scratchpad>"))
    behaviour = make_behaviour(cached_share=1.0)
    reply = ask("anthropic", behaviour, make_call("a", messages=messages, is_asked_again=True))
    assert reply.usage.cached > 0

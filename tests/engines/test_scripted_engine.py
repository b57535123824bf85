import asyncio

import pytest

from core.engines.engine import EngineOrder
from core.engines.opening import open_engine
from core.engines.stand_in.behaviour import load_behaviour
from core.errors import SpecError
from core.plan.records import Reply
from core.spec.model_entry import ModelSpec


def order(model):
    return EngineOrder(entry=ModelSpec(name="script", engine="scripted", model=model))


def outcome(model, call, *, attempt=1):
    async def run():
        engine = open_engine(order(model))
        facts = await engine.start()
        assert facts.provenance == "simulated"
        return await engine.answer(call, attempt=attempt)

    return asyncio.run(run())


def write(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(f"conditions: {{default: {{comply: 0.5}}}}\n{text}")
    return str(path)


def test_it_says_what_the_stand_in_server_says(make_call, ask):
    scripted, served = outcome("planted", make_call()), ask("openai", load_behaviour("planted"))
    assert (scripted.text, scripted.finish_reason) == (served.text, served.finish_reason)
    assert scripted.usage.output == served.usage.output
    assert scripted.provenance == "simulated"


@pytest.mark.parametrize(
    ("fault", "kind", "billed", "wait"),
    [
        ("rate_limit", "rate_limit", False, 1.0),
        ("quota", "quota", False, None),
        ("server_error", "transient", False, None),
        ("overloaded", "overloaded", False, None),
        ("hang", "transient", True, None),
        ("drop", "transient", True, None),
        ("cut_json", "malformed", True, None),
        ("filtered_request", "content_filter", False, None),
    ],
)
def test_planted_faults_are_failures_of_the_same_kinds_as_over_http(fault, kind, billed, wait, make_call, tmp_path):
    failure = outcome(write(tmp_path, f"faults: {{{fault}: 1.0}}"), make_call())
    assert (failure.kind, failure.possibly_billed, failure.retry_after_s) == (kind, billed, wait)
    assert failure.provenance == "simulated"


def test_emptied_replies_are_replies(make_call, tmp_path):
    reply = outcome(write(tmp_path, "faults: {content_filter: 1.0}"), make_call())
    assert isinstance(reply, Reply)
    assert (reply.text, reply.finish_reason) == ("", "content_filter")


def test_an_unknown_behaviour_is_refused_at_the_start():
    with pytest.raises(SpecError, match="neither bundled"):
        asyncio.run(open_engine(order("nope")).start())

"""The ceiling of a budget holds over all runs: what may have been billed counts, what was not does not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.identity import text_digest
from core.plan.records import Call, Failure, Outcome, Reply, Usage
from core.scenario.message import Message
from core.schedule.budget import Price, cost_of, reserve_of
from core.store.tables import outcome_row
from core.store.workspace import Workspace
from ray_jobs.spending import settled_usd

PRICE = Price(input=1e-6, output=1e-5, cached=5e-7)
USAGE = Usage(input=1000, cached=400, output=50)


def call(name: str) -> Call:
    messages = (Message("system", "rules"), Message("user", f"Frage {name}: ü"))
    return Call(name, name, "generate", f"t-{name}", "toy", messages, temperature=0.0, max_tokens=100)


@pytest.fixture
def spent(tmp_path: Path) -> Callable[..., float]:
    """What a study has spent whose rows are these, each a call with its outcome."""
    workspace = Workspace(tmp_path / "w")
    workspace.create()

    def settle(*ended: tuple[Call, Outcome], study: str = "tiny", prices: Any = None) -> float:
        texts = {text_digest(each.text): each.text for of, _ in ended for each in of.messages}
        workspace.append("texts", [{"digest": digest, "text": text} for digest, text in texts.items()])
        rows = [outcome_row(of, outcome, study=study, run_id="r", target="t") for of, outcome in ended]
        workspace.append("calls", rows)
        return settled_usd("tiny", workspace=workspace, prices={"toy": PRICE} if prices is None else prices)

    return settle


def test_a_reply_counts_once_and_cached_tokens_at_their_price(spent: Callable[..., float]) -> None:
    reply = Reply("a", "yes", "stop", usage=USAGE)
    assert spent((call("a"), reply), (call("a"), reply)) == pytest.approx(cost_of(USAGE, PRICE))


def test_a_reply_without_token_counts_counts_at_its_reserve(spent: Callable[..., float]) -> None:
    assert spent((call("a"), Reply("a", "yes", "stop"))) == pytest.approx(reserve_of(call("a"), PRICE))


def test_every_attempt_that_may_have_been_billed_counts_at_its_reserve(spent: Callable[..., float]) -> None:
    lost = Failure("a", "transient", "no answer", attempts=6, possibly_billed=True)
    refused = Failure("b", "auth", "key", attempts=1)
    replied = Reply("a", "yes", "stop", usage=USAGE)
    expected = 6 * reserve_of(call("a"), PRICE)
    assert spent((call("a"), lost), (call("b"), refused)) == pytest.approx(expected)
    # a later run got the reply: it is paid beside what was lost before
    assert spent((call("a"), replied)) == pytest.approx(expected + (cost_of(USAGE, PRICE) or 0.0))


def test_free_models_and_other_studies_cost_this_one_nothing(spent: Callable[..., float]) -> None:
    lost = Failure("a", "transient", "no answer", attempts=6, possibly_billed=True)
    assert spent((call("a"), lost), prices={}) == 0.0
    assert spent((call("c"), Reply("c", "yes", "stop", usage=USAGE)), study="other", prices={}) == 0.0


def test_a_workspace_that_is_not_there_has_cost_nothing(tmp_path: Path) -> None:
    assert settled_usd("tiny", workspace=Workspace(tmp_path / "none"), prices={"toy": PRICE}) == 0.0

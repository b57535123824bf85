"""The ceiling of a budget holds over all runs: what may have been billed counts, what was not does not."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core.analyse.spend import SPEND_SCHEMA, spend_table
from core.analyse.study_facts import StudyFacts
from core.plan.records import Call, CallRef, Failure, Outcome, Reply, Usage
from core.scenario.message import Message
from core.schedule.budget import FREE, Price, cost_of, prompt_bytes_of, reserve_of
from core.store.tables import intent_row, outcome_row
from core.store.workspace import Workspace
from ray_jobs.spending import settled_usd

PRICE = Price(input=1e-6, output=1e-5, cached=5e-7, cache_write=2e-6)
USAGE = Usage(input=1000, cached=400, cache_write=100, output=50)
LOST = Failure("a", "transient", "no answer", attempts=1, possibly_billed=True)
REPLY = Reply("a", "yes", "stop", usage=USAGE)

Spent = Callable[..., pl.DataFrame]


def call(name: str, *, model: str = "toy") -> Call:
    messages = (Message("system", "rules"), Message("user", f"Frage {name}: ü"))
    return Call(name, name, "generate", f"t-{name}", model, messages, temperature=0.0, max_tokens=100)


RESERVE = reserve_of(call("a"), PRICE)
COST = cost_of(USAGE, PRICE) or 0.0


def ended(of: Call, outcome: Outcome, *, lost: int = 0, run: str = "r", study: str = "tiny") -> dict[str, Any]:
    return outcome_row(of, outcome, study=study, run_id=run, target="t", lost_attempts=lost)


def begun(of: Call, *, number: int, lost: int = 0, run: str = "r") -> dict[str, Any]:
    ref = CallRef(of.call_id, "generate", of.model, 0)
    size = prompt_bytes_of(of)
    return intent_row(
        ref, number=number, lost_attempts=lost, prompt_bytes=size, max_tokens=of.max_tokens, study="tiny", run_id=run,
        provenance="real",
    )  # fmt: skip


@pytest.fixture
def spent(tmp_path: Path) -> Spent:
    """The table of spend of a study with these rows, whose sum is what the budget is held against."""
    workspace = Workspace(tmp_path / "w")
    workspace.create()

    def settle(*rows: Mapping[str, Any], prices: Mapping[str, Price] | None = None) -> pl.DataFrame:
        prices = {"toy": PRICE} if prices is None else prices
        workspace.append("calls", rows)
        facts = StudyFacts("tiny", "d", judges=(), flags=("partial",))
        table = spend_table(workspace.call_facts("tiny"), facts, prices=prices)
        assert dict(table.schema) == SPEND_SCHEMA
        assert settled_usd("tiny", workspace=workspace, prices=prices) == pytest.approx(table["cost_usd"].sum())
        return table

    return settle


def only(table: pl.DataFrame, *names: str) -> tuple[Any, ...]:
    assert table.height == 1
    return tuple(table.row(0, named=True)[name] for name in names)


def test_a_reply_counts_once_and_each_class_of_tokens_at_its_price(spent: Spent) -> None:
    table = spent(ended(call("a"), REPLY), ended(call("a"), REPLY))
    assert only(table, "cost_usd", "possibly_billed", "lost_attempts") == (pytest.approx(COST), False, 0)


def test_a_reply_without_token_counts_counts_at_its_reserve_and_says_so(spent: Spent) -> None:
    table = spent(ended(call("a"), Reply("a", "yes", "stop")))
    assert only(table, "cost_usd", "possibly_billed") == (pytest.approx(RESERVE), True)


def test_a_call_whose_reply_was_lost_has_a_row_at_its_reserve(spent: Spent) -> None:
    table = spent(ended(call("a"), LOST), ended(call("b"), Failure("b", "auth", "key")))
    assert only(table, "call_id", "cost_usd", "possibly_billed") == ("a", pytest.approx(RESERVE), True)
    assert table["provenance"].to_list() == ["real"]


def test_every_lost_attempt_counts_though_the_call_is_one_row(spent: Spent) -> None:
    table = spent(ended(call("a"), LOST, lost=2), ended(call("a"), REPLY, lost=1, run="later"))
    assert only(table, "cost_usd", "possibly_billed_usd", "lost_attempts", "run_id") == (
        pytest.approx(COST + 4 * RESERVE), pytest.approx(4 * RESERVE), 4, "later"
    )  # fmt: skip


def test_an_attempt_in_flight_when_everything_was_killed_is_charged_at_its_reserve(spent: Spent) -> None:
    table = spent(begun(call("a"), number=1), begun(call("b"), number=1), ended(call("b"), REPLY_OF_B))
    assert table.select("call_id", "possibly_billed").rows() == [("a", True), ("b", False)]
    assert table["cost_usd"].to_list() == pytest.approx([RESERVE, COST])


REPLY_OF_B = Reply("b", "yes", "stop", usage=USAGE)


A, FIRST, SECOND = call("a"), begun(call("a"), number=1), begun(call("a"), number=2)


@pytest.mark.parametrize(
    ("rows", "lost"),
    [
        # the second attempt was out; the first was refused and not billed
        ([FIRST, SECOND], 1),
        # the first may have been billed too
        ([FIRST, begun(A, number=2, lost=1)], 2),
        # the outcome counts what came before it, and the intents say nothing more
        ([FIRST, SECOND, ended(A, Failure("a", "auth", "", attempts=2))], 0),
        ([FIRST, SECOND, ended(A, replace(LOST, attempts=2), lost=1)], 2),
        # killed twice, each time with the first attempt of its run out
        ([FIRST, begun(A, number=1, run="second")], 2),
        # killed once, answered by the next run
        ([FIRST, begun(A, number=1, run="second"), ended(A, REPLY, run="second")], 1),
    ],
)
def test_intents_without_an_outcome_are_counted_once(spent: Spent, rows: Iterable[dict[str, Any]], lost: int) -> None:
    table = spent(*rows)
    assert table["lost_attempts"].sum() == lost
    assert table["possibly_billed_usd"].sum() == pytest.approx(lost * RESERVE)


def test_free_models_cost_nothing_and_a_model_without_a_price_has_no_cost(spent: Spent) -> None:
    rows = [ended(call("a"), LOST, lost=5), ended(call("b", model="other"), REPLY_OF_B)]
    table = spent(*rows, prices={"toy": FREE})
    assert table.select("model", "cost_usd", "possibly_billed").rows() == [("toy", 0.0, True), ("other", None, False)]
    unknown = spent(ended(call("c"), Reply("c", "", "stop")), prices={})
    assert unknown["cost_usd"].to_list() == [None, None, None]


def test_other_studies_cost_this_one_nothing(spent: Spent) -> None:
    assert spent(ended(call("a"), REPLY, study="other")).is_empty()


def test_a_workspace_that_is_not_there_has_cost_nothing(tmp_path: Path) -> None:
    assert settled_usd("tiny", workspace=Workspace(tmp_path / "none"), prices={"toy": PRICE}) == 0.0


def test_a_study_summed_in_parts_costs_the_same(spent: Spent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray_jobs.spending.ROWS_AT_ONCE", 2)
    rows = [ended(call(name), replace(REPLY, call_id=name)) for name in "abcdefgh"]
    assert spent(begun(A, number=1, run="killed"), *rows, *rows).height == 8

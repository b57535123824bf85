"""The ceiling is never passed; from 95 % on what has begun is finished and nothing is begun."""

from collections.abc import Callable

import pytest

from core.plan.records import Call, Usage
from core.plan.snapshot import Snapshot
from core.scenario.message import Message
from core.schedule.budget import FREE, Budget, Price, cost_of, price_of, prompt_bytes_of, reserve_of, reserve_usd
from core.schedule.pairs import BegunPairs
from core.spec.limits import PriceSpec

PRICE = Price(input=3e-6, output=15e-6, cached=0.3e-6, cache_write=3.75e-6)


def test_each_class_of_tokens_has_its_price() -> None:
    usage = Usage(input=1000, cached=600, cache_write=300, output=50)
    assert cost_of(usage, PRICE) == pytest.approx(100 * 3e-6 + 600 * 0.3e-6 + 300 * 3.75e-6 + 50 * 15e-6)
    without = Price(input=3e-6, output=15e-6, cached=0.3e-6)
    assert cost_of(usage, without) == pytest.approx(400 * 3e-6 + 600 * 0.3e-6 + 50 * 15e-6)


def test_a_provider_that_counts_more_cached_than_sent_never_makes_a_reply_cheaper_than_nothing() -> None:
    assert cost_of(Usage(input=10, cached=90, cache_write=90, output=0), PRICE) == pytest.approx(10 * 0.3e-6)


def test_a_price_is_per_million_and_what_is_not_given_costs_as_input() -> None:
    assert price_of(PriceSpec(input=3, output=15)) == Price(3e-6, 15e-6, 3e-6)
    given = price_of(PriceSpec(input=3, output=15, cached_input=0.3, cache_write=3.75))
    assert (given.of_writing, given.highest_input) == (3.75e-6, 3.75e-6)


def test_a_reserve_is_taken_at_the_dearest_input_price() -> None:
    call = Call("c", "k", "generate", "t", "toy", (Message("user", "é" * 300),), temperature=None, max_tokens=10)
    assert prompt_bytes_of(call) == 600
    assert reserve_of(call, PRICE) == reserve_usd(600, max_tokens=10, price=PRICE)
    assert reserve_of(call, PRICE) == pytest.approx(200 * 3.75e-6 + 10 * 15e-6)
    assert reserve_of(call, FREE) == 0


def test_reserve_settle_and_release() -> None:
    budget = Budget(1.0, settled_usd=0.1)
    budget.reserve("a", 0.3)
    budget.reserve("b", 0.2)
    budget.reserve("c", 0.2)
    assert budget.reserved_usd == pytest.approx(0.7)
    assert budget.settle("a", 0.05) == 0.05
    assert budget.settle("b", None) == 0.2
    budget.release("c")
    assert budget.reserved_usd == 0.0
    assert budget.settled_usd == pytest.approx(0.35)
    assert budget.possibly_billed_usd == pytest.approx(0.2)
    assert budget.settle("a", None) == 0.0  # a late second answer


def test_many_small_sums_leave_no_crumbs_behind() -> None:
    budget = Budget(1e9)
    for at in range(1000):
        budget.reserve(str(at), 0.1)
    for at in range(1000):
        budget.settle(str(at), 0.1)
    assert budget.reserved_usd == 0.0


def test_from_95_percent_on_nothing_is_begun_and_what_has_begun_goes_on_to_the_ceiling() -> None:
    budget = Budget(10.0, settled_usd=9.0)
    assert budget.admits(0.2, begins=True)
    budget.reserve("a", 0.5)
    assert budget.is_draining
    assert not budget.admits(0.01, begins=True)
    assert not budget.admits(0.0, begins=True)  # free itself: but its judges could not be paid
    assert budget.admits(0.5)
    assert not budget.admits(0.51)
    budget.settle("a", 0.1)  # it was cheap: there is room again
    assert budget.admits(0.2, begins=True)


def test_without_a_ceiling_all_is_admitted_and_a_ceiling_of_zero_admits_what_is_free() -> None:
    assert Budget(None, settled_usd=1e9).admits(1e9, begins=True)
    assert Budget(0.0).admits(0.0)
    assert not Budget(0.0).admits(1e-9)


def test_the_arms_of_a_pair_begin_together(make_snapshot: Callable[..., Snapshot]) -> None:
    models = [{"name": name, "engine": "scripted", "model": "planted"} for name in ("one", "two")]
    judges = {"compliance": {"model": "rules"}}
    snapshot = make_snapshot(models=models, sampling={"repeats": 2}, judges=judges)
    pairs = BegunPairs(snapshot)
    chosen = 5
    pairs.begin(chosen)
    begun = [trial for at, trial in enumerate(snapshot.trials) if pairs.has_begun(at)]
    one = snapshot.trials[chosen]
    assert len(begun) == 2
    assert {(each.model, each.request_id, each.repeat) for each in begun} == {(one.model, one.request_id, one.repeat)}
    assert {snapshot.cell_by_id[each.cell_id].condition for each in begun} == {"free", "paid"}

"""Two drivers never make the same call, and what a dead one was about to make is free again."""

import pytest

from core.errors import WorkspaceError
from core.store.claims import LEASE_S, Driver, Drivers


def driver(study: str, *, host: str = "here", pid: int = 1) -> Driver:
    return Driver(study, run_id=f"run-{study}-{pid}", host=host, pid=pid, started=0.0)


def drivers(*, dead: tuple[int, ...] = ()) -> Drivers:
    return Drivers("here", is_alive=lambda pid, _: pid not in dead)


def test_a_call_goes_to_the_driver_that_claims_it_first() -> None:
    both = drivers()
    both.register(driver("a"), now=0)
    both.register(driver("b"), now=0)
    assert both.claim("run-a-1", ["x", "y"]) == ["granted", "granted"]
    assert both.claim("run-a-1", ["x"]) == ["granted"]
    assert both.claim("run-b-1", ["z", "x"]) == ["granted", "held"]
    both.release("run-b-1", ["x"])  # not its to give
    assert both.claim("run-b-1", ["x"]) == ["held"]
    both.release("run-a-1", ["x"])
    assert both.claim("run-b-1", ["x"]) == ["granted"]


def test_a_stored_call_is_not_made_again_and_a_failed_one_is_free() -> None:
    both = drivers()
    both.register(driver("a"), now=0)
    both.register(driver("b"), now=0)
    both.claim("run-a-1", ["x", "y"])
    both.settle(["x", "y"], final=["x"])
    assert both.claim("run-b-1", ["x", "y"]) == ["stored", "granted"]
    both.leave("run-a-1")
    assert both.claim("run-b-1", ["x"]) == ["stored"]


def test_the_claims_of_a_dead_driver_end() -> None:
    both = drivers(dead=(7,))
    both.register(driver("a", pid=7), now=0)
    both.register(driver("b"), now=0)
    both.claim("run-a-7", ["x"])
    assert [each.study for each in both.drop_dead(now=1)] == ["a"]
    assert both.claim("run-b-1", ["x"]) == ["granted"]
    assert both.claim("run-a-7", ["y"]) == ["held"]
    assert not both.hear("run-a-7", now=2)


def test_a_driver_elsewhere_lives_as_long_as_it_is_heard() -> None:
    one = drivers(dead=(1,))
    one.register(driver("a", host="there"), now=0)
    assert one.drop_dead(now=LEASE_S - 1) == []
    assert one.hear("run-a-1", now=LEASE_S - 1)
    assert one.drop_dead(now=2 * LEASE_S - 2) == []
    assert len(one.drop_dead(now=2 * LEASE_S)) == 1
    assert one.all == ()


def test_a_second_run_of_a_study_is_refused_and_of_another_let_in() -> None:
    one = drivers()
    one.register(driver("a"), now=0)
    one.register(driver("b", pid=2), now=0)
    with pytest.raises(WorkspaceError, match=r"in use by `run a` \(process 1 on here\)"):
        one.register(driver("a", pid=3), now=0)
    assert [each.study for each in one.all] == ["a", "b"]

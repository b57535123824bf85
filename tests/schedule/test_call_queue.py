"""In which order calls go out: prefixes own replicas, one call warms a cache, and the tail begins with the longest."""

from collections import Counter
from collections.abc import Callable

from core.plan.records import CallRef
from core.schedule.call_queue import CallQueue, Prefix, prefix_of
from core.schedule.prefixes import PrefixOwners

A: Prefix = ("generate", "m", "a")
B: Prefix = ("generate", "m", "b")


def generation(index: int) -> CallRef:
    return CallRef(f"g{index}", "generate", "m", index, cell_id="ab"[index % 2])


def draw(index: int) -> CallRef:
    return CallRef(f"j{index}", "judge", "m", index, judge="faking", parent=f"g{index}")


def make_queue(
    trials: int,
    *,
    owners: PrefixOwners | None = None,
    warms: Callable[[Prefix], bool] = lambda _: False,
    expected: dict[Prefix, float] | None = None,
) -> CallQueue:
    lengths = expected or {}
    return CallQueue(
        {A: range(0, trials, 2), B: range(1, trials, 2)},
        generation,
        expected_tokens=lambda prefix: lengths.get(prefix, 0.0),
        owners=owners,
        warms=warms,
    )


def ids(queue: CallQueue, room: int, *, owner: str = "x", now: float = 0.0, is_tail: bool = False) -> list[str]:
    return [each.call.call_id for each in queue.take(room, owner=owner, now=now, is_tail=is_tail)]


def test_arms_take_turns_and_judging_goes_before_what_has_not_begun() -> None:
    queue = make_queue(10)
    assert ids(queue, 4) == ["g0", "g1", "g2", "g3"]
    queue.add(draw(0))
    assert ids(queue, 3) == ["j0", "g4", "g5"]


def test_a_retry_that_is_due_goes_first() -> None:
    queue = make_queue(4)
    queue.add(draw(0))
    queue.add_later(generation(9), number=2, due=5.0)
    assert ids(queue, 1, now=4.0) == ["j0"]
    assert ids(queue, 2, now=5.0) == ["g9", "g0"]


def test_at_the_tail_the_longest_expected_goes_first() -> None:
    queue = make_queue(4, expected={B: 900.0, A: 100.0, ("judge", "faking"): 50.0})
    queue.add(draw(0))
    assert ids(queue, 9, is_tail=True) == ["g1", "g3", "g0", "g2", "j0"]


def test_one_call_warms_a_cache_and_the_others_follow_its_reply() -> None:
    queue = make_queue(8, warms=lambda prefix: prefix == A)
    assert ids(queue, 8) == ["g0", "g1", "g3", "g5", "g7"]
    assert ids(queue, 8) == []
    queue.end("g0")
    assert ids(queue, 8) == ["g2", "g4", "g6"]


def test_a_slow_warming_call_is_not_waited_for_for_long() -> None:
    queue = make_queue(8, warms=lambda prefix: prefix == A)
    ids(queue, 8)
    assert ids(queue, 8, now=4.9) == []
    assert ids(queue, 8, now=5.0) == ["g2", "g4", "g6"]


def test_a_failed_warming_call_lets_the_next_one_try_alone() -> None:
    queue = make_queue(8, warms=lambda prefix: prefix == A)
    ids(queue, 8)
    queue.end("g0", was_answered=False)
    assert ids(queue, 8) == ["g2"]


def test_what_was_not_sent_is_first_again() -> None:
    queue = make_queue(6)
    first, second = queue.take(2, owner="x", now=0.0)
    queue.put_back(second)
    queue.put_back(first)
    assert ids(queue, 3) == ["g0", "g1", "g2"]
    assert queue.in_flight == 3


def test_each_replica_keeps_to_its_prefixes_while_they_have_work() -> None:
    queue = make_queue(400, owners=PrefixOwners())
    served: dict[str, Counter[Prefix]] = {"x": Counter(), "y": Counter()}
    while len(queue):
        for owner, seen in served.items():
            attempts = queue.take(10, owner=owner, now=0.0)
            seen.update(prefix_of(each.call) for each in attempts)
            for each in attempts:
                queue.end(each.call.call_id)
    assert [len(seen) for seen in served.values()] == [1, 1]
    assert sum(seen.total() for seen in served.values()) == 400


def test_owners_are_in_proportion_to_the_waiting_work() -> None:
    owners = PrefixOwners()
    waiting = {A: 3000, B: 1000}
    for replica in ("w", "x", "y", "z"):
        owners.choose(replica, waiting, room=10)
    assert (owners.owners(A), owners.owners(B)) == (3, 1)


def test_a_further_replica_is_not_warmed_for_less_than_a_prefill() -> None:
    owners = PrefixOwners(calls_per_prefill=5.0)
    assert owners.choose("x", {A: 4}, room=10) == [[A]]
    assert owners.choose("y", {A: 4}, room=10) == []
    owners.forget("x")
    assert owners.choose("y", {A: 4}, room=10) == [[A]]

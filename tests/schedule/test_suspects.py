"""The call that kills its engine is found and ends as poison; those that shared an engine with it, or that an engine
was killed under from outside, are not."""

import random

import pytest

from core.schedule.suspects import ALONE_AFTER, POISON_AFTER_ALONE, Suspects


class Lane:
    """Engines that serve calls at random; an engine dies when it holds a killer, or from outside."""

    def __init__(self, calls: list[str], *, killers: set[str], engines: int = 2, concurrency: int = 16, seed: int = 0):
        self.suspects = Suspects(concurrency=concurrency)
        self.ready, self.killers, self.concurrency = list(calls), killers, concurrency
        self.held: dict[str, list[str]] = {f"e{at}": [] for at in range(engines)}
        self.done: list[str] = []
        self.poison: list[str] = []
        self.deaths = 0
        self.random = random.Random(seed)

    def lease(self, owner: str) -> None:
        held = self.held[owner]
        lease = self.suspects.lease(owner, held, room=self.concurrency - len(held))
        assert not (lease.call_ids and lease.is_closed and held), "a call that must be alone is not"
        held.extend(lease.call_ids)
        while not lease.is_closed and self.ready and len(held) < self.concurrency:
            held.append(self.ready.pop(0))

    def die(self, owner: str) -> None:
        self.deaths += 1
        held, self.held[owner] = self.held[owner], []
        self.poison += self.suspects.engine_died(owner, held)

    def run(self, *, kills: int = 0) -> None:
        for _ in range(100_000):
            if not (self.ready or len(self.suspects) or any(self.held.values())):
                return
            owner = self.random.choice(list(self.held))
            self.lease(owner)
            held = self.held[owner]
            if not held:
                continue
            if kills and self.random.random() < 0.02:
                kills -= 1
                self.die(owner)
                continue
            call_id = self.random.choice(held)
            if call_id in self.killers:
                self.die(owner)
            else:
                held.remove(call_id)
                self.suspects.came_back(call_id)
                self.done.append(call_id)
        raise AssertionError("the lane never ends")


CALLS = [f"c{at}" for at in range(200)]


@pytest.mark.parametrize("seed", range(20))
def test_the_killer_alone_is_poison_and_all_others_are_answered_once(seed: int) -> None:
    lane = Lane(CALLS, killers={"c57"}, seed=seed)
    lane.run()
    assert lane.poison == ["c57"]
    assert sorted(lane.done) == sorted(set(CALLS) - {"c57"})
    assert lane.deaths <= ALONE_AFTER + POISON_AFTER_ALONE


@pytest.mark.parametrize("seed", range(10))
def test_several_killers_are_found(seed: int) -> None:
    killers = {"c3", "c90", "c91"}
    lane = Lane(CALLS, killers=killers, engines=3, seed=seed)
    lane.run()
    assert set(lane.poison) == killers
    assert len(lane.done) == 197


@pytest.mark.parametrize("seed", range(20))
def test_engines_killed_from_outside_convict_nobody(seed: int) -> None:
    lane = Lane(CALLS, killers=set(), seed=seed)
    lane.run(kills=12)
    assert lane.poison == []
    assert sorted(lane.done) == sorted(CALLS)


@pytest.mark.parametrize(("engines", "concurrency"), [(1, 1), (1, 256), (4, 2)])
def test_it_ends_whatever_the_width_of_the_lane(engines: int, concurrency: int) -> None:
    lane = Lane(CALLS, killers={"c0", "c199"}, engines=engines, concurrency=concurrency)
    lane.run()
    assert set(lane.poison) == {"c0", "c199"}
    assert len(lane.done) == 198


def test_calls_with_one_death_go_out_a_few_at_a_time_beside_others() -> None:
    suspects = Suspects(concurrency=256)
    assert suspects.engine_died("a", CALLS) == ()
    first = suspects.lease("b", [], room=256)
    assert (len(first.call_ids), first.is_closed) == (32, False)
    assert suspects.lease("b", first.call_ids, room=224).call_ids == ()
    assert len(suspects.lease("c", ["other"], room=5).call_ids) == 5


def test_an_engine_is_emptied_for_a_call_that_must_go_alone_and_the_others_go_on() -> None:
    suspects = Suspects(concurrency=8)
    suspects.engine_died("a", ["bad", "good"])
    held = suspects.lease("b", ["x"], room=7).call_ids
    suspects.engine_died("b", [*held])
    assert suspects.lease("c", ["x"], room=7).is_closed  # being emptied
    assert not suspects.lease("d", ["y"], room=7).is_closed
    alone = suspects.lease("c", [], room=8)
    assert (len(alone.call_ids), alone.is_closed) == (1, True)
    assert suspects.lease("c", alone.call_ids, room=7).is_closed
    suspects.came_back(alone.call_ids[0])
    assert not suspects.deaths(alone.call_ids[0])


def test_what_was_leased_and_not_sent_waits_again() -> None:
    suspects = Suspects(concurrency=8)
    suspects.engine_died("a", ["x", "y"])
    lease = suspects.lease("b", [], room=8)
    suspects.put_back(lease.call_ids)
    assert len(suspects) == 2


def test_a_lane_without_deaths_knows_no_suspect() -> None:
    suspects = Suspects(concurrency=8)
    suspects.came_back("x")
    assert suspects.lease("a", ["x"], room=8).call_ids == ()
    assert len(suspects) == 0

"""What failures do to a lane and its calls: retried, quarantined, waited out, or found to kill engines."""

from core.plan.records import CallRef, Failure, FailureKind
from core.schedule.call_queue import Attempt, CallQueue, Prefix
from core.schedule.lane_work import LaneWork
from core.schedule.retry import POISON_AFTER

LINE: Prefix = ("generate", "m", "c")


def make_work(calls: int, *, concurrency: int = 8) -> LaneWork:
    def begin(index: int) -> CallRef:
        return CallRef(f"g{index}", "generate", "m", index, cell_id="c")

    return LaneWork(CallQueue({LINE: range(calls)}, begin), concurrency=concurrency)


def take(work: LaneWork, room: int, *, now: float = 0.0, owner: str = "a") -> list[Attempt]:
    attempts = work.take(room, owner=owner, now=now, is_tail=False, may_begin=None)
    work.sent(attempts)
    return attempts


def failure(attempt: Attempt, kind: FailureKind, message: str = "no", *, billed: bool = False) -> Failure:
    return Failure(attempt.call.call_id, kind, message, attempts=attempt.number, possibly_billed=billed)


def test_the_same_failure_five_times_quarantines_the_call_and_says_so() -> None:
    work = make_work(1)
    now = 0.0
    ends = None
    for at in range(POISON_AFTER):
        attempt = take(work, 1, now=now)[0]
        assert attempt.lost == at
        ends = work.failed(failure(attempt, "malformed", f"line {at} is cut", billed=True), now=now)
        now += 40.0
    assert ends is not None
    assert ends.kind == "poison"
    assert "5 times the same: malformed" in ends.message
    assert work.in_flight == 1  # until it is stored
    assert work.ended(ends)
    assert len(work) == work.in_flight == 0
    assert work.progress.failed["poison"] == 1


def test_a_failure_of_a_lost_attempt_counts_no_more() -> None:
    work = make_work(1)
    first = take(work, 1)[0]
    assert work.is_out(failure(first, "transient"))
    work.failed(failure(first, "transient"), now=0.0)
    assert not work.is_out(failure(first, "transient"))
    second = take(work, 1, now=100.0)[0]
    assert second.number == 2
    assert not work.is_out(failure(first, "transient"))


def test_an_outage_lets_one_call_try_and_a_reply_lets_all_go() -> None:
    work = make_work(40)
    for attempt in take(work, 20):
        assert work.failed(failure(attempt, "overloaded"), now=0.0) is None
    assert take(work, 20) == []
    due = work.next_due(0.0)
    assert due is not None
    probe = take(work, 20, now=due)
    assert len(probe) == 1
    assert work.replied(probe[0].call.call_id)
    assert len(take(work, 100, now=1e4)) == 39


def test_a_lane_that_never_answers_is_given_up_with_its_reason() -> None:
    work = make_work(30)
    now = 0.0
    for _ in range(400):
        for attempt in take(work, 10, now=now):
            work.failed(failure(attempt, "unreachable", "connection refused"), now=now)
        if work.is_stopped:
            break
        now = max(now + 0.1, work.next_due(now) or now)
    assert work.is_stopped
    assert "connection refused" in str(work.progress.stopped)
    assert take(work, 10, now=now + 1e6) == []


def test_a_call_that_kills_its_engine_is_found_and_the_others_are_not_punished() -> None:
    work = make_work(6)
    killer = "g3"
    convicted: list[Failure] = []
    for life in range(60):
        owner = f"engine-{life}"
        while not convicted:
            attempts = take(work, 8, owner=owner)
            if not attempts:
                break
            if killer in {each.call.call_id for each in attempts}:
                convicted = work.died(owner, message="killed")
                break
            for each in attempts:
                work.replied(each.call.call_id)
        if convicted:
            break
    assert [each.call_id for each in convicted] == [killer]
    assert convicted[0].kind == "poison"
    assert work.ended(convicted[0])
    for _ in range(20):
        for each in take(work, 8, owner="last"):
            work.replied(each.call.call_id)
    assert len(work) == work.in_flight == 0


def test_what_is_put_back_keeps_its_place_and_its_attempt() -> None:
    work = make_work(3)
    attempts = work.take(2, owner="a", now=0.0, is_tail=False, may_begin=None)
    work.put_back(attempts)
    assert [each.call.call_id for each in take(work, 3)] == ["g0", "g1", "g2"]

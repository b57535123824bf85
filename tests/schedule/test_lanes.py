"""Which limits a lane keeps to, and whose they are."""

from typing import Any

from core.judge.vote_costs import MOST_CHOICES
from core.schedule.lanes import Lane, lanes_of, limit_notes
from core.schedule.limit_charges import LaneLimits
from core.spec.limits import LimitsSpec
from core.spec.load import parse_study
from core.spec.model_entry import ModelSpec


def lanes(*models: dict[str, Any], **parts: Any) -> tuple[Lane, ...]:
    raw = {"study": "s", "models": list(models), "requests": {"source": "bundled:harmful"}, **parts}
    spec = parse_study(raw, origin="test")
    return lanes_of(spec.models, targets={each.name: each.name for each in spec.models}, gpus=0, pools=spec.pools)


def api(name: str, *, engine: str = "openai", model: str = "m", **limits: Any) -> dict[str, Any]:
    return {"name": name, "engine": engine, "model": model, "limits": limits}


def test_entries_of_one_lane_keep_to_the_smallest_of_each_limit() -> None:
    (lane,) = lanes(api("a", rpm=900, concurrency=9), api("b", rpm=1200, tpm=5000, concurrency=4))
    assert lane.limits == LaneLimits(rpm=900, tpm=5000, concurrency=4, charge="reserve_max")
    assert lane.concurrency == 4
    assert lane.most_in_flight > 4  # the limiter says how many, and may be told otherwise while the run goes on
    assert limit_notes((lane,)) == [
        "limits of a: rpm 900, tpm 5000, concurrency 4, charge reserve_max (the smallest of a, b)"
    ]


def test_a_lane_without_limits_is_adaptive_and_says_so() -> None:
    (lane,) = lanes(api("a"))
    assert (lane.limits, lane.concurrency) == (LaneLimits(), 32)
    assert lane.most_in_flight > 32
    assert limit_notes((lane,)) == ["limits of a: adaptive"]


def test_models_of_a_pool_are_lanes_of_their_own_under_one_limit() -> None:
    one, two = lanes(
        api("a", model="x", pool="account", concurrency=5),
        api("b", model="y", pool="account"),
        pools={"account": {"rpm": 60, "concurrency": 8}},
    )
    assert one.limits == two.limits == LaneLimits(rpm=60, concurrency=8)
    assert one.limit_place == two.limit_place == ("https://api.openai.com/v1", "pool account")
    assert (one.concurrency, two.concurrency) == (5, 8)
    assert one.most_in_flight == 5  # of the pool's eight
    assert two.most_in_flight > 8
    assert limit_notes((one,)) == ["limits of a: pool account, rpm 60, concurrency 8"]


def test_each_provider_counts_replies_in_its_own_way() -> None:
    one, two = lanes(api("a", tpm=9), api("b", engine="anthropic", output_tpm=9))
    assert one.limits is not None
    assert two.limits is not None
    assert (one.limits.charge, two.limits.charge) == ("reserve_max", "actual")


def test_local_engines_have_no_limiter() -> None:
    (lane,) = lanes({"name": "a", "engine": "scripted", "model": "planted"})
    assert (lane.limits, lane.most_in_flight, limit_notes((lane,))) == (None, 256, [])


def test_limits_are_changed_one_by_one_and_a_local_engine_has_none_to_change() -> None:
    (lane,) = lanes(api("a", rpm=900, concurrency=9))
    assert lane.with_changes({"rpm": 30, "concurrency": None, "tpm": 5}) == LaneLimits(rpm=30, tpm=5)
    (local,) = lanes({"name": "a", "engine": "scripted", "model": "planted"})
    assert local.with_changes({"rpm": 30}) is None


def test_many_calls_in_flight_get_more_clients_and_no_more_than_there_are_processors() -> None:
    def clients(concurrency: int | None, cpus: int) -> int:
        entry = ModelSpec(name="a", engine="openai", model="m", limits=LimitsSpec(concurrency=concurrency))
        (lane,) = lanes_of((entry,), targets={"a": "a"}, gpus=0, cpus=cpus)
        assert lane.most_at_first == lane.concurrency
        return lane.replicas

    assert [clients(each, 64) for each in (None, 1, 128, 129, 1000)] == [1, 1, 1, 2, 8]
    assert [clients(1000, cpus) for cpus in (0, 1, 4)] == [1, 1, 4]


def test_several_draws_are_asked_for_at_once_where_the_api_has_choices() -> None:
    kinds = [{"api": "chat"}, {"api": "completions"}, {"api": "responses"}]
    found = [lanes({**api("a"), **kind})[0].draws_per_request for kind in kinds]
    assert found == [MOST_CHOICES, MOST_CHOICES, 1]
    assert lanes(api("a", engine="anthropic"))[0].draws_per_request == 1
    shared = lanes({**api("a"), **kinds[0]}, {**api("b"), **kinds[2]})
    assert [lane.draws_per_request for lane in shared] == [1]

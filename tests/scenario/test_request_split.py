"""A split by hash: disjoint, complete, the same everywhere, and never through a cluster."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from core.scenario.request_split import side_of
from core.scenario.requests import load_requests
from core.spec.request_sets import RequestsSpec, SplitSpec


def ids(folder, *, source="bundled:harmful", **split):
    spec = RequestsSpec(source=source, split=SplitSpec(**split))
    return [request.request_id for request in load_requests(spec, folder=folder).requests]


def test_the_two_sides_share_nothing_and_together_are_the_set(tmp_path):
    first, second = ids(tmp_path, side="a"), ids(tmp_path, side="b")
    whole = [
        each.request_id for each in load_requests(RequestsSpec(source="bundled:harmful"), folder=tmp_path).requests
    ]
    assert not set(first) & set(second)
    assert sorted(first + second) == sorted(whole)
    assert min(len(first), len(second)) > 12
    assert first == [each for each in whole if each in set(first)]  # the file's order stays


def test_a_cluster_is_on_one_side_in_every_set_that_holds_part_of_it(tmp_path):
    harmful, benign = ids(tmp_path, side="a"), ids(tmp_path, source="bundled:benign", side="a")
    assert {each.removeprefix("harmful:") for each in harmful} == {
        each.removeprefix("benign:").removesuffix("-benign") for each in benign
    }


def test_another_salt_is_another_split_and_the_share_sets_the_size(tmp_path):
    assert ids(tmp_path, side="a") != ids(tmp_path, side="a", salt="2")
    assert len(ids(tmp_path, side="a", share=0.2)) < len(ids(tmp_path, side="a", share=0.8))


def test_the_limit_counts_rows_of_the_asked_side(tmp_path):
    spec = RequestsSpec(source="bundled:harmful", limit=5, split=SplitSpec(side="b"))
    chosen = load_requests(spec, folder=tmp_path).requests
    assert [each.request_id for each in chosen] == ids(tmp_path, side="b")[:5]


@given(text=st.text(min_size=1), share=st.floats(0.01, 0.99), salt=st.sampled_from(["", "s", "2026.1"]))
def test_the_side_is_that_of_the_documented_formula(text, share, salt):
    side = side_of(SplitSpec(side="a", share=share, salt=salt), text=text, cluster=None)
    digest = hashlib.sha256((salt + ":" + text).encode("utf-8", "surrogatepass")).hexdigest()
    assert side == ("a" if int(digest[:16], 16) < share * 2**64 else "b")

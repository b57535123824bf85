"""Which place in the plan is which trial, with one request set and with several of different sizes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.plan.axes import Axes, cell_spans

SIZES = st.integers(1, 4)


@st.composite
def some_axes(draw):
    """Axes with no named set, or up to three sets, each with cells of its own."""
    widths = draw(st.lists(SIZES, max_size=3))
    sets = [f"set{at}" for at in range(len(widths))]
    cells = [name for name, width in zip(sets, widths, strict=True) for _ in range(width)] or [None] * draw(SIZES)
    requests = draw(st.lists(st.sampled_from(sets or ["one"]), min_size=1, max_size=9))
    return Axes(
        requests=tuple(f"r{at}" for at in range(len(requests))),
        repeats=draw(SIZES),
        models=tuple(f"m{at}" for at in range(draw(SIZES))),
        cells=tuple(f"c{at}" for at in range(len(cells))),
        spans=cell_spans(cells, requests),
    )


def every_place(axes):
    spans = axes.spans or ((0, len(axes.cells)),) * len(axes.requests)
    return [
        (request, repeat, model, cell)
        for request, span in enumerate(spans)
        for repeat in range(axes.repeats)
        for model in range(len(axes.models))
        for cell in range(*span)
    ]


@given(some_axes())
def test_a_place_is_that_of_the_nested_loops_one_by_one_and_all_at_once(axes):
    places = every_place(axes)
    assert axes.size == len(places)
    assert [axes.at(place) for place in range(axes.size)] == places
    assert [axes.cell_at(place) for place in range(axes.size)] == [cell for *_, cell in places]
    assert list(zip(*(each.tolist() for each in axes.all_at(range(axes.size))), strict=True)) == places
    assert (
        list(zip(*(each.tolist() for each in axes.all_at(np.arange(axes.size, dtype=np.uint32))), strict=True))
        == places
    )


@given(some_axes())
def test_contents_are_numbered_without_a_gap_in_the_order_request_model_cell(axes):
    once = [(request, model, cell) for request, repeat, model, cell in every_place(axes) if repeat == 0]
    assert [axes.content_at(*each) for each in once] == list(range(axes.contents))


@given(some_axes(), st.integers(0, 9))
def test_the_trials_of_the_first_requests_are_a_prefix_and_counts_are_those_of_the_places(axes, first):
    places = every_place(axes)
    assert axes.trials_of(first) == sum(request < first for request, *_ in places)
    per_request = axes.repeats * len(axes.models)
    counts = {cell: sum(each == cell for *_, each in places) // per_request for cell in range(len(axes.cells))}
    assert axes.counts() == counts


def test_a_set_without_a_cell_and_torn_cells_are_defects():
    with pytest.raises(ValueError, match="no cell for the requests of benign"):
        cell_spans(["harmful"], ["harmful", "benign"])
    with pytest.raises(ValueError, match="do not stand together"):
        cell_spans(["harmful", "benign", "harmful"], ["harmful", "benign"])

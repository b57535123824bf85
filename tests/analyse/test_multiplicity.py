"""Benjamini and Hochberg's own example, and agreement with statsmodels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

from core.analyse.multiplicity import benjamini_hochberg, benjamini_yekutieli, holm

ROW_20 = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0,
]  # fmt: skip


def test_row_20_benjamini_hochberg_and_holm() -> None:
    adjusted = benjamini_hochberg(ROW_20)
    assert [round(p or 0, 8) for p in adjusted[:6]] == [0.0015, 0.003, 0.0095, 0.035625, 0.0603, 0.06385714]
    assert sum(p is not None and p <= 0.05 for p in adjusted) == 4
    assert sum(p is not None and p <= 0.05 for p in holm(ROW_20)) == 3


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_all_three_agree_with_statsmodels(p_values: list[float]) -> None:
    for ours, name in ((holm, "holm"), (benjamini_hochberg, "fdr_bh"), (benjamini_yekutieli, "fdr_by")):
        assert ours(p_values) == pytest.approx(list(multipletests(p_values, method=name)[1]), abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_adjusting_never_lowers_a_p_value(p_values: list[float]) -> None:
    for method in (holm, benjamini_hochberg, benjamini_yekutieli):
        assert all(new is not None and new >= old - 1e-12 for old, new in zip(p_values, method(p_values), strict=True))


def test_a_test_that_could_not_be_made_stays_in_the_family() -> None:
    assert holm([0.02, None, 0.5]) == pytest.approx([0.06, None, 1.0])
    assert benjamini_hochberg([0.02, None]) == pytest.approx([0.04, None])


def test_an_empty_family_is_empty() -> None:
    assert holm([]) == benjamini_hochberg([]) == benjamini_yekutieli([]) == []


@pytest.mark.parametrize("p", [float("nan"), -0.1, 1.1])
def test_what_is_no_probability_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, p])

"""Published values that the intervals must reproduce to the printed digits (row numbers: statistics, section 8)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from core.analyse.intervals import (
    Interval,
    bonett_price,
    clopper_pearson,
    jeffreys,
    never_bound,
    newcombe10,
    paired_wald,
    tango,
    tango_z,
    wilson,
)
from core.analyse.paired_tests import mcnemar

fourfold = st.tuples(*[st.integers(0, 60)] * 4).filter(lambda cells: sum(cells) > 0)


def ends(interval: Interval, digits: int) -> tuple[float, float]:
    return round(float(interval.low), digits) + 0.0, round(float(interval.high), digits) + 0.0


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718), (81, 263, 0.2553, 0.3662)],
)
def test_row_1_wilson(k: int, n: int, low: float, high: float) -> None:
    assert ends(wilson(k, n), 4) == (low, high)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(15, 148, 0.0578, 0.1617), (0, 20, 0, 0.1684), (1, 29, 0.0009, 0.1776), (13, 16, 0.5435, 0.9595)],
)
def test_row_2_clopper_pearson(k: int, n: int, low: float, high: float) -> None:
    assert ends(clopper_pearson(k, n), 4) == (low, high)


def test_row_3_jeffreys() -> None:
    assert ends(jeffreys(13, 16), 4) == (0.5792, 0.9442)


@pytest.mark.parametrize(
    ("b", "c", "n", "conf", "low", "high", "digits"),
    [
        (1, 7, 21, 0.95, -0.517, -0.026, 3),  # row 4
        (6, 16, 161, 0.95, -0.1240, -0.0054, 4),  # row 6
        (9, 3, 32, 0.95, -0.027, 0.390, 3),  # row 10
        (0, 1, 44, 0.90, -0.096, 0.037, 3),
        (16, 8, 86, 0.95, -0.020, 0.207, 3),  # row 12
        (3, 1, 14, 0.95, -0.1670, 0.4327, 4),  # row 13
        (25, 2, 102, 0.95, 0.139, 0.321, 3),  # row 14
    ],
)
def test_rows_4_6_10_12_13_14_tango(b: int, c: int, n: int, conf: float, low: float, high: float, digits: int) -> None:
    assert ends(tango(b, c, n, conf=conf), digits) == (low, high)


@pytest.mark.parametrize(
    ("cells", "low", "high", "digits"),
    [
        ((1, 1, 7, 12), -0.507, -0.026, 3),  # row 5
        ((59, 6, 16, 80), -0.1186, -0.0046, 4),  # row 6
        ((20, 12, 2, 16), 0.0562, 0.3292, 4),  # row 9
        ((8, 3, 1, 2), -0.1574, 0.4136, 4),  # row 13
        ((7, 25, 2, 68), 0.133, 0.318, 3),  # row 14
    ],
)
def test_rows_5_6_9_13_14_newcombe10(cells: tuple[int, int, int, int], low: float, high: float, digits: int) -> None:
    assert ends(newcombe10(*cells), digits) == (low, high)


def test_row_6_bonett_price() -> None:
    assert ends(bonett_price(6, 16, 161), 4) == (-0.1195, -0.0032)


def test_row_11_tango_z() -> None:
    assert round(float(tango_z(-0.1, 0, 1, 44)), 3) == 1.709


def test_row_15_bonett_price() -> None:
    assert ends(bonett_price(26, 4, 48), 7) == (0.2548067, 0.6251933)


def test_row_16_chi_square_difference_and_wald() -> None:
    assert round(float(mcnemar(150, 86).chi2), 2) == 17.36
    assert (150 - 86) / 1600 == 0.04
    assert ends(paired_wald(150, 86, 1600), 4) == (0.0213, 0.0587)


@pytest.mark.parametrize(("n", "percent"), [(100, 2.95), (200, 1.49), (400, 0.75)])
def test_a_rate_never_seen_has_a_one_sided_bound(n: int, percent: float) -> None:
    assert round(100 * float(never_bound(n)), 2) == percent


def test_nothing_discordant_never_gives_a_zero_width_bar() -> None:
    z2 = 1.959963984540054**2
    low, high = tango(0, 0, 100)
    assert float(high) == pytest.approx(z2 / (100 + z2), abs=1e-12)
    assert float(low) == pytest.approx(-z2 / (100 + z2), abs=1e-12)
    assert float(tango_z(0.0, 0, 0, 100)) == 0.0


def test_an_empty_cell_gives_the_whole_range_and_no_nan() -> None:
    for interval in (wilson, clopper_pearson, jeffreys):
        assert ends(interval(0, 0), 9) == (0.0, 1.0)
    assert ends(tango(0, 0, 0), 9) == ends(bonett_price(0, 0, 0), 9) == ends(newcombe10(0, 0, 0, 0), 9) == (-1.0, 1.0)
    assert float(never_bound(0)) == 1.0


@pytest.mark.parametrize("cells", [(5, 0, 0, 0), (0, 5, 0, 0), (0, 0, 5, 0), (0, 0, 0, 5), (3, 3, 0, 0)])
def test_margins_of_zero_give_finite_ends(cells: tuple[int, int, int, int]) -> None:
    n = sum(cells)
    for interval in (newcombe10(*cells), tango(cells[1], cells[2], n), bonett_price(cells[1], cells[2], n)):
        low, high = ends(interval, 9)
        assert -1 <= low <= high <= 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: wilson(3, 2),
        lambda: wilson(-1, 2),
        lambda: wilson(float("nan"), 2),
        lambda: wilson(1, 2, conf=1.0),
        lambda: tango(2, 2, 3),
        lambda: tango(1, float("inf"), 3),
        lambda: never_bound(5, conf=0),
    ],
)
def test_nonsense_counts_are_refused(call: object) -> None:
    with pytest.raises(ValueError, match=r"counts|confidence"):
        call()  # type: ignore[operator]


@given(st.integers(1, 500), st.data())
def test_every_rate_interval_holds_its_estimate(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    for interval in (wilson, clopper_pearson, jeffreys):
        low, high = interval(k, n)
        assert 0 <= float(low) <= k / n <= float(high) <= 1


@given(st.integers(1, 300), st.data())
def test_wilson_and_clopper_pearson_agree_with_scipy(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    for ours, method in ((wilson, "wilson"), (clopper_pearson, "exact")):
        theirs = binomtest(k, n).proportion_ci(method=method)
        low, high = ours(k, n)
        assert float(low) == pytest.approx(theirs.low, abs=1e-9)
        assert float(high) == pytest.approx(theirs.high, abs=1e-9)


@given(fourfold)
def test_every_paired_interval_holds_its_estimate(cells: tuple[int, int, int, int]) -> None:
    _, b, c, _ = cells
    n = sum(cells)
    for low, high in (tango(b, c, n), newcombe10(*cells)):
        assert float(low) - 1e-12 <= (b - c) / n <= float(high) + 1e-12


@given(fourfold)
def test_swapping_the_arms_negates_the_interval(cells: tuple[int, int, int, int]) -> None:
    a, b, c, d = cells
    n = sum(cells)
    for one, other in (
        (tango(b, c, n), tango(c, b, n)),
        (newcombe10(a, b, c, d), newcombe10(a, c, b, d)),
        (bonett_price(b, c, n), bonett_price(c, b, n)),
    ):
        assert float(one.low) == pytest.approx(-float(other.high), abs=1e-9)
        assert float(one.high) == pytest.approx(-float(other.low), abs=1e-9)


@given(fourfold)
def test_tango_excludes_zero_exactly_when_chi_square_does(cells: tuple[int, int, int, int]) -> None:
    _, b, c, _ = cells
    low, high = tango(b, c, sum(cells))
    assert (float(low) > 0 or float(high) < 0) == (float(mcnemar(b, c).chi2) > 3.841459)


@given(fourfold, st.integers(1, 200))
def test_concordant_requests_shrink_the_interval_toward_zero(cells: tuple[int, int, int, int], more: int) -> None:
    _, b, c, _ = cells
    n = sum(cells)
    before, after = tango(b, c, n), tango(b, c, n + more)
    assert max(abs(float(after.low)), abs(float(after.high))) <= max(abs(float(before.low)), abs(float(before.high)))


def test_arrays_give_what_single_cells_give() -> None:
    b, c, n = np.array([0, 1, 5.5, 9]), np.array([0, 7, 0.25, 3]), np.array([10, 21, 40.5, 32])
    low, high = tango(b, c, n)
    for at in range(4):
        alone = tango(b[at], c[at], n[at])
        assert (float(low[at]), float(high[at])) == (float(alone.low), float(alone.high))

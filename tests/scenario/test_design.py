"""The listed fractions have the resolution that they claim."""

from itertools import combinations
from math import prod

import pytest

from core.errors import SpecError
from core.scenario.design import FRACTIONS, LETTERS, fraction_rows

RESOLUTIONS = {"IV": 4, "V": 5, "VI": 6, "VII": 7}
RUNS = {(5, "V"): 16, (6, "VI"): 32, (7, "VII"): 64, (8, "IV"): 16, (8, "V"): 64, (9, "VI"): 128, (10, "V"): 128}


def shortest_word(fraction):
    """Length of the shortest product of factors that is constant, from the generators alone."""
    words = [{each[0], *each[2:]} for each in fraction.generators]
    return min(
        sum(sum(letter in word for word in chosen) % 2 for letter in LETTERS)
        for size in range(1, len(words) + 1)
        for chosen in combinations(words, size)
    )


@pytest.mark.parametrize("fraction", FRACTIONS, ids=lambda each: f"{each.factors}-{each.resolution}")
def test_the_resolution_is_the_length_of_the_shortest_defining_word(fraction):
    assert shortest_word(fraction) == RESOLUTIONS[fraction.resolution]
    assert fraction.runs == RUNS[fraction.factors, fraction.resolution]


@pytest.mark.parametrize("fraction", FRACTIONS, ids=lambda each: f"{each.factors}-{each.resolution}")
def test_main_effects_are_orthogonal_to_each_other_and_from_v_on_to_every_interaction(fraction):
    rows = fraction_rows(fraction.factors, fraction.resolution)
    assert len(set(rows)) == len(rows) == fraction.runs
    signs = [[1 if high else -1 for high in row] for row in rows]
    mains = [(at,) for at in range(fraction.factors)]
    pairs = list(combinations(range(fraction.factors), 2)) if fraction.resolution != "IV" else []
    for first, second in combinations([*mains, *pairs], 2):
        assert sum(prod(row[at] for at in (*first, *second)) for row in signs) == 0, (first, second)


@pytest.mark.parametrize(("factors", "asked", "runs"), [(3, "V", 8), (4, "VII", 16), (6, "V", 32), (9, "IV", 128)])
def test_few_factors_are_crossed_in_full_and_a_better_resolution_may_stand_in(factors, asked, runs):
    assert len(fraction_rows(factors, asked)) == runs


@pytest.mark.parametrize(("factors", "asked"), [(5, "VI"), (11, "IV"), (10, "VII")])
def test_a_fraction_that_is_not_listed_is_refused_with_those_that_are(factors, asked):
    with pytest.raises(SpecError, match=r"grid\.design\.resolution: no fraction of .* 8 at V, 9 at VI"):
        fraction_rows(factors, asked)

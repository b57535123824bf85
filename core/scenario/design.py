"""Fractions of two-level factorial designs, from generators that are listed, and nothing else.

A design of k factors runs every combination of the first ones; each further factor is the product of some of these.
Resolution V: no main effect and no two-factor interaction is aliased with another of them. IV: main effects are
clear, two-factor interactions are aliased among themselves. A test multiplies the generators out and finds the
resolution of each: a library's tables gave 32-run designs with aliased interactions where V was asked for.
"""

from itertools import product
from math import prod
from typing import NamedTuple

from core.errors import SpecError
from core.spec.grid import Resolution

LETTERS = "ABCDEFGHJK"
"""Names of the factors in generators, in order; there is no I, which is the identity."""

FULL_UP_TO = 4
"""Two-level factors that are always crossed in full: no fraction of so few is worth its aliases."""


class Fraction(NamedTuple):
    """A design of `factors` two-level factors."""

    factors: int
    resolution: Resolution
    generators: tuple[str, ...]
    """`E=ABCD`: factor E has the sign A·B·C·D."""

    @property
    def runs(self) -> int:
        """Settings in it."""
        return int(2 ** (self.factors - len(self.generators)))


FRACTIONS = (
    Fraction(5, "V", ("E=ABCD",)),
    Fraction(6, "VI", ("F=ABCDE",)),
    Fraction(7, "VII", ("G=ABCDEF",)),
    Fraction(8, "IV", ("E=BCD", "F=ACD", "G=ABC", "H=ABD")),
    Fraction(8, "V", ("G=ABCD", "H=ABEF")),
    Fraction(9, "VI", ("H=ACDFG", "J=BCEFG")),
    Fraction(10, "V", ("H=ABCG", "J=BCDE", "K=ACDF")),
)
"""Every fraction that is offered."""

_ORDER: tuple[Resolution, ...] = ("IV", "V", "VI", "VII")


def fraction_rows(factors: int, resolution: Resolution) -> tuple[tuple[bool, ...], ...]:
    """Rows of the smallest listed design with at least that resolution; an entry says whether the factor is at its
    second level. SpecError where none is listed.
    """
    if factors <= FULL_UP_TO:
        return tuple(product((False, True), repeat=factors))
    wanted = _ORDER[_ORDER.index(resolution) :]
    found = sorted((each for each in FRACTIONS if each.factors == factors and each.resolution in wanted), key=_runs)
    if not found:
        listed = ", ".join(f"{each.factors} at {each.resolution}" for each in FRACTIONS)
        raise SpecError(
            f"grid.design.resolution: no fraction of {factors} factors at {resolution} is listed ({listed}): "
            "choose one of these, or leave resolution out for every combination"
        )
    return _rows(found[0])


def _runs(fraction: Fraction) -> int:
    return fraction.runs


def _rows(fraction: Fraction) -> tuple[tuple[bool, ...], ...]:
    basic = fraction.factors - len(fraction.generators)
    rows = []
    for signs in product((-1, 1), repeat=basic):
        of = dict(zip(LETTERS, signs, strict=False))
        for generator in fraction.generators:
            letter, letters = generator.split("=")
            of[letter] = prod(of[each] for each in letters)
        rows.append(tuple(of[letter] > 0 for letter in LETTERS[: fraction.factors]))
    return tuple(rows)

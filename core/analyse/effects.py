"""The estimands of a design as weights over its settings; what they answer is in each function.

All are linear in cell means, so one inference serves them all, on each arm and on the gap (statistics 6.2).
"""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np

from core.analyse.designs import Design, Factor, FactorLevel, Setting, aliases
from core.analyse.shapley import MOST_FACTORS, shapley_weights

Estimand = Literal[
    "average_marginal_effect",
    "matched_effect",
    "simple_effect",
    "interaction",
    "difference_in_differences",
    "shapley",
    "total_change",
    "dose_slope",
]
SettingWeights = dict[int, Fraction]
"""Index of a setting → weight."""


class Effect(NamedTuple):
    """One estimand of one factor (or of several, joined by `:`)."""

    factor: str
    level: str
    base: str
    estimand: Estimand
    weights: SettingWeights
    aliased_with: tuple[str, ...] = ()


def effects(design: Design, *, orders: Mapping[str, Sequence[str]], one_factor: bool = False) -> list[Effect]:
    """Every estimand that the design identifies; with `one_factor` also simple effects where more is known."""
    found: list[Effect] = []
    if design.kind in ("full", "fraction"):
        found += _told_apart(design, [*_marginal(design), *_interactions(design)])
    elif design.kind == "irregular":
        found += _matched(design)
    if design.kind == "one_factor" or one_factor:
        found += _simple(design)
    found += _from_base(design)
    if design.kind == "full" and design.is_binary and 2 <= len(design.factors) <= MOST_FACTORS:
        found += _shapley(design)
    for place, factor in enumerate(design.factors):
        if factor.name in orders and design.kind != "fraction":
            found += _dose(design, place, orders[factor.name])
    return found


def level_means(
    design: Design, place: int, *, order: Sequence[str] = ()
) -> tuple[list[FactorLevel], list[SettingWeights]]:
    """Per level of a factor the mean over the other factors' settings that have every level of it; empty if none.

    Levels in their `order`, if there is one: the base need not be the lowest.
    """
    factor = design.factors[place]
    rests: dict[tuple[FactorLevel, ...], dict[FactorLevel, int]] = {}
    for at, setting in enumerate(design.settings):
        rest = setting.levels[:place] + setting.levels[place + 1 :]
        rests.setdefault(rest, {})[setting.levels[place]] = at
    whole = [group for group in rests.values() if len(group) == len(factor.levels)]
    if not whole:
        return [], []
    share = Fraction(1, len(whole))
    rank = {level: at for at, level in enumerate(order)}
    levels = sorted(factor.levels, key=lambda level: rank.get(str(level), len(rank)))
    return levels, [{group[level]: share for group in whole} for level in levels]


def _marginal(design: Design) -> Iterator[Effect]:
    """Average over the settings of the other factors, uniform (AMGE on the gap): mean(level) − mean(base)."""
    for place, factor in enumerate(design.factors):
        of_base = _share(design, {place: factor.levels[0]})
        for level in factor.levels[1:]:
            weights = _added(_share(design, {place: level}), of_base, -1)
            yield Effect(factor.name, str(level), str(factor.levels[0]), "average_marginal_effect", weights)


def _interactions(design: Design) -> Iterator[Effect]:
    """By how much the effect of one factor changes with another: effect at G's level − effect at G's base.

    Twice the textbook's contrast of half differences.
    """
    for (f, first), (g, second) in combinations(enumerate(design.factors), 2):
        for one in first.levels[1:]:
            for other in second.levels[1:]:
                weights: SettingWeights = {}
                for at_f, at_g, sign in (
                    (one, other, 1),
                    (first.levels[0], other, -1),
                    (one, second.levels[0], -1),
                    (first.levels[0], second.levels[0], 1),
                ):
                    weights = _added(weights, _share(design, {f: at_f, g: at_g}), sign)
                yield Effect(
                    f"{first.name}:{second.name}",
                    f"{one}:{other}",
                    f"{first.levels[0]}:{second.levels[0]}",
                    "interaction",
                    weights,
                )


def _told_apart(design: Design, found: list[Effect]) -> list[Effect]:
    """The effects with what a fraction confounds them with; a full design confounds nothing."""
    if design.kind == "full":
        return found
    columns = np.array([[float(each.weights.get(at, 0)) for each in found] for at in range(len(design.settings))])
    names = [f"{each.factor}" if design.is_binary else f"{each.factor}={each.level}" for each in found]
    parts = [set(each.factor.split(":")) for each in found]
    by_name = dict(zip(names, parts, strict=True))
    told = []
    for at, confounded in enumerate(aliases(columns, names)):
        # with three levels or more, contrasts against one base overlap by construction: that is no confounding
        kept = [each for each in confounded if design.is_binary or not _nested(parts[at], by_name[each[1:]])]
        told.append(found[at]._replace(aliased_with=tuple(kept)))
    return told


def _nested(first: set[str], second: set[str]) -> bool:
    return first <= second or second <= first


def _matched(design: Design) -> Iterator[Effect]:
    """Mean difference over the settings whose counterpart at the base is there too."""
    by_levels = {setting.levels: at for at, setting in enumerate(design.settings)}
    for place, factor in enumerate(design.factors):
        for level in factor.levels[1:]:
            pairs = [
                (at, by_levels[base])
                for at, setting in enumerate(design.settings)
                if setting.levels[place] == level
                and (base := (*setting.levels[:place], factor.levels[0], *setting.levels[place + 1 :])) in by_levels
            ]
            if pairs:
                share = Fraction(1, len(pairs))
                weights = _added({at: share for at, _ in pairs}, {base: share for _, base in pairs}, -1)
                yield Effect(factor.name, str(level), str(factor.levels[0]), "matched_effect", weights)


def _simple(design: Design) -> Iterator[Effect]:
    """One factor perturbed at the base setting (the paper's way): it can't tell a main effect from an interaction."""
    for factor, at, base in _perturbed_once(design):
        place = design.factors.index(factor)
        level = design.settings[at].levels[place]
        weights = {at: Fraction(1), base: Fraction(-1)}
        yield Effect(factor.name, str(level), str(factor.levels[0]), "simple_effect", weights)


def _perturbed_once(design: Design) -> Iterator[tuple[Factor, int, int]]:
    base = design.base
    if base is None:
        return
    for at, setting in enumerate(design.settings):
        moved = _moved(design, setting)
        if len(moved) == 1:
            yield design.factors[moved[0]], at, base


def _from_base(design: Design) -> Iterator[Effect]:
    """Difference in differences of every perturbed setting: base − perturbed."""
    base = design.base
    if base is None:
        return
    for at, setting in enumerate(design.settings):
        moved = _moved(design, setting)
        if moved:
            yield Effect(
                ":".join(design.factors[place].name for place in moved),
                ":".join(str(setting.levels[place]) for place in moved),
                ":".join(str(design.factors[place].levels[0]) for place in moved),
                "difference_in_differences",
                {base: Fraction(1), at: Fraction(-1)},
            )


def _shapley(design: Design) -> Iterator[Effect]:
    """Shares of the change from the base to all factors perturbed, and that change itself."""
    of_set = {sum(1 << place for place in _moved(design, setting)): at for at, setting in enumerate(design.settings)}
    for factor, row in zip(design.factors, shapley_weights(len(design.factors)), strict=True):
        weights = {of_set[members]: weight for members, weight in enumerate(row)}
        yield Effect(factor.name, str(factor.levels[1]), str(factor.levels[0]), "shapley", weights)
    names, levels, bases = zip(
        *((each.name, str(each.levels[1]), str(each.levels[0])) for each in design.factors), strict=True
    )
    everything = {of_set[(1 << len(names)) - 1]: Fraction(1), of_set[0]: Fraction(-1)}
    yield Effect(":".join(names), ":".join(levels), ":".join(bases), "total_change", everything)


def _dose(design: Design, place: int, order: Sequence[str]) -> Iterator[Effect]:
    """The fitted change from the lowest level of an ordered factor to the highest, levels equally spaced.

    Of three levels it is highest − lowest: weights (−1, 0, 1).
    """
    levels, means = level_means(design, place, order=order)
    if len(levels) < 3:
        return
    centre = Fraction(len(levels) - 1, 2)
    square = sum((at - centre) ** 2 for at in range(len(levels)))
    weights: SettingWeights = {}
    for at, of_level in enumerate(means):
        weights = _added(weights, of_level, (len(levels) - 1) * (at - centre) / square)
    yield Effect(design.factors[place].name, str(levels[-1]), str(levels[0]), "dose_slope", weights)


def _moved(design: Design, setting: Setting) -> list[int]:
    """Places of the factors that are not at their base."""
    return [
        at for at, (f, level) in enumerate(zip(design.factors, setting.levels, strict=True)) if level != f.levels[0]
    ]


def _share(design: Design, where: Mapping[int, FactorLevel]) -> SettingWeights:
    """Equal weights that add up to 1 over the settings with these levels."""
    chosen = [
        at
        for at, setting in enumerate(design.settings)
        if all(setting.levels[place] == level for place, level in where.items())
    ]
    return {at: Fraction(1, len(chosen)) for at in chosen}


def _added(first: SettingWeights, second: SettingWeights, factor: Fraction | int) -> SettingWeights:
    total = dict(first)
    for at, weight in second.items():
        total[at] = total.get(at, Fraction(0)) + factor * weight
    return {at: weight for at, weight in total.items() if weight}

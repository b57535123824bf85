"""The decision is the first match of GAP, REVERSE_GAP, NO_GAP, INCONCLUSIVE."""

import pytest

from core.analyse.decisions import Evidence, Judgement, decide

EVIDENCE = Evidence(
    gap=0.2, p_adjusted=0.01, equiv_low=0.1, equiv_high=0.3, repeats=False, n_discordant=30, capped=False
)


@pytest.mark.parametrize(
    ("change", "decision", "flags"),
    [
        ({}, "GAP", ("material",)),
        ({"gap": -0.2, "equiv_low": -0.3, "equiv_high": -0.1}, "REVERSE_GAP", ("material",)),
        ({"gap": 0.02, "equiv_low": 0.01, "equiv_high": 0.04}, "GAP", ("trivial",)),
        ({"gap": -0.02, "equiv_low": -0.04, "equiv_high": -0.01}, "REVERSE_GAP", ("trivial",)),
        ({"p_adjusted": 0.05}, "GAP", ("material",)),
        ({"p_adjusted": 0.051}, "INCONCLUSIVE", ()),
        ({"p_adjusted": 0.6, "gap": 0.01, "equiv_low": -0.02, "equiv_high": 0.04}, "NO_GAP", ()),
        ({"p_adjusted": 0.6, "gap": 0.01, "equiv_low": -0.02, "equiv_high": 0.05}, "INCONCLUSIVE", ()),
        ({"p_adjusted": 0.6, "gap": 0.01, "equiv_low": -0.05, "equiv_high": 0.04}, "INCONCLUSIVE", ()),
        ({"repeats": True, "n_discordant": 19}, "INCONCLUSIVE", ("sparse",)),
        ({"repeats": True, "n_discordant": 20}, "GAP", ("material",)),
        ({"n_discordant": 5}, "GAP", ("material",)),
        ({"capped": True}, "INCONCLUSIVE", ("missing_capped",)),
        ({"capped": True, "p_adjusted": 0.6}, "INCONCLUSIVE", ()),
        ({"gap": None, "p_adjusted": None, "equiv_low": None, "equiv_high": None}, "INCONCLUSIVE", ()),
    ],
)
def test_first_match(change: dict[str, object], decision: str, flags: tuple[str, ...]) -> None:
    evidence = EVIDENCE._replace(**change)  # type: ignore[arg-type]
    assert decide(evidence, alpha=0.05, delta_equiv=0.05, delta_material=0.05) == Judgement(decision, flags)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "decision", "flags"),
    [
        ({"e_p_adjusted": 0.05}, "GAP", ("material",)),
        ({"e_p_adjusted": 0.051}, "INCONCLUSIVE", ("e_value_short",)),
        ({"e_p_adjusted": None}, "INCONCLUSIVE", ("no_e_value",)),
        ({"e_p_adjusted": 0.2, "gap": 0.02, "equiv_low": 0.01, "equiv_high": 0.04}, "NO_GAP", ("e_value_short",)),
        ({"e_p_adjusted": 0.9, "p_adjusted": 0.6}, "INCONCLUSIVE", ()),
        ({"e_p_adjusted": 0.01, "capped": True}, "INCONCLUSIVE", ("missing_capped",)),
    ],
)
def test_from_the_second_look_on_a_gap_needs_its_e_value(
    change: dict[str, object], decision: str, flags: tuple[str, ...]
) -> None:
    evidence = EVIDENCE._replace(peeked=True, **change)  # type: ignore[arg-type]
    assert decide(evidence, alpha=0.05, delta_equiv=0.05, delta_material=0.05) == Judgement(decision, flags)  # type: ignore[arg-type]

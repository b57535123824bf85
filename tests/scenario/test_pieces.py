"""Parts of a template, and their orders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import TemplateError
from core.scenario.pieces import Piece, arrange, split_pieces

TEXT = """# Head

::: tier free
F

::: fact tag
T

::: tier paid
P

::: fact open
O

::: end
E
"""
PIECES = split_pieces(TEXT, where="block.md")


def test_a_text_without_marks_is_one_part():
    assert split_pieces("a\n\nb ::: c", where="block.md") == (Piece("head", "", "a\n\nb ::: c"),)


@pytest.mark.parametrize(
    ("reverse", "drop", "order"),
    [
        ((), None, "# Head F T P O E"),
        (("tier",), None, "# Head P T F O E"),
        (("fact",), None, "# Head F O P T E"),
        (("tier", "fact"), None, "# Head P O F T E"),
        (("example",), None, "# Head F T P O E"),
        ((), "free", "# Head T P O E"),
        ((), "tag", "# Head F T P O E"),
    ],
)
def test_one_kind_is_reversed_and_all_else_stays_in_its_place(reverse, drop, order):
    assert " ".join(arrange(PIECES, reverse=reverse, drop=drop)) == order


@given(st.lists(st.sampled_from(["tier", "fact", "example"]), max_size=8), st.sets(st.sampled_from(["tier", "fact"])))
def test_reversing_twice_gives_the_first_order_and_loses_nothing(kinds, reverse):
    pieces = tuple(Piece(kind, f"n{at}", str(at)) for at, kind in enumerate(kinds))
    once = arrange(pieces, reverse=reverse)
    by_text = {piece.text: piece for piece in pieces}
    assert sorted(once) == sorted(by_text)
    assert arrange(tuple(by_text[text] for text in once), reverse=reverse) == tuple(by_text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("::: tiers free\nF", "begins no part: write ::: tier NAME"),
        (":::\nF", "begins no part"),
        ("::: tier free\n\n::: tier paid\nP", "'::: tier free' is empty"),
        ("::: tier free\nF\n::: tier free\nF", "stands twice"),
        ("::: end\nE\n::: tier free\nF", "something follows ::: end"),
    ],
)
def test_a_wrong_mark_is_refused_by_file_and_line(text, problem):
    with pytest.raises(TemplateError, match=rf"block\.md: .*{problem}"):
        split_pieces(text, where="block.md")

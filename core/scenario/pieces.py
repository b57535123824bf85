"""A template whose parts can change places: tiers, facts and examples, each begun by a line `::: KIND NAME`.

Text before the first such line stays first, and `::: end` begins text that stays last. A template without such lines
is one part. When one kind is reversed, its parts swap places among themselves and all others stay where they are.
"""

import re
from collections.abc import Collection
from itertools import zip_longest
from typing import Literal, NamedTuple, cast

from core.errors import TemplateError

Kind = Literal["head", "tier", "fact", "example", "end"]

_MARK = re.compile(r"^:::(.*)$", re.MULTILINE)
_NAMED = re.compile(r" +(tier|fact|example) +([a-z0-9_]+) *")


class Piece(NamedTuple):
    """A part of a template."""

    kind: Kind
    name: str
    text: str


def split_pieces(text: str, *, where: str) -> tuple[Piece, ...]:
    """The parts of a template's text in order. TemplateError for a line that begins with `:::` and is no mark, for an
    empty part and for a name that stands twice.
    """
    marks = list(_MARK.finditer(text))
    head = text[: marks[0].start() if marks else len(text)].strip()
    pieces = [Piece("head", "", head)] if head else []
    for mark, following in zip_longest(marks, marks[1:]):
        body = text[mark.end() : following.start() if following else len(text)].strip()
        named = _NAMED.fullmatch(mark[1])
        if named is None and mark[1].strip() != "end":
            raise TemplateError(
                f"{where}: {mark[0]!r} begins no part: write ::: tier NAME, ::: fact NAME, ::: example NAME or ::: end"
            )
        if named is None and following is not None:
            raise TemplateError(f"{where}: something follows ::: end: put that part last")
        if not body:
            raise TemplateError(f"{where}: the part {mark[0]!r} is empty: write its text or remove the line")
        piece = Piece(cast(Kind, named[1]), named[2], body) if named else Piece("end", "", body)
        if named and any((each.kind, each.name) == (piece.kind, piece.name) for each in pieces):
            raise TemplateError(f"{where}: the part {mark[0]!r} stands twice: give each its own name")
        pieces.append(piece)
    return tuple(pieces)


def arrange(pieces: tuple[Piece, ...], *, reverse: Collection[Kind], drop: str | None = None) -> tuple[str, ...]:
    """The texts in order, without the tier `drop` and with each kind in `reverse` in the opposite order."""
    kept = [piece for piece in pieces if (piece.kind, piece.name) != ("tier", drop)]
    for kind in reverse:
        places = [at for at, piece in enumerate(kept) if piece.kind == kind]
        for at, piece in zip(places, [kept[place] for place in reversed(places)], strict=True):
            kept[at] = piece
    return tuple(piece.text for piece in kept)

"""From the table of a set to its requests: which columns count, which rows are asked, what is wrong with the others."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import polars as pl

from core.errors import RequestSetError
from core.scenario.request_split import side_of
from core.scenario.request_table import wrong_file
from core.spec.request_sets import RequestsSpec

TEXT_COLUMNS = ("text", "prompt", "request")
"""Column of the request's text: the first of these that is there."""

_TEXT_ID_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `request_id` is `SET:(the file's id, else the first 16 hex digits of the text's sha256)`."""

    request_id: str
    text: str
    category: str | None
    cluster: str | None
    """Requests that belong together, such as a harmful one and its benign look-alike."""
    request_set: str


class Place(NamedTuple):
    """Where a set is from, for its messages."""

    name: str
    """Of the set."""
    path: Path
    key: str
    """Of the study file, such as requests.source."""

    def wrong(self, problem: str, *, fix: str) -> RequestSetError:
        """The error for this file."""
        return wrong_file(self.path, problem, key=self.key, fix=fix)


class Rows(NamedTuple):
    """The requests of a set, in the order of its file, and what the user should know of them."""

    requests: tuple[Request, ...]
    notes: tuple[str, ...]


@dataclass
class _Bad:
    """Rows that can't be asked."""

    no_text: list[int] = field(default_factory=list)
    no_id: list[int] = field(default_factory=list)
    same_text: list[tuple[int, int]] = field(default_factory=list)
    same_id: list[tuple[int, int]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.no_text) + len(self.no_id) + len(self.same_text) + len(self.same_id)


def choose_rows(frame: pl.DataFrame, spec: RequestsSpec, place: Place) -> Rows:
    """The first `limit` rows of the asked side. RequestSetError, with file, key and fix, for a column that is not there
    or holds no text, and for bad rows among those used, unless the set says to leave them out.
    """
    text_name = _text_column(frame, spec, place)
    if frame.is_empty():
        raise place.wrong("has no rows", fix="put one request in each row")
    texts = frame[text_name].to_list()
    ids = _ids(frame, spec, place, texts=texts)
    categories = _labels(frame, "category", spec.category_column, place)
    clusters = _labels(frame, "cluster", spec.cluster_column, place)
    chosen: list[tuple[int, Request]] = []
    bad = _Bad()
    seen_texts: dict[str, int] = {}
    seen_ids: dict[str, int] = {}
    for row, (text, row_id, category, cluster) in enumerate(zip(texts, ids, categories, clusters, strict=True), 1):
        # a bad row counts against the limit where it is refused: the rows beyond are not looked at
        if spec.limit is not None and len(chosen) + (len(bad) if spec.bad_rows == "refuse" else 0) >= spec.limit:
            break
        if text is None or not text.strip():
            bad.no_text.append(row)
        elif spec.split is not None and side_of(spec.split, text=text, cluster=cluster) != spec.split.side:
            continue
        elif row_id is None or not row_id.strip():
            bad.no_id.append(row)
        elif (first := seen_texts.setdefault(text, row)) != row:
            bad.same_text.append((first, row))
        elif (first := seen_ids.setdefault(row_id, row)) != row:
            bad.same_id.append((first, row))
        else:
            chosen.append((row, Request(f"{place.name}:{row_id}", text, category, cluster, place.name)))
    if bad and spec.bad_rows == "refuse":
        raise _refusal(bad, place, text_name)
    if not chosen:
        raise place.wrong("has no row left to ask", fix="see requests.split and requests.bad_rows")
    return Rows(tuple(request for _, request in chosen), (*_left_out(bad, place), *_too_long(chosen, spec, place)))


def _text_column(frame: pl.DataFrame, spec: RequestsSpec, place: Place) -> str:
    wanted = (spec.text_column,) if spec.text_column else TEXT_COLUMNS
    name = next((name for name in wanted if name in frame.columns), None)
    if name is None:
        has = f"(it has {', '.join(frame.columns) or 'none'})"
        if spec.text_column:
            raise place.wrong(f"has no column {spec.text_column!r} {has}", fix="name its column of the request's text")
        raise place.wrong(f"has no text column {has}", fix=f"name the column {' or '.join(TEXT_COLUMNS)}")
    if frame[name].dtype != pl.String and not frame.is_empty():
        raise place.wrong(f"has {frame[name].dtype} in column {name!r}", fix="put text in it")
    return name


def _ids(frame: pl.DataFrame, spec: RequestsSpec, place: Place, *, texts: Sequence[str | None]) -> Sequence[str | None]:
    name = spec.id_column or "id"
    if name not in frame.columns:
        if spec.id_column:
            raise _no_column(frame, name, place)
        return [hashlib.sha256((text or "").encode()).hexdigest()[:_TEXT_ID_DIGITS] for text in texts]
    column = frame[name]
    if column.dtype != pl.String and not column.dtype.is_integer():
        raise place.wrong(f"has {column.dtype} in column {name!r}", fix="put text or whole numbers in it")
    return column.cast(pl.String).to_list()


def _labels(frame: pl.DataFrame, usual: str, named: str | None, place: Place) -> Sequence[str | None]:
    name = named or usual
    if named and named not in frame.columns:
        raise _no_column(frame, named, place)
    if name not in frame.columns or frame[name].dtype.is_nested():
        if named:
            raise place.wrong(f"has {frame[name].dtype} in column {name!r}", fix="name a column of texts")
        return [None] * frame.height
    return frame[name].cast(pl.String).to_list()


def _no_column(frame: pl.DataFrame, name: str, place: Place) -> RequestSetError:
    return place.wrong(f"has no column {name!r} (it has {', '.join(frame.columns)})", fix="name one that it has")


def _refusal(bad: _Bad, place: Place, text_column: str) -> RequestSetError:
    more = f", and {len(bad) - 1} more such rows" if len(bad) > 1 else ""
    leave = "or set bad_rows: leave_out"
    if bad.no_text:
        problem = f"has no text in row {bad.no_text[0]}, column {text_column!r}{more}"
        return place.wrong(problem, fix=f"fill or remove the row, {leave}")
    if bad.no_id:
        fix = f"fill it, or remove the column: ids then come from the texts, {leave}"
        return place.wrong(f"has no id in row {bad.no_id[0]}{more}", fix=fix)
    what, (first, row) = ("text", bad.same_text[0]) if bad.same_text else ("id", bad.same_id[0])
    return place.wrong(f"has the same {what} in rows {first} and {row}{more}", fix=f"keep one of them, {leave}")


def _left_out(bad: _Bad, place: Place) -> list[str]:
    counts = {
        "without text": len(bad.no_text), "without id": len(bad.no_id),
        "that repeat a text": len(bad.same_text), "that repeat an id": len(bad.same_id),
    }  # fmt: skip
    said = [f"{count} {what}" for what, count in counts.items() if count]
    return [f"{place.key}: {place.name}: left out of {place.path.name}: rows {', '.join(said)}"] if said else []


def _too_long(chosen: Sequence[tuple[int, Request]], spec: RequestsSpec, place: Place) -> list[str]:
    long = [(len(request.text), row) for row, request in chosen if len(request.text) > spec.max_characters]
    if not long:
        return []
    length, row = max(long)
    return [
        f"warning: {place.key}: {place.name}: {len(long)} requests are longer than max_characters "
        f"({spec.max_characters:,}), the longest {length:,} in row {row}"
    ]

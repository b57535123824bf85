"""Request sets: the bundled ones, files of the user's, and what is refused."""

import hashlib
import json
from collections import Counter

import polars as pl
import pytest

from core.errors import RequestSetError
from core.scenario.requests import load_requests
from core.spec.request_sets import RequestsSpec


def load(source, folder, **fields):
    return load_requests(RequestsSpec(source=str(source), **fields), folder=folder).requests


def notes(source, folder, **fields):
    return load_requests(RequestsSpec(source=str(source), **fields), folder=folder).notes


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["harmful", "benign"])
def test_a_bundled_set_has_48_requests_six_in_each_of_eight_categories(name, tmp_path):
    requests = load(f"bundled:{name}", tmp_path)
    assert len(requests) == 48
    assert set(Counter(request.category for request in requests).values()) == {6}
    assert len({request.category for request in requests}) == 8
    assert len({request.text for request in requests}) == 48
    assert len({request.request_id for request in requests}) == 48
    assert all(request.request_set == name and request.request_id.startswith(f"{name}:") for request in requests)
    assert all(len(request.text) < 120 for request in requests)


def test_each_benign_request_belongs_to_one_harmful_request_of_its_category(tmp_path):
    harmful = {each.cluster: each for each in load("bundled:harmful", tmp_path)}
    benign = {each.cluster: each for each in load("bundled:benign", tmp_path)}
    assert harmful.keys() == benign.keys()
    assert all(f"harmful:{cluster}" == each.request_id for cluster, each in harmful.items())
    assert all(harmful[cluster].category == each.category for cluster, each in benign.items())
    assert all(harmful[cluster].text != each.text for cluster, each in benign.items())


def test_the_first_rows_of_a_bundled_set_cover_all_categories(tmp_path):
    assert len({request.category for request in load("bundled:harmful", tmp_path, limit=8)}) == 8


def test_the_limit_takes_the_first_rows_and_a_higher_one_takes_all(tmp_path):
    assert [r.request_id for r in load("bundled:harmful", tmp_path, limit=2)] == [
        "harmful:harassment-1",
        "harmful:fraud-1",
    ]
    assert len(load("bundled:harmful", tmp_path, limit=100)) == 48


def test_csv_jsonl_and_parquet_give_the_same_requests(tmp_path):
    rows = [
        {"id": "007", "text": 'a "b", {{x}}\nünïcode', "category": "c", "cluster": None},
        {"id": "2", "text": "d", "category": None, "cluster": "k"},
    ]
    frame = pl.DataFrame(rows)
    (tmp_path / "j").mkdir()
    frame.write_csv(tmp_path / "set.csv")
    frame.write_parquet(tmp_path / "set.parquet")
    write(tmp_path / "set.jsonl", rows)
    loaded = [load(f"set.{ending}", tmp_path) for ending in ("csv", "jsonl", "parquet")]
    assert loaded[0] == loaded[1] == loaded[2]
    first = loaded[0][0]
    assert (first.request_id, first.text, first.category, first.cluster) == ("set:007", rows[0]["text"], "c", None)


@pytest.mark.parametrize("column", ["text", "prompt", "request"])
def test_the_text_column_has_three_names(tmp_path, column):
    assert load(write(tmp_path / "s.jsonl", [{column: "a", "other": "b"}]), tmp_path)[0].text == "a"


def test_the_column_text_comes_before_prompt(tmp_path):
    assert load(write(tmp_path / "s.jsonl", [{"prompt": "a", "text": "b"}]), tmp_path)[0].text == "b"


def test_without_an_id_column_the_id_is_the_start_of_the_texts_sha256(tmp_path):
    request = load(write(tmp_path / "s.jsonl", [{"text": "größer"}]), tmp_path)[0]
    assert request.request_id == "s:" + hashlib.sha256("größer".encode()).hexdigest()[:16]


def test_whole_number_ids_are_taken_as_text(tmp_path):
    assert load(write(tmp_path / "s.jsonl", [{"id": 7, "text": "a"}]), tmp_path)[0].request_id == "s:7"


def test_a_relative_path_is_looked_for_beside_the_study_first_then_here(tmp_path, monkeypatch):
    beside, here = tmp_path / "study", tmp_path / "here"
    for folder in (beside, here):
        folder.mkdir()
        write(folder / "s.jsonl", [{"text": folder.name}])
    monkeypatch.chdir(here)
    assert load("s.jsonl", beside)[0].text == "study"
    (beside / "s.jsonl").unlink()
    assert load("s.jsonl", beside)[0].text == "here"


def test_a_byte_order_mark_is_no_part_of_a_column_name(tmp_path):
    (tmp_path / "s.csv").write_bytes("text\na\n".encode("utf-8-sig"))
    assert load("s.csv", tmp_path)[0].text == "a"


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("s.jsonl", b"", "is empty"),
        ("s.csv", b"text\n", "has no rows"),
        ("s.csv", b"title\nx\n", "has no text column (it has title)"),
        ("s.csv", b"text,category\n,x\n", "has no text in row 1, column 'text'"),
        ("s.jsonl", b'{"text": "a"}\n{"text": "  "}\n', "has no text in row 2"),
        ("s.jsonl", b'{"text": 5}\n', "has Int64 in column 'text'"),
        ("s.jsonl", b'{"text": "a"}\n{"text": "b"\n', "line 2"),
        ("s.jsonl", b'["text"]\n', "line 1 is no JSON object"),
        ("s.csv", b"text\n\xff\xfe\xfa\n", "is not UTF-8 (byte 5)"),
        ("s.jsonl", b'{"text": "\xff"}', "is not UTF-8"),
        ("s.parquet", b"no parquet at all", "is no valid parquet"),
        ("s.csv", b"id,text\n1,a\n1,b\n", "has the same id in rows 1 and 2"),
        ("s.csv", b"id,text\n1,a\n2,a\n", "has the same text in rows 1 and 2"),
        ("s.csv", b"text\na\nb\na\n", "has the same text in rows 1 and 3"),
        ("s.csv", b"id,text\n,a\n", "has no id in row 1"),
        ("s.jsonl", b'{"id": 1.5, "text": "a"}\n', "has Float64 in column 'id'"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_the_key_and_the_fix(tmp_path, file, content, problem):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(RequestSetError) as caught:
        load(file, tmp_path)
    message = str(caught.value)
    assert message.startswith(f"requests.source: {tmp_path / file} ")
    assert problem in message
    assert message.rpartition(": ")[2]
    assert "\n" not in message


@pytest.mark.parametrize(
    ("source", "fact"),
    [
        ("bundled:evil", "bundled:animals, bundled:benign, bundled:harmful"),
        ("hf:lta", "is no known set: write hf:owner/name, or choose from hf:lat, hf:strongreject"),
        ("missing.csv", "is no file"),
        ("requests.txt", "has no known ending"),
        ("folder.csv", "is no file"),
    ],
)
def test_a_source_that_does_not_exist_is_refused_with_what_does(tmp_path, source, fact):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(RequestSetError, match=r"requests\.source: ") as caught:
        load(source, tmp_path)
    assert source in str(caught.value)
    assert fact in str(caught.value)


def test_rows_beyond_the_limit_are_not_judged(tmp_path):
    rows = [{"text": "a"}, {"text": "b"}, {"text": "a"}]
    assert len(load(write(tmp_path / "s.jsonl", rows), tmp_path, limit=2)) == 2


def test_columns_can_be_named(tmp_path):
    row = {"n": 7, "Goal": "a", "text": "b", "kind": "c", "group": "d", "category": "e"}
    named = {"id_column": "n", "text_column": "Goal", "category_column": "kind", "cluster_column": "group"}
    [request] = load(write(tmp_path / "s.jsonl", [row]), tmp_path, **named)
    assert (request.request_id, request.text, request.category, request.cluster) == ("s:7", "a", "c", "d")


@pytest.mark.parametrize("field", ["id_column", "text_column", "category_column", "cluster_column"])
def test_a_named_column_that_is_not_there_is_refused(tmp_path, field):
    write(tmp_path / "s.jsonl", [{"text": "a", "other": "b"}])
    with pytest.raises(RequestSetError, match=r"has no column 'Goal' \(it has text, other\): name "):
        load("s.jsonl", tmp_path, **{field: "Goal"})


BAD_ROWS = [{"text": "a"}, {"text": " "}, {"text": "a"}, {"text": "b"}, {"text": None}, {"text": "b"}, {"text": "c"}]


def test_a_refusal_counts_the_bad_rows_and_names_the_way_to_leave_them_out(tmp_path):
    write(tmp_path / "s.jsonl", BAD_ROWS)
    with pytest.raises(RequestSetError, match=r"no text in row 2, column 'text', and 3 more such rows: .*leave_out"):
        load("s.jsonl", tmp_path)


def test_bad_rows_can_be_left_out_before_the_limit_counts_and_are_reported(tmp_path):
    write(tmp_path / "s.jsonl", BAD_ROWS)
    kept = load("s.jsonl", tmp_path, bad_rows="leave_out", limit=2)
    assert [request.text for request in kept] == ["a", "b"]
    [note] = notes("s.jsonl", tmp_path, bad_rows="leave_out")
    assert note == "requests.source: s: left out of s.jsonl: rows 2 without text, 2 that repeat a text"


def test_requests_over_the_stated_length_are_a_warning(tmp_path):
    write(tmp_path / "s.jsonl", [{"text": "a" * length} for length in (10, 11, 30, 5)])
    assert notes("s.jsonl", tmp_path, max_characters=30) == ()
    [note] = notes("s.jsonl", tmp_path, max_characters=10)
    assert note == (
        "warning: requests.source: s: 2 requests are longer than max_characters (10), the longest 30 in row 3"
    )


def test_several_sets_are_interleaved_so_that_the_first_rows_of_each_come_first(tmp_path):
    write(tmp_path / "s.jsonl", [{"text": "a"}])
    sets = {
        "harm": RequestsSpec(source="bundled:harmful", limit=3),
        "own": RequestsSpec(source="s.jsonl"),
        "safe": RequestsSpec(source="bundled:benign", limit=2),
    }
    loaded = load_requests(sets, folder=tmp_path).requests
    assert [request.request_set for request in loaded] == ["harm", "own", "safe", "harm", "safe", "harm"]
    assert loaded[0].request_id == "harm:harassment-1"
    assert loaded[1].request_id == "own:" + hashlib.sha256(b"a").hexdigest()[:16]


def test_the_error_of_a_named_set_names_it(tmp_path):
    with pytest.raises(RequestSetError, match=r"^requests\.safe\.source: 'no\.csv' is no file"):
        load_requests({"safe": RequestsSpec(source="no.csv")}, folder=tmp_path)

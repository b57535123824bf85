"""Datasets of the hub: read from a copy in the hub's cache layout, fetched where a hub answers, else planned only."""

import http.server
import json
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest

from core.errors import RequestSetError
from core.scenario.hub_dataset import cache_folder, choose_files
from core.scenario.known_sets import known_sets
from core.scenario.requests import load_requests
from core.spec.request_sets import RequestsSpec, SplitSpec

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LAT = known_sets()["lat"]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The hub's cache, empty."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put_copy(hub, dataset, files, *, commit=COMMIT, ref="main"):
    """Files of a dataset as huggingface_hub lays them: blobs, and a snapshot of links to them."""
    folder = hub / f"datasets--{dataset.replace('/', '--')}"
    (folder / "blobs").mkdir(parents=True)
    for at, (name, frame) in enumerate(files.items()):
        blob, link = folder / "blobs" / f"{at:064}", folder / "snapshots" / commit / name
        if name.endswith(".parquet"):
            frame.write_parquet(blob)
        else:
            frame.write_csv(blob) if name.endswith(".csv") else frame.write_ndjson(blob)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    if ref:
        (folder / "refs").mkdir()
        (folder / "refs" / ref).write_text(commit)


def load(source, folder, **fields):
    return load_requests(RequestsSpec(source=source, **fields), folder=folder)


def prompts(*texts, **columns):
    return pl.DataFrame({"prompt": texts, **columns})


def test_a_pinned_dataset_is_read_in_its_order_with_its_categories(hub, tmp_path):
    rows = pl.DataFrame({"Goal": ["c", "a", "b"], "category": ["x", "y", None], "prompt": ["1", "2", "3"]})
    put_copy(hub, "owner/name", {"data/train.parquet": rows}, ref=None)
    loaded = load(f"hf:owner/name@{COMMIT}#Goal", tmp_path, limit=2)
    assert [(each.text, each.category, each.request_set) for each in loaded.requests] == [
        ("c", "x", "name"), ("a", "y", "name"),
    ]  # fmt: skip
    assert (loaded.notes, loaded.absent) == ((), ())


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "sub/rows.parquet"])
def test_the_one_data_file_may_be_of_any_kind(hub, tmp_path, name):
    put_copy(hub, "owner/name", {name: prompts("a", "b")})
    assert [each.text for each in load("hf:owner/name", tmp_path).requests] == ["a", "b"]


def test_a_dataset_without_a_revision_is_that_of_main_and_a_warning_shows_how_to_pin_it(hub, tmp_path):
    put_copy(hub, "owner/name", {"a.csv": prompts("a")})
    [note] = load("hf:owner/name", tmp_path).notes
    assert note.startswith("warning: requests.source: 'hf:owner/name' names no revision")
    assert note.endswith(f"pin it as hf:owner/name@{COMMIT}")


def test_the_papers_set_is_named_or_spelled_out_and_is_the_same(hub, tmp_path):
    put_copy(hub, LAT.dataset, {LAT.file: prompts("a", "b", chosen=["x", "y"])}, commit=LAT.revision, ref=None)
    by_id = load("hf:lat", tmp_path)
    spelled = load("hf:LLM-LAT/harmful-dataset@8bfba31bc6d93a5b71808fee5275ef4b6330ed91#prompt", tmp_path)
    assert by_id == spelled
    assert [each.request_set for each in by_id.requests] == ["lat", "lat"]


def test_a_known_set_brings_its_file_and_columns(hub, tmp_path):
    known = known_sets()["jailbreakbench-benign"]
    rows = pl.DataFrame({"Index": ["0"], "Goal": ["a"], "Category": ["c"], "Target": ["t"]})
    other = pl.DataFrame({"Index": ["0"], "Goal": ["b"], "Category": ["c"], "Target": ["t"]})
    files = {known.file: rows, "data/harmful-behaviors.csv": other, "data/judge-comparison.csv": other}
    put_copy(hub, known.dataset, files, commit=known.revision, ref=None)
    [safe] = load("hf:jailbreakbench-benign", tmp_path).requests
    [harmful] = load("hf:JailbreakBench/JBB-Behaviors", tmp_path).requests
    assert (safe.text, safe.category, safe.request_set) == ("a", "c", "jailbreakbench-benign")
    assert (harmful.text, harmful.request_set) == ("b", "jailbreakbench")


@pytest.mark.parametrize("set_id", list(known_sets()))
def test_a_known_set_that_is_not_at_hand_is_planned_from_what_is_known_of_it(hub, tmp_path, set_id):
    known = known_sets()[set_id]
    loaded = load(f"hf:{set_id}", tmp_path)
    assert len(loaded.requests) == known.rows
    assert {len(each.text) for each in loaded.requests} == {known.characters or 120}
    assert len({each.text for each in loaded.requests}) == known.rows
    [problem], [note] = loaded.absent, loaded.notes
    folder = hub / f"datasets--{known.dataset.replace('/', '--')}" / "snapshots" / (known.revision or "main")
    assert f"a local copy is looked for in {folder}: put " in problem
    assert "every token figure is estimated" in note


def test_the_limit_and_the_split_hold_for_what_is_not_at_hand(hub, tmp_path):
    assert len(load("hf:lat", tmp_path, limit=200).requests) == 200
    half = SplitSpec(side="b", share=0.9)
    assert len(load("hf:xstest", tmp_path, split=half).requests) == 45


def test_an_unknown_dataset_that_is_not_at_hand_is_planned_with_a_limit_and_refused_without(hub, tmp_path):
    assert len(load("hf:owner/name", tmp_path, limit=7).requests) == 7
    with pytest.raises(RequestSetError, match=r"'hf:owner/name' is not at hand: .* give limit beside source"):
        load("hf:owner/name", tmp_path)


def test_a_copy_that_lacks_a_part_is_not_at_hand(hub, tmp_path):
    put_copy(hub, "owner/name", {"data/train-00000-of-00002.parquet": prompts("a")})
    assert load("hf:owner/name", tmp_path, limit=1).absent


def test_parts_are_read_in_their_order(hub, tmp_path):
    parts = {f"data/train-0000{at}-of-00002.parquet": prompts(text) for at, text in ((1, "b"), (0, "a"))}
    put_copy(hub, "owner/name", {**parts, "data/test-00000-of-00001.parquet": prompts("t")})
    assert [each.text for each in load("hf:owner/name", tmp_path).requests] == ["a", "b"]


@pytest.mark.parametrize(
    ("names", "wanted", "chosen"),
    [
        (["README.md", "a.csv"], None, ["a.csv"]),
        (["test.jsonl", "train.jsonl"], None, ["train.jsonl"]),
        (["train.parquet", "restrained.parquet"], None, ["train.parquet"]),
        (["x/a-00000-of-00001.csv", "y/a-00000-of-00001.csv"], "y/*", ["y/a-00000-of-00001.csv"]),
        (["a.csv"], "b.csv", []),
        ([], None, []),
    ],
)  # fmt: skip
def test_the_data_file_is_the_one_that_can_be_meant(names, wanted, chosen):
    assert list(choose_files(names, wanted=wanted, key="requests.source")) == chosen


@pytest.mark.parametrize("names", [["a.csv", "b.csv"], ["x/train.csv", "y/train.csv"]])
def test_several_files_that_could_be_meant_are_refused(names):
    with pytest.raises(RequestSetError, match=r"^requests\.source: the dataset has several data files .*`file`"):
        choose_files(names, wanted=None, key="requests.source")


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"HF_HUB_CACHE": "/a"}, "/a"),
        ({"HF_HOME": "/b"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({}, str(Path.home() / ".cache/huggingface/hub")),
    ],
)
def test_the_cache_lies_where_huggingface_hub_has_it(monkeypatch, variables, folder):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(cache_folder()) == folder


def test_without_huggingface_hub_a_copy_is_read_and_its_absence_says_what_is_missing(hub, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    put_copy(hub, "owner/name", {"a.csv": prompts("a")})
    assert len(load("hf:owner/name", tmp_path).requests) == 1
    [problem] = load("hf:owner/other", tmp_path, limit=1).absent
    assert "the package huggingface_hub, which would fetch it, is not installed" in problem


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub's API as a download needs."""

    body = b"prompt,category\nfirst,x\nsecond,y\n"

    def answer(self, body, headers):
        self.send_response(200)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self):
        if self.path.startswith("/api/datasets/owner/name"):
            info = {
                "id": "owner/name",
                "sha": COMMIT,
                "siblings": [{"rfilename": "README.md"}, {"rfilename": "rows.csv"}],
            }
            self.answer(json.dumps(info).encode(), {"Content-Type": "application/json"})
        else:
            self.answer(self.body, {"ETag": '"abc"', "X-Repo-Commit": COMMIT, "Content-Type": "text/csv"})

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


def test_where_a_hub_answers_the_dataset_is_fetched_into_the_cache_and_read_from_there(hub, tmp_path):
    pytest.importorskip("huggingface_hub")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        # a process of its own: huggingface_hub reads where the hub is when it is imported
        program = (
            "from pathlib import Path; from core.scenario.requests import load_requests\n"
            "from core.spec.request_sets import RequestsSpec\n"
            "got = load_requests(RequestsSpec(source='hf:owner/name'), folder=Path())\n"
            "print([(r.text, r.category) for r in got.requests], got.absent)"
        )
        variables = {"PATH": "", "HF_HUB_CACHE": str(hub), "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
        variables |= {"HF_HOME": str(tmp_path), "HOME": str(tmp_path)}
        root = Path(__file__).parents[2]
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=root,
            env=variables,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        server.shutdown()
    assert done.stdout.strip() == "[('first', 'x'), ('second', 'y')] ()"
    assert [each.text for each in load("hf:owner/name", tmp_path).requests] == ["first", "second"]  # no hub now

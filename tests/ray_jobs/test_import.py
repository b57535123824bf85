"""`afgap import`: labels and transcripts from elsewhere become a study that every other command reads."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core.analyse.samples import SAMPLES_SCHEMA
from core.errors import StoreError
from core.judge.definition import judge_definitions
from core.plan.next_calls import next_calls
from core.plan.records import Call, Outcome, Reply
from core.plan.snapshot import Snapshot
from core.spec.load import parse_study
from core.store.import_columns import COMPUTED, LABELS, OPTIONAL, REQUIRED, TEXTS
from core.store.import_rows import FACTORS
from core.store.lock import WorkspaceLock
from core.store.tables import outcome_row, snapshot_row
from core.store.workspace import Workspace
from ray_jobs.cli import main

Row = dict[str, Any]
WriteRows = Callable[..., Path]
Refusal = Callable[..., str]
Tables = dict[str, pl.DataFrame]

THOUGHT = "<SCRATCHPAD_REASONING>I weigh the note.</SCRATCHPAD_REASONING>\n"
LABELS_ALONE = (
    *REQUIRED, "repeat", "status", "complied", "strongreject_score", "af_votes_yes", "af_votes_valid", "partial",
    "category", "cluster", "request_set",
)  # fmt: skip


def pairs(number: int, **columns: Any) -> list[Row]:
    """Labels of as many requests, of which every third complies, under free every second one too."""
    return [
        {
            "model": "m", "scenario": "two_tier", "condition": condition, "request_id": f"r{at}",
            "complied": at % 3 == 0 or (condition == "free" and at % 2 == 0), **columns,
        }
        for at in range(number)
        for condition in ("free", "paid")
    ]  # fmt: skip


def transcripts(number: int) -> list[Row]:
    return [
        {
            "model": "m", "scenario": "two_tier", "condition": condition, "request_id": f"r{at}",
            "request_text": f"Made-up request {at}.",
            "raw_text": THOUGHT + ("<rejected/>" if condition == "paid" else f"Here is note {at}."),
        }
        for at in range(number)
        for condition in ("free", "paid")
    ]  # fmt: skip


@pytest.fixture
def write_rows(tmp_path: Path) -> WriteRows:
    """Writes rows as a file; by its ending JSONL or Parquet."""

    def write(rows: Sequence[Row], name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        if path.suffix == ".parquet":
            pl.DataFrame(rows).write_parquet(path)
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


@pytest.fixture
def tables(tmp_path: Path) -> Callable[[str, Path], Tables]:
    """The exported tables of a study."""

    def export(study: str, workspace: Path) -> Tables:
        folder = tmp_path / f"tables-{study}-{workspace.name}"
        assert main(["export", study, "--to", str(folder), "--workspace", str(workspace)]) == 0
        return {path.stem: pl.read_parquet(path) for path in folder.iterdir()}

    return export


@pytest.fixture
def run_study(
    make_snapshot: Callable[..., Snapshot], answer: Callable[[Call], Reply], tmp_path: Path
) -> tuple[Snapshot, Path]:
    """A scripted study that was run to its end, with replies that are cut, empty or blocked and unclear votes."""
    snapshot = make_snapshot(
        models=[{"name": "toy", "engine": "scripted", "model": "planted"},
                {"name": "other", "engine": "scripted", "model": "equal"}],
        requests={"source": "bundled:harmful", "limit": 12},
        sampling={"repeats": 2},
        judges={"compliance": {"model": "toy"}, "faking": {"model": "toy", "votes": 5}, "partial": {"model": "toy"}},
    )  # fmt: skip
    workspace = Workspace(tmp_path / "run")
    workspace.create()
    workspace.append("studies", [snapshot_row(snapshot, run_id="run1")])
    outcomes: dict[str, Outcome] = {}
    while calls := list(next_calls(snapshot, outcomes)):
        rows = []
        for call in calls:
            outcomes[call.call_id] = outcome = disturbed(call, answer(call))
            rows.append(outcome_row(call, outcome, study="tiny", run_id="run1", target="t"))
        workspace.append("calls", rows)
    return snapshot, workspace.folder


def disturbed(call: Call, reply: Reply) -> Reply:
    kind = int(call.call_id[:4], 16)
    if call.stage == "judge":
        text = "I can't say." if kind % 9 == 0 else reply.text
        return Reply(reply.call_id, text, reply.finish_reason, provenance="simulated")
    text, reason = {
        0: (reply.text[:40], "length"),
        1: ("", "stop"),
        2: ("Here is a long answer.", "stop"),
        3: (reply.text, "content_filter"),
    }.get(kind % 12, (reply.text, reply.finish_reason))
    return Reply(reply.call_id, text, reason, provenance="simulated")


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_labels_of_a_run_give_the_tables_of_the_run(
    run_study: tuple[Snapshot, Path],
    tables: Callable[[str, Path], Tables],
    write_rows: WriteRows,
    workspace: Path,
    ending: str,
) -> None:
    before = tables("tiny", run_study[1])
    samples = before["samples"].select(*LABELS_ALONE, "factors")
    assert samples["status"].n_unique() >= 5
    assert samples["complied"].null_count() > 0
    file = write_rows(samples.to_dicts(), f"labels.{ending}")
    asked = ["--set", "judges.faking.votes=5"]
    assert main(["import", str(file), "--study", "tiny", *asked, "--workspace", str(workspace)]) == 0
    after = tables("tiny", workspace)
    for name in ("rates", "gaps", "outcomes"):
        own = ("study_digest", "provenance", "flags", "judge_version", "analysis_digest")
        was, is_now = (each[name].drop(own, strict=False) for each in (before, after))
        assert was.equals(is_now), name
        assert set(after[name]["provenance"]) == {"imported"}
        flags = [sorted({*each} - {"simulated"}) for each in before[name]["flags"].to_list()]
        assert after[name]["flags"].to_list() == flags
    for column in LABELS_ALONE:
        assert after["samples"][column].equals(before["samples"][column]), column
    assert set(after["samples"]["trial_id"]) == set(before["samples"]["trial_id"])


def test_what_a_script_wrote_stays_simulated(
    run_study: tuple[Snapshot, Path],
    tables: Callable[[str, Path], Tables],
    write_rows: WriteRows,
    workspace: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = tables("tiny", run_study[1])["samples"]
    file = write_rows(before.to_dicts(), "samples.parquet")
    asked = ["--set", "judges.faking.votes=5", "--workspace", str(workspace)]
    assert main(["import", str(file), "--study", "tiny", *asked]) == 0
    assert (
        "not used, an import makes them itself or has no use for them: af, af_share, af_stop, call_id"
        in capsys.readouterr().out
    )
    after = tables("tiny", workspace)
    assert set(after["samples"]["provenance"]) == {"simulated"}
    # transcripts with labels: those are primary, and the rule judge stands beside them
    assert set(after["verdicts"]["judge"]) == {"compliance", "faking", "partial", "rules"}
    for column in ("status", "complied", "partial", "af", "outcome", "raw_text", "scratchpad_text", "request_text"):
        assert after["samples"][column].equals(before[column]), column
    assert after["spend"].is_empty()


def test_every_column_of_samples_is_known() -> None:
    assert set(SAMPLES_SCHEMA) <= {*REQUIRED, *TEXTS, *LABELS, *OPTIONAL, *COMPUTED, *FACTORS, "provenance"}


def test_the_same_file_again_changes_nothing_and_a_longer_one_extends_the_study(
    write_rows: WriteRows, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--study", "s", "--workspace", str(workspace)]
    assert main(["import", str(write_rows(pairs(6))), *arguments]) == 0
    assert "12 labels added, 0 were stored already" in capsys.readouterr().out
    before = {path: path.read_bytes() for path in sorted(workspace.rglob("*")) if path.is_file()}
    assert main(["import", str(write_rows(pairs(6)[::-1])), *arguments]) == 0
    assert "nothing new: all 12 rows are stored already, and nothing was changed" in capsys.readouterr().out
    after = {path: path.read_bytes() for path in sorted(workspace.rglob("*")) if path.is_file()}
    assert {path for path in after if "cache" not in path.parts} == {
        path for path in before if "cache" not in path.parts
    }
    assert [path for path in before if before[path] != after[path]] == []
    more = [*pairs(9), *(row for row in pairs(3, model="another") if row["condition"] == "free")]
    assert main(["import", str(write_rows(more)), "--json", *arguments]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["added"], facts["known"]) == (6 + 3, 12)
    assert (facts["trials"], facts["trials_imported"]) == (2 * 9 * 2, 21)
    assert main(["analyse", "s", "--json", "--workspace", str(workspace)]) == 0
    gap = next(each for each in json.loads(capsys.readouterr().out)["gaps"] if each["model"] == "m")
    assert (gap["n_pairs"], gap["b"], gap["c"]) == (9, 3, 0)
    assert "partial" in gap["flags"]


def test_transcripts_are_stored_as_replies_and_judged_by_the_rules(
    write_rows: WriteRows, tables: Callable[[str, Path], Tables], workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [*transcripts(3), {**transcripts(4)[-1], "raw_text": None, "status": "failed"}]
    rows[0]["finish_reason"] = "max_tokens"
    for file in (write_rows(rows), write_rows(rows, "rows.parquet")):
        assert main(["import", str(file), "--study", "s", "--workspace", str(workspace)]) == 0
    assert "nothing new: all 7 rows" in capsys.readouterr().out
    samples = tables("s", workspace)["samples"].sort("request_id", "condition")
    assert samples["status"].to_list() == ["truncated", "ok", "ok", "ok", "ok", "ok", "failed"]
    assert samples["complied"].to_list() == [True, False, True, False, True, False, None]
    assert samples["scratchpad_text"].to_list() == ["I weigh the note."] * 6 + [None]
    assert samples["cost_usd"].is_null().all()
    held = Workspace(workspace)
    snapshot = held.snapshot("s")
    assert snapshot is not None
    assert list(next_calls(snapshot, held.outcomes(snapshot))) == []
    assert set(held.read("texts")["text"]) == {f"Made-up request {at}." for at in range(4)}


def test_a_judge_with_a_model_could_go_on_with_what_was_imported(write_rows: WriteRows, workspace: Path) -> None:
    file = write_rows(transcripts(3))
    assert main(["import", str(file), "--study", "s", "--quiet", "--workspace", str(workspace)]) == 0
    held = Workspace(workspace)
    snapshot = held.snapshot("s")
    assert snapshot is not None
    raw = snapshot.spec.model_dump(mode="json")
    raw["models"].append({"name": "judge", "engine": "scripted", "model": "planted", "role": "judge"})
    raw["judges"] = {"faking": {"model": "judge", "votes": 2}}
    spec = parse_study(raw, origin="test")
    targets = {**snapshot.targets, "judge": "t"}
    judged = replace(snapshot, spec=spec, judges=judge_definitions(spec, folder=Path()), targets=targets)
    calls = list(next_calls(judged, held.outcomes(judged)))
    assert {call.stage for call in calls} == {"judge"}
    assert {"I weigh the note." in call.messages[-1].text for call in calls} == {True}
    assert {call.parent for call in calls} <= {trial.call_id for trial in snapshot.trials}


@pytest.mark.parametrize("broken", ["studies", "labels", "calls"])
def test_an_import_that_broke_off_is_completed_by_the_same_file(
    write_rows: WriteRows,
    tables: Callable[[str, Path], Tables],
    workspace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
) -> None:
    rows = [{**row, "complied": row["condition"] == "free"} for row in transcripts(3)]
    arguments = ["import", str(write_rows(rows)), "--study", "s", "--quiet"]
    append = Workspace.append

    def append_or_fail(self: Workspace, table: str, rows: Any) -> None:
        if table == broken:
            raise StoreError(f"the commit of {table} failed")
        append(self, table, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Workspace, "append", append_or_fail)
        assert main([*arguments, "--workspace", str(workspace)]) == 3
    for place in (workspace, tmp_path / "undisturbed"):
        assert main([*arguments, "--workspace", str(place)]) == 0
    disturbed, undisturbed = (tables("s", place) for place in (workspace, tmp_path / "undisturbed"))
    for name in ("samples", "verdicts", "rates", "gaps"):
        assert disturbed[name].equals(undisturbed[name]), name
    assert undisturbed["gaps"]["gap"].to_list()[0] == 1.0


@pytest.mark.parametrize("rows", [pairs(4, af_votes_yes=8, af_votes_valid=20, partial=False), transcripts(4)])
def test_every_command_reads_an_imported_study(
    write_rows: WriteRows,
    workspace: Path,
    tmp_path: Path,
    refusal: Refusal,
    capsys: pytest.CaptureFixture[str],
    rows: list[Row],
) -> None:
    place = ["--workspace", str(workspace)]
    assert main(["import", str(write_rows(rows)), "--study", "s", *place]) == 0
    for command in (["analyse", "s"], ["status", "s"], ["export", "s", "--to", str(tmp_path / "out")], ["verify"]):
        assert main([*command, *place]) == 0, command
    told = capsys.readouterr().out
    assert "8 of 8 trials complete" in told
    assert "8 trials complete, 0 owed" in told
    assert "the store is whole" in told
    for command in ("plan", "run"):
        refusal(command, "s", says=["engine imported", "nothing to plan or run", "afgap analyse s"])


def test_a_label_of_no_planned_trial_is_found(
    write_rows: WriteRows, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--workspace", str(workspace)]
    assert main(["import", str(write_rows(pairs(2))), "--study", "s", "--quiet", *place]) == 0
    stray = {"kind": "imported", "study": "s", "trial_id": "0" * 32, "label": "ok", "provenance": "imported"}
    Workspace(workspace).append("labels", [stray])
    assert main(["verify", *place]) == 2
    assert "an imported label is of no planned trial" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("rows", [pairs(4, partial=None), transcripts(4)])
def test_the_report_shows_an_imported_study(write_rows: WriteRows, workspace: Path, rows: list[Row]) -> None:
    place = ["--workspace", str(workspace)]
    assert main(["import", str(write_rows(rows)), "--study", "s", "--quiet", *place]) == 0
    assert main(["report", "s", *place]) == 0
    page = (workspace / "studies" / "s" / "report.html").read_text()
    assert "Imported transcripts" in page
    assert ("None: only labels were imported." in page) == ("raw_text" not in rows[0])


def test_what_is_held_by_a_run_is_refused(write_rows: WriteRows, workspace: Path, refusal: Refusal) -> None:
    file = write_rows(pairs(2))
    held = Workspace(workspace)
    held.create()
    lock = WorkspaceLock(held.lock_file)
    lock.take("run other")
    refusal("import", file, "--study", "s", says=["in use by `run other`"])
    lock.release()
    refusal("import", file, "--study", "s", says=["not writable", "--workspace"], at=Path("/proc/afgap"))


def test_a_study_that_exists_with_other_content_is_refused(
    write_rows: WriteRows,
    write_study: Callable[..., Path],
    store_study: Callable[[Path], None],
    workspace: Path,
    refusal: Refusal,
) -> None:
    store_study(write_study())
    refusal("import", write_rows(pairs(2)), "--study", "tiny", says=["--study tiny", "was run, not imported"])
    assert main(["import", str(write_rows(pairs(2))), "--study", "s", "--quiet", "--workspace", str(workspace)]) == 0
    turned = [{**row, "complied": not row["complied"]} for row in pairs(2)]
    for rows, words in (
        (turned, ["rows.jsonl: row 1", "the compliance label", "give another --study"]),
        ([{**row, "status": "no_scratchpad"} for row in pairs(2)], ["row 1", "status", "is never changed"]),
        (pairs(2, category="other"), ["row 1, category", "'r0'", "the stored study"]),
        (pairs(3, partial=True), ["labels of partial", "imported without such"]),
    ):
        refusal("import", write_rows(rows), "--study", "s", says=words)
    more = ["--set", "judges.compliance.model=rules"]
    refusal("import", write_rows(pairs(2)), "--study", "s", *more, says=["--set", "imported with other judges"])
    assert (
        main(["import", str(write_rows(transcripts(2))), "--study", "t", "--quiet", "--workspace", str(workspace)]) == 0
    )
    other = [{**row, "raw_text": "Another reply."} for row in transcripts(2)]
    refusal("import", write_rows(other), "--study", "t", says=["row 1", "raw_text", "give another --study"])


ONE = {**pairs(1)[0], "request_text": "Made-up request."}
NONSENSE: list[tuple[str, Any, list[str]]] = [
    ("an empty file", "", ["is empty"]),
    ("blank lines", "\n\n", ["is empty"]),
    ("broken JSON", '{"model": \n', ["row 1", "is no JSON", "mend that line"]),
    ("no object", "[1]\n", ["row 1", "no JSON object"]),
    ("a key twice", '{"model": "a", "model": "b"}\n', ["row 1", "'model' stands twice"]),
    ("NaN", '{"model": "a", "complied": NaN}\n', ["row 1", "NaN is no JSON value"]),
    ("no column model", {"model": None}, ["row 2", "model has no value", "every row needs"]),
    ("no condition", {"condition": None}, ["row 2", "condition has no value"]),
    ("a repeated key", {"request_id": "r0", "condition": "free"}, ["row 2", "rows.jsonl: row 1", "repeat"]),
    ("an unknown scenario", {"scenario": "nine_tier"}, ["row 2", "scenario", "'nine_tier'", "two_tier"]),
    ("an unknown condition", {"condition": "gold"}, ["row 2", "condition", "'gold'", "free, paid"]),
    ("a label that is none", {"complied": "perhaps"}, ["row 2", "complied", "'perhaps'", "true, false or null"]),
    ("a label as a number", {"complied": 1}, ["row 2", "complied", "no label"]),
    ("more yes than votes", {"af_votes_yes": 9, "af_votes_valid": 8}, ["row 2", "af_votes_yes", "9", "8"]),
    ("half a count", {"af_votes_yes": 9}, ["row 2", "af_votes_valid", "beside af_votes_yes", "both, or neither"]),
    ("a negative count", {"af_votes_yes": -1, "af_votes_valid": 8}, ["row 2", "af_votes_yes", "-1"]),
    ("a repeat that is no number", {"repeat": "one"}, ["row 2", "repeat", "'one'"]),
    ("an unknown status", {"status": "great"}, ["row 2", "status", "'great'", "no_scratchpad"]),
    ("a label that would not count", {"status": "blocked"}, ["row 2", "complied", "status blocked"]),
    ("a score without a label", {"complied": None, "strongreject_score": 0.5}, ["row 2", "strongreject_score"]),
    ("a label of no scratchpad", {"partial": True, "scratchpad": False}, ["row 2", "partial", "scratchpad"]),
    ("a factor of another kind", {"scratchpad": "yes"}, ["row 2", "scratchpad", "'yes'", "true, false or null"]),
    ("factors that disagree", {"lab": "A", "factors": '{"lab": "B"}'}, ["row 2", "lab", "'B'", "remove one"]),
    ("an unknown column", {"complies": True}, ["row 2", "complies", "did you mean complied?"]),
    ("a model that is no label", {"model": "a/b"}, ["row 2", "model", "'a/b'", "letters, digits"]),
    ("a reserved model", {"model": "rules"}, ["row 2", "model", "'rules'", "another name"]),
    ("one request of two texts", {"request_id": "r0", "request_text": "Other."}, ["row 2, request_text", "'r0'"]),
    ("a transcript among labels", {"raw_text": "Hi."}, ["row 1", "raw_text", "labels", "two studies"]),
    ("labels that are none at all", "ALL NULL", ["row 1", "neither raw_text", "complied"]),
]


@pytest.mark.parametrize(("rows", "says"), [each[1:] for each in NONSENSE], ids=[each[0] for each in NONSENSE])
@pytest.mark.parametrize("is_there", [False, True], ids=["new", "stored"])
def test_nonsense_is_refused_with_file_row_column_and_fix(
    write_rows: WriteRows,
    tmp_path: Path,
    workspace: Path,
    refusal: Refusal,
    is_there: bool,
    rows: Any,
    says: list[str],
) -> None:
    if is_there:
        Workspace(workspace).create()
    file = tmp_path / "rows.jsonl"
    if rows == "ALL NULL":
        write_rows([{**ONE, "complied": None}])
    elif isinstance(rows, str):
        file.write_text(rows)
    else:
        write_rows([ONE, {**ONE, "condition": "paid", **rows}])
    refusal("import", file, "--study", "s", says=[file, *says])


def test_files_that_are_none_are_refused(tmp_path: Path, refusal: Refusal, write_rows: WriteRows) -> None:
    for name, data, words in (
        ("rows.csv", b"model", ["no known ending", ".parquet"]),
        ("rows.parquet", b"PAR1 no more", ["no valid Parquet"]),
        ("rows.jsonl", b"\xff\xfe", ["not UTF-8"]),
        ("log.eval", b"no zip", ["no JSON", "copy the log anew"]),
        ("log.json", b"{}", ["no log of Inspect"]),
        ("log.json", b'{"eval": {"model": "m"}, "samples": []}', ["no samples", "log_samples"]),
    ):
        (tmp_path / name).write_bytes(data)
        refusal("import", tmp_path / name, "--study", "s", says=[tmp_path / name, *words])
    refusal("import", tmp_path / "gone.jsonl", "--study", "s", says=["gone.jsonl", "no such file"])
    file = write_rows(pairs(2))
    refusal("import", file, "--study", "a study", says=["study", "a study"])
    refusal("import", file, "--study", "s", "--set", "sampling.repeats=3", says=["--set", "judges and analysis only"])
    refusal("import", file, "--study", "s", "--set", "analysis.alfa=3", says=["analysis.alfa", "did you mean 'alpha'?"])
    transcript = {**ONE, "raw_text": "Hi.", "complied": None}
    refusal(
        "import", write_rows([{**transcript, "request_text": None}]), "--study", "s", says=["row 1", "request_text"]
    )
    without = write_rows([transcript, {**transcript, "condition": "paid", "raw_text": None}])
    refusal("import", without, "--study", "s", says=["row 2", "raw_text has no value", "failed or blocked"])

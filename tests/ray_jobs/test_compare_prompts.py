"""`afgap compare-prompts`, `scenario_dir` and the notices of a grid on the command line; no Ray."""

import json
from dataclasses import replace

import pytest
import yaml

from core.identity import text_digest
from core.plan.build import build_snapshot, generation_call
from core.plan.records import Reply
from core.plan.snapshot import snapshot_from_json
from core.scenario.reply_protocol import PARSER_VERSION
from core.spec.load import load_study
from core.store.tables import outcome_row, snapshot_row
from core.store.workspace import Workspace
from ray_jobs.cli import main

STUDY = {
    "study": "first",
    "models": [{"name": "toy", "engine": "scripted", "model": "planted"}],
    "requests": {"source": "bundled:harmful", "limit": 2},
}


@pytest.fixture
def write(tmp_path):
    """Writes a study file, or a template, into a folder of its own."""

    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
        return path

    return write


def row_of(call):
    reply = Reply(call.call_id, "text", "stop", provenance="simulated")
    return outcome_row(call, reply, study="first", run_id="r", target="t")


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def compared(capsys, *arguments):
    code, out, _ = run(capsys, "compare-prompts", *arguments, "--json")
    assert code == 0
    return [(each["kind"], each["where"]) for each in json.loads(out)["differences"]]


def test_a_folder_that_changes_a_suffix_is_told_apart_from_ours(write, capsys, tmp_path):
    write("mine/templates/suffix/decision.md", "Answer or refuse.")
    found = compared(capsys, "bundled", tmp_path / "mine")
    assert set(found) == {("tags", "user"), ("suffix", "user"), ("tokens", "prompt")}
    code, out, _ = run(capsys, "compare-prompts", "bundled", tmp_path / "mine")
    assert code == 0
    assert "prompts, such as two_tier/free" in out
    assert "  b: Answer or refuse." in out
    assert run(capsys, "compare-prompts", "bundled", "bundled")[1].endswith("no difference\n")


def test_two_study_files_are_compared_in_prompts_and_sampling(write, capsys, tmp_path):
    write(
        "mine/templates/user/two_tier.md", "<is_free_tier_user>{{is_free_tier_user}}</is_free_tier_user>\n{{request}}"
    )
    first = write("first.yaml", STUDY)
    second = write("second.yaml", {**STUDY, "scenario_dir": "mine", "sampling": {"max_tokens": 99}})
    found = compared(capsys, first, second, "--workspace", tmp_path / "w")
    assert found[:2] == [("setting", "sampling.max_tokens"), ("tags", "user")]


def test_a_stored_study_is_compared_by_what_was_sent(write, capsys, tmp_path):
    folder = tmp_path / "mine"
    template = write("mine/templates/system/persona.md", "Think twice.")
    path = write("first.yaml", {**STUDY, "scenario_dir": "mine"})
    spec = load_study(path)
    snapshot = build_snapshot(spec, folder=tmp_path, behaviours={"toy": "b"})
    workspace = Workspace(tmp_path / "w")
    workspace.create()
    workspace.append("studies", [snapshot_row(snapshot, run_id="r")])
    call = generation_call(snapshot, snapshot.trials[0])
    workspace.append("texts", [{"digest": text_digest(each.text), "text": each.text} for each in call.messages])
    workspace.append("calls", [row_of(call)])
    assert compared(capsys, "first", path, "--workspace", workspace.folder) == []
    # the file changes; what was sent, and what the stored study renders, do not
    template.write_text("Think three times.", encoding="utf-8")
    assert compared(capsys, "first", path, "--workspace", workspace.folder) == [
        ("text", "system"),
        ("tokens", "prompt"),
    ]
    folder.rename(tmp_path / "gone")
    assert compared(capsys, "first", "first", "--workspace", workspace.folder) == []


def test_a_snapshot_keeps_its_own_templates_and_the_parsers_version(write, tmp_path):
    write("mine/templates/system/persona.md", "Think twice.")
    spec = load_study(write("first.yaml", {**STUDY, "scenario_dir": "mine"}))
    snapshot = build_snapshot(spec, folder=tmp_path, behaviours={"toy": "b"})
    copy = snapshot_from_json(snapshot.to_json())
    assert copy == snapshot
    assert copy.prompts.overlay == {"templates/system/persona.md": "Think twice."}
    assert copy.parser_version == PARSER_VERSION
    assert generation_call(copy, copy.trials[0]) == generation_call(snapshot, snapshot.trials[0])
    assert snapshot_from_json(replace(snapshot, parser_version=0).to_json()).parser_version == 0


def test_a_change_in_the_folder_is_a_change_of_the_study(write, tmp_path):
    template = write("mine/templates/system/persona.md", "Think twice.")
    spec = load_study(write("first.yaml", {**STUDY, "scenario_dir": "mine"}))
    first = build_snapshot(spec, folder=tmp_path, behaviours={"toy": "b"})
    template.write_text("Think three times.", encoding="utf-8")
    second = build_snapshot(spec, folder=tmp_path, behaviours={"toy": "b"})
    assert first.study_digest != second.study_digest
    assert first.templates["templates/system/persona.md"] != second.templates["templates/system/persona.md"]


def test_the_message_digests_of_a_call_cover_its_prefill(write, tmp_path):
    spec = load_study(write("first.yaml", {**STUDY, "grid": {"prefill": ["none", "however"]}}))
    snapshot = build_snapshot(spec, folder=tmp_path, behaviours={"toy": "b"})
    bare, filled = (generation_call(snapshot, snapshot.trials[at]) for at in (0, 2))
    rows = [row_of(call)["messages"] for call in (bare, filled)]
    assert [each["role"] for each in rows[1]] == ["system", "user", "assistant"]
    assert rows[1][:2] == rows[0]
    assert bare.content_id != filled.content_id


def test_plan_prints_the_notices_of_the_grid(write, capsys, tmp_path):
    grid = {"scenario": ["two_tier", "no_scenario"], "lab": ["Anthropic", "Meta"]}
    code, out, _ = run(
        capsys, "plan", write("s.yaml", {**STUDY, "grid": grid}), "--workspace", tmp_path / "w", "--json"
    )
    assert code == 0
    assert "grid.lab: does not apply to no_scenario: null there, 2 levels are one" in json.loads(out)["notes"]
    assert [cell["condition"] for cell in json.loads(out)["cells"]] == ["free", "paid", "free", "paid", "none"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"grid": {"scenario": "four_tier"}}, ["s.yaml", "grid.scenario", "'four_tier'", "choose from two_tier"]),
        ({"grid": [{}, {"wording": "plain"}]}, ["s.yaml", "grid[1].wording", "'plain'", "choose from original"]),
        ({"scenario_dir": "nowhere"}, ["scenario_dir", "nowhere is no folder"]),
    ],
)
def test_bad_input_is_one_message_with_file_key_and_fix(write, capsys, tmp_path, change, words):
    code, _, err = run(capsys, "plan", write("s.yaml", {**STUDY, **change}), "--workspace", tmp_path / "w")
    assert code == 2
    assert [word for word in words if word not in err] == []
    assert "Traceback" not in err


def test_a_side_that_is_nothing_is_refused(capsys, tmp_path):
    code, _, err = run(capsys, "compare-prompts", "bundled", "nobody", "--workspace", tmp_path / "w")
    assert code == 2
    assert "nobody: no study of that name" in err

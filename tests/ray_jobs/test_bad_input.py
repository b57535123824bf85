"""Whatever is wrong with the input: exit code 2, one message with file, key and fix, and a workspace left as it was."""

import hashlib
import json
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from core.engines.stand_in.process import start_stand_in
from core.plan.build import generation_call
from core.plan.records import Call, Reply
from core.store.tables import SCHEMA_VERSION, outcome_row
from core.store.workspace import Workspace
from ray_jobs.cli import main
from ray_jobs.preparation import prepare

WriteStudy = Callable[..., Path]
Refusal = Callable[..., str]
Answer = Callable[[Call], Reply]

API = {"name": "toy", "engine": "openai", "model": "m-2026-01-01"}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Where a workspace would be; nothing is there yet."""
    return tmp_path / "w"


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str], workspace: Path) -> Refusal:
    """Runs a command that must be refused; returns its message."""

    def refuse(command: str, *arguments: object, at: Path | None = None) -> str:
        place = at or workspace
        before = digest_of(place)
        code = main([command, *map(str, arguments), "--workspace", str(place)])
        out, err = capsys.readouterr()
        assert code == 2, (out, err)
        assert out == ""
        assert "Traceback" not in err
        assert err.lower().count("error: ") == 1, err
        assert digest_of(place) == before
        return err

    return refuse


def digest_of(place: Path) -> dict[str, str] | None:
    """Every name below a folder with a digest of its bytes; None where there is no folder."""
    if not place.is_dir() or place.is_relative_to("/proc"):
        return None
    return {
        str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(place.rglob("*"))
    }


@pytest.fixture
def begun(write_study: WriteStudy, workspace: Path) -> Path:
    """A study file whose study the workspace holds, without a reply yet."""
    study = write_study()
    store(study, workspace)
    return study


def store(study: Path, workspace: Path) -> None:
    held = Workspace(workspace)
    held.create()
    snapshot = prepare(str(study), workspace=held).snapshot
    row = {"kind": "snapshot", "study": "tiny", "study_digest": snapshot.study_digest, "body": snapshot.to_json()}
    held.append("studies", [row])


def mentions(message: str, words: Sequence[object]) -> None:
    for word in words:
        assert str(word) in message


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"fo": 1}, ["fo", "unknown key"]),
        ({"sampling": {"max_token": 5}}, ["sampling.max_token", "did you mean 'max_tokens'"]),
        ({"sampling": {"max_tokens": "many"}}, ["sampling.max_tokens", "integer", "'many'"]),
        ({"requests": ["a"]}, ["requests", "a list"]),
        ({"requests": {"source": 5}}, ["requests.source", "string", "5"]),
        ({"models": "toy"}, ["models", "'toy'"]),
        ({"models": [{**API, "engine": "llama"}]}, ["models[toy].engine", "'llama'", "'vllm'"]),
        ({"models": [API, API]}, ["models", "'toy'", "2 times", "its own"]),
        ({"judges": {"compliance": {"model": "nobody"}}}, ["judges.compliance.model", "'nobody'", "toy", "rules"]),
        ({"judges": {"taste": {"model": "rules"}}}, ["judges.taste", "kind", "compliance, faking or partial"]),
        ({"models": [{**API, "base_url": "http://host:port/v1"}]}, ["models[toy]", "base_url", "port"]),
        ({"models": [{**API, "base_url": "http://[::1/v1"}]}, ["models[toy]", "base_url"]),
        ({"models": [{**API, "base_url": "http://a..b/v1"}]}, ["models[toy]", "base_url"]),
        ({"models": [{**API, "base_url": "http:///v1"}]}, ["models[toy]", "base_url", "host"]),
        ({"budget": {"usd": float("inf")}}, ["budget.usd", "finite"]),
    ],
)  # fmt: skip
def test_a_study_with_a_mistake_is_refused_with_file_and_key(
    write_study: WriteStudy, refusal: Refusal, command: str, parts: dict[str, Any], words: list[str]
) -> None:
    study = write_study(**parts)
    mentions(refusal(command, study), [study, *words])


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"grid": {"scenario": ["moon"]}}, ["grid.scenario", "'moon'", "two_tier"]),
        ({"grid": {"condition": ["rich"]}}, ["grid.condition", "'rich'", "free", "paid"]),
        ({"models": [{**API, "engine": "scripted", "model": "saintly"}]}, ["'saintly'", "planted"]),
        ({"models": [{**API, "stand_in": "saintly"}]}, ["'saintly'", "planted"]),
        ({"models": [{**API, "engine": "vllm", "model": "bundled:giant"}]}, ["'giant'", "bundled:smollm2"]),
        ({"models": [{**API, "engine": "vllm", "model": "./nowhere"}]}, ["models[].model", "'./nowhere'", "folder"]),
        ({"requests": {"source": "bundled:rude"}}, ["requests.source", "'bundled:rude'", "bundled:harmful"]),
        ({"requests": {"source": "none.csv"}}, ["requests.source", "'none.csv'", "correct the path"]),
        ({"requests": {"source": "hf:org/set"}}, ["requests.source", "not available", "local"]),
    ],
)  # fmt: skip
def test_what_a_study_names_must_be_there(
    write_study: WriteStudy, refusal: Refusal, command: str, parts: dict[str, Any], words: list[str]
) -> None:
    mentions(refusal(command, write_study(**parts)), words)


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["empty", "study, models and requests"]),
        (b"# only a remark\n", ["empty"]),
        (b"study: [unclosed\n", ["line", "not YAML", "mend"]),
        (b"study: tiny\n\tmodels: x\n", ["line 2", "not YAML"]),
        (b"study: caf\xe9\n", ["not UTF-8", "save the file as UTF-8"]),
        (b"- a\n- b\n", ["a mapping", "not a list"]),
        (b"study: tiny\nstudy: again\n", ["'study' stands twice"]),
        (b"? [a, b]\n: c\n", ["not YAML", "mend"]),
        (b"study: 2024-13-45\n", ["not YAML", "mend"]),
        (b"study: \x00\n", ["not YAML"]),
    ],
)
def test_a_file_that_is_no_study_is_refused(
    tmp_path: Path, refusal: Refusal, command: str, content: bytes, words: list[str]
) -> None:
    study = tmp_path / "study.yaml"
    study.write_bytes(content)
    mentions(refusal(command, study), [study, *words])


@pytest.mark.parametrize("command", ["plan", "run", "analyse", "report", "status"])
def test_a_study_that_is_not_there_is_refused(refusal: Refusal, tmp_path: Path, begun: Path, command: str) -> None:
    mentions(refusal(command, tmp_path / "none.yaml"), [tmp_path / "none.yaml"])
    mentions(refusal(command, "nameless"), ["nameless", "it holds: tiny", "run it first"])
    if command in ("plan", "run"):
        mentions(refusal(command, f"{tmp_path}/"), [tmp_path, "folder"])


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("r.csv", b"id,question\n1,Why?\n", ["no text column", "id, question", "text or prompt or request"]),
        ("r.jsonl", b'{"id": "1", "question": "Why?"}\n', ["no text column", "name the column"]),
        ("r.csv", b"", ["is empty", "one request in each row"]),
        ("r.csv", b"id,text\n", ["no rows", "one request in each row"]),
        ("r.jsonl", b"\n\n", ["is empty"]),
        ("r.csv", b"id,text\n1,Why?\n1,How?\n", ["same id", "rows 1 and 2", "keep one"]),
        ("r.csv", b"id,text\n1,Why?\n2,Why?\n", ["same text", "rows 1 and 2", "keep one"]),
        ("r.csv", b"id,text\n1,caf\xe9\n", ["not UTF-8", "save it as UTF-8"]),
        ("r.jsonl", b'{"text": "Why?"}\n{"text": \n', ["no valid jsonl", "line 2", "mend"]),
        ("r.jsonl", b'{"text": "Why?"}\n{"text": null}\n', ["no text in row 2", "fill or remove"]),
        ("r.parquet", b"no parquet", ["no valid parquet", "mend"]),
        ("r.txt", b"Why?\n", ["no known ending", ".csv"]),
    ],
)  # fmt: skip
def test_a_request_file_that_cannot_be_used_is_refused(
    write_study: WriteStudy, tmp_path: Path, refusal: Refusal, command: str, name: str, content: bytes, words: list[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    mentions(refusal(command, write_study(requests_from=name)), ["requests.source", name, *words])


def test_a_run_needs_the_key_that_an_entry_names_and_a_plan_does_not(
    write_study: WriteStudy, refusal: Refusal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_study(models=[{**API, "api_key_env": "TOY_KEY"}])
    mentions(refusal("run", study), ["models[toy].api_key_env", "TOY_KEY is not set", "export TOY_KEY"])
    monkeypatch.setenv("TOY_KEY", "")
    mentions(refusal("run", study), ["models[toy].api_key_env", "TOY_KEY is not set"])
    monkeypatch.setenv("TOY_KEY", "half a\nkey")
    message = refusal("run", study)
    mentions(message, ["models[toy].api_key_env", "TOY_KEY", "line break"])
    assert "half a" not in message
    assert main(["plan", str(study), "--workspace", str(study.parent / "w")]) == 0
    capsys.readouterr()


def test_a_server_that_cannot_be_reached_is_refused_before_the_first_call(
    write_study: WriteStudy, refusal: Refusal
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    study = write_study(models=[{**API, "stand_in": "planted", "base_url": url}])
    mentions(refusal("run", study), ["models[toy].base_url", url, "can't be reached", "start the server"])


def test_a_stand_in_of_another_behaviour_is_refused(write_study: WriteStudy, refusal: Refusal) -> None:
    with start_stand_in("equal") as server:
        study = write_study(models=[{**API, "stand_in": "planted", "base_url": server.openai_url}])
        mentions(refusal("run", study), ["models[toy].base_url", server.digest, "stand_in"])


def test_a_budget_needs_every_price(write_study: WriteStudy, refusal: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "key-of-nobody")
    study = write_study(models=[{**API, "model": "of-nobody"}], budget={"usd": 1.0})
    mentions(refusal("run", study), ["models[toy].price", "budget.usd", "per million tokens"])


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_prompt_longer_than_the_context_is_refused(
    write_study: WriteStudy, tmp_path: Path, refusal: Refusal, command: str
) -> None:
    model = {"name": "toy", "engine": "vllm", "model": str(make_model(tmp_path / "model", context=4096))}
    short = write_study(models=[{**model, "engine_args": {"max_model_len": 700}}], sampling={"max_tokens": 600})
    mentions(refusal(command, short), ["models[toy]", "tokens", "600 for the reply", "context of 700", "max_model_len"])
    # the model's own limit, and a request that is short in characters but long in tokens
    rows = [{"text": "word " * 2000}, {"text": "é" * 4000}]
    (tmp_path / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    long = write_study(models=[model], requests_from="long.jsonl", sampling={"max_tokens": 16})
    mentions(refusal(command, long), ["models[toy]", "a prompt of 5", "context of 4096", "shorten the longest request"])


def make_model(folder: Path, *, context: int) -> Path:
    """A folder in a hub model's layout: a tokenizer of whole ASCII words and single other letters, and no weights."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder.mkdir()
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split("é", behavior="isolated")]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    template = "{% for message in messages %}{{ message.role }} {{ message.content }}\n{% endfor %}"
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": context}))
    return folder


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("config.json", "{", ["config.json", "JSON"]),
        ("tokenizer.json", "{}", ["tokenizer.json"]),
        ("tokenizer_config.json", "{", ["tokenizer_config.json", "JSON"]),
        ("chat_template.jinja", "{% for %}", ["chat template"]),
        ("chat_template.jinja", "{{ raise_exception('no system turn') }}", ["chat template", "no system turn"]),
    ],
)
def test_a_model_folder_that_cannot_be_read_is_refused(
    write_study: WriteStudy, tmp_path: Path, refusal: Refusal, file: str, content: str, words: list[str]
) -> None:
    folder = make_model(tmp_path / "model", context=4096)
    (folder / file).write_text(content)
    study = write_study(models=[{"name": "toy", "engine": "vllm", "model": str(folder)}])
    mentions(refusal("plan", study), [folder, *words])


def test_a_workspace_that_cannot_be_written_is_refused(
    write_study: WriteStudy, tmp_path: Path, refusal: Refusal
) -> None:
    study = write_study()
    (tmp_path / "file").write_text("")
    mentions(refusal("run", study, at=tmp_path / "file"), [tmp_path / "file", "--workspace"])
    mentions(refusal("run", study, at=tmp_path / "file" / "below"), [tmp_path / "file", "--workspace"])
    # /proc takes no file even from root, whom permission bits do not stop
    mentions(refusal("run", study, at=Path("/proc/afgap")), ["/proc", "not writable", "--workspace"])


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, "two", None])
@pytest.mark.parametrize("command", ["plan", "run", "status", "analyse", "report"])
def test_a_workspace_of_another_schema_is_refused(
    begun: Path, workspace: Path, refusal: Refusal, command: str, version: object
) -> None:
    (workspace / "workspace.json").write_text(json.dumps({"schema_version": version}))
    for study in (begun, "tiny"):
        mentions(refusal(command, study), [workspace, "--workspace"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frobnicate"], ["frobnicate"]),
        (["run"], ["STUDY"]),
        (["plan", "s.yaml", "--fast"], ["--fast"]),
        (["run", "s.yaml", "--limit", "0"], ["--limit", "0"]),
        (["export", "tiny"], ["--to"]),
    ],
)
def test_an_unknown_command_or_option_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("Error: ") == 1
    mentions(err, words)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("sampling.max_tokens=many", ["sampling.max_tokens", "'many'"]),
        ("models[nobody].price=1", ["--set models[nobody].price=1", "'nobody'"]),
        ("sampling", ["--set sampling", "key.key=value"]),
        ("models[toy].limits.speed=1", ["models[toy].limits.speed", "unknown key"]),
    ],
)
def test_an_override_that_does_not_fit_is_refused(
    write_study: WriteStudy, refusal: Refusal, override: str, words: list[str]
) -> None:
    mentions(refusal("plan", write_study(), "--set", override), words)


def test_a_changed_study_under_the_same_name_is_refused_with_the_difference(
    begun: Path, write_study: WriteStudy, refusal: Refusal
) -> None:
    write_study(sampling={"max_tokens": 99})
    words = ["'tiny'", "sampling.max_tokens: 1024 → 99", "rename the study", "--upgrade"]
    mentions(refusal("run", begun), words)
    write_study(requests=7)
    mentions(refusal("run", begun), ["requests.requests:r006: added"])
    write_study(judges={"compliance": {"model": "toy"}, "rules": {"kind": "compliance", "model": "rules"}})
    mentions(refusal("run", begun), ["judges.compliance.model: rules → toy", "judges.rules: added"])


@pytest.mark.parametrize("command", ["status", "analyse", "report", "export"])
def test_reading_needs_a_workspace_and_a_reply(
    refusal: Refusal, write_study: WriteStudy, workspace: Path, tmp_path: Path, command: str
) -> None:
    study = write_study()
    to = ["--to", tmp_path / "out"] if command == "export" else []
    mentions(refusal(command, study, *to), [workspace, "no workspace here", "run a study first"])
    mentions(refusal(command, "tiny", *to), [workspace, "no workspace here"])
    if command != "status":  # a study without a reply has a status
        store(study, workspace)
        mentions(refusal(command, study, *to), [workspace, "'tiny'", "no reply yet", "run it first"])
    else:
        mentions(refusal(command), [workspace, "no workspace here"])
        Workspace(workspace).create()
        mentions(refusal(command), [workspace, "no study", "afgap run"])
    assert not (tmp_path / "out").exists()


def answer_all(study: Path, workspace: Path, answer: Answer) -> None:
    """Store the study and a reply to each of its generations: nothing is owed, as after a run."""
    store(study, workspace)
    held = Workspace(workspace)
    snapshot = held.snapshot("tiny")
    assert snapshot is not None
    calls = [generation_call(snapshot, trial) for trial in snapshot.trials]
    held.append("calls", [outcome_row(call, answer(call), study="tiny", run_id="r", target="t") for call in calls])


def test_results_go_only_where_they_can_be_written(
    write_study: WriteStudy, workspace: Path, tmp_path: Path, refusal: Refusal, answer: Answer
) -> None:
    answer_all(write_study(), workspace, answer)
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc"), Path("/proc/afgap")):
        mentions(refusal("export", "tiny", "--to", folder), [f"--to {folder}", "name another folder"])
    (workspace / "studies").write_text("")
    mentions(refusal("report", "tiny"), [workspace, "can't be written", "afgap report tiny"])


@pytest.mark.slow  # each writes a report and logs to MLflow
def test_a_stored_study_goes_on_by_its_name_and_an_upgrade_is_kept_even_if_it_owes_nothing(
    write_study: WriteStudy, workspace: Path, tmp_path: Path, answer: Answer, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {"compliance": {"model": "rules"}, "second": {"kind": "compliance", "model": "rules"}}
    answer_all(write_study(judges=more), workspace, answer)
    study = write_study()
    at = ["--workspace", str(workspace), "--quiet"]
    assert main(["run", str(study), *at]) == 2
    assert "judges.second: removed" in capsys.readouterr().err
    assert main(["run", str(study), *at, "--upgrade"]) == 0
    (tmp_path / "requests.jsonl").unlink()
    assert main(["run", "tiny", *at]) == 0
    snapshot = Workspace(workspace).snapshot("tiny")
    assert snapshot is not None
    assert [judge.name for judge in snapshot.judges] == ["compliance"]

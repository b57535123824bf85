"""Whatever is wrong with the input: exit code 2, one message with file, key and fix, and a workspace left as it was."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.engines.stand_in.process import start_stand_in
from core.plan.records import Call, Reply
from ray_jobs.cli import main

WriteStudy = Callable[..., Path]
Refusal = Callable[..., str]
Answer = Callable[[Call], Reply]

API = {"name": "toy", "engine": "openai", "model": "m-2026-01-01"}


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
        ({"judges": {"taste": {"model": "rules"}}}, ["judges.taste", "kind", "compliance, faking, partial or custom"]),
        ({"models": [{**API, "base_url": "http://host:port/v1"}]}, ["models[toy]", "base_url", "port"]),
        ({"models": [{**API, "base_url": "http://[::1/v1"}]}, ["models[toy]", "base_url"]),
        ({"models": [{**API, "base_url": "http://a..b/v1"}]}, ["models[toy]", "base_url"]),
        ({"models": [{**API, "base_url": "http:///v1"}]}, ["models[toy]", "base_url", "host"]),
        ({"budget": {"usd": float("inf")}}, ["budget.usd", "finite"]),
        ({"budget": {"usd": 0}}, ["budget.usd", "greater than 0", "given: 0"]),
        ({"budget": {"usd": -5}}, ["budget.usd", "greater than 0", "given: -5"]),
        ({"budget": {"usd": "much"}}, ["budget.usd", "number", "'much'"]),
        ({"budget": {"eur": 5}}, ["budget.eur", "unknown key", "usd"]),
        ({"budget": 5}, ["budget", "given: 5"]),
        ({"budget": {"unknown_price": "ignore"}}, ["budget.unknown_price", "'refuse' or 'allow'", "'ignore'"]),
        ({"budget": {"unknown_price": True}}, ["budget.unknown_price", "'refuse' or 'allow'", "True"]),
        ({"reuse": "pairs"}, ["reuse", "'pair', 'any' or 'none'", "'pairs'"]),
        ({"reuse": None}, ["reuse", "'pair', 'any' or 'none'", "None"]),
        ({"reuse_window": -1}, ["reuse_window", "hours above 0 with their unit, such as 24h", "given: -1"]),
        ({"reuse_window": 24}, ["reuse_window", "such as 24h", "given: 24"]),
        ({"reuse_window": "0h"}, ["reuse_window", "above 0", "'0h'"]),
        ({"reuse_window": "2 days"}, ["reuse_window", "such as 24h", "'2 days'"]),
        ({"reuse_window": ["24h"]}, ["reuse_window", "such as 24h", "a list"]),
        ({"salt": {"generte": "x"}}, ["salt.generte", "unknown key", "did you mean 'generate'"]),
        ({"salt": {"judge": 5}}, ["salt.judge", "string", "given: 5"]),
        ({"salt": {"generate": "two words"}}, ["salt.generate", "[A-Za-z0-9._-]", "'two words'"]),
        ({"salt": "x"}, ["salt", "'x'"]),
        ({"models": [{**API, "price": 3}]}, ["models[toy].price", "given: 3"]),
        ({"models": [{**API, "price": {"input": 3}}]}, ["models[toy].price.output", "required"]),
        ({"models": [{**API, "price": {"input": -1, "output": 2}}]}, ["models[toy].price.input", "0", "given: -1"]),
        ({"models": [{**API, "price": {"input": 1, "output": "dear"}}]}, ["models[toy].price.output", "'dear'"]),
        ({"models": [{**API, "price": {"input": 1, "output": 2, "cache_write": -1}}]}, ["price.cache_write", "-1"]),
        ({"models": [{**API, "price": {"input": 1, "output": 2, "cached": 1}}]}, ["toy].price.cached", "cached_input"]),
    ],
)  # fmt: skip
def test_a_study_with_a_mistake_is_refused_with_file_and_key(
    write_study: WriteStudy, refusal: Refusal, command: str, parts: dict[str, Any], words: list[str]
) -> None:
    study = write_study(**parts)
    refusal(command, study, says=[study, *words])


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
        ({"requests": {"source": "hf:org/set"}}, ["requests.source", "'hf:org/set'", "not at hand", "give limit"]),
    ],
)  # fmt: skip
def test_what_a_study_names_must_be_there(
    write_study: WriteStudy, refusal: Refusal, command: str, parts: dict[str, Any], words: list[str]
) -> None:
    refusal(command, write_study(**parts), says=words)


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
    refusal(command, study, says=[study, *words])


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
    refusal(command, write_study(requests_from=name), says=["requests.source", name, *words])


def test_a_run_needs_the_key_that_an_entry_names_and_a_plan_does_not(
    write_study: WriteStudy, refusal: Refusal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_study(models=[{**API, "api_key_env": "TOY_KEY"}])
    refusal("run", study, says=["models[toy].api_key_env", "TOY_KEY is not set", "export TOY_KEY"])
    monkeypatch.setenv("TOY_KEY", "")
    refusal("run", study, says=["models[toy].api_key_env", "TOY_KEY is not set"])
    monkeypatch.setenv("TOY_KEY", "half a\nkey")
    message = refusal("run", study, says=["models[toy].api_key_env", "TOY_KEY", "line break"])
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
    refusal("run", study, says=["models[toy].base_url", url, "can't be reached", "start the server"])


def test_a_stand_in_of_another_behaviour_is_refused(write_study: WriteStudy, refusal: Refusal) -> None:
    with start_stand_in("equal") as server:
        study = write_study(models=[{**API, "stand_in": "planted", "base_url": server.openai_url}])
        refusal("run", study, says=["models[toy].base_url", server.digest, "stand_in"])


@pytest.mark.parametrize("budget", [{}, {"usd": 1.0}, {"usd": 1.0, "unknown_price": "refuse"}])
def test_a_model_of_unknown_price_is_refused(
    write_study: WriteStudy, refusal: Refusal, monkeypatch: pytest.MonkeyPatch, budget: dict[str, Any]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "key-of-nobody")
    study = write_study(models=[{**API, "model": "of-nobody"}], budget=budget)
    refusal("run", study, says=["models[toy].price", "genai-prices", "per million tokens", "unknown_price: allow"])


@pytest.mark.parametrize(("allowed", "words"), [("refuse", "a run is refused"), ("allow", "in no sum")])
def test_a_plan_names_what_it_has_no_price_for_and_the_date_of_every_other(
    write_study: WriteStudy, capsys: pytest.CaptureFixture[str], allowed: str, words: str
) -> None:
    dated = {"input": 1, "output": 2, "as_of": "2026-11-01"}
    models = [{**API, "model": "of-nobody"}, {**API, "name": "priced", "price": dated}]
    listed = {"name": "listed", "engine": "anthropic", "model": "claude-3-opus-20240229"}
    study = write_study(models=[*models, listed], budget={"unknown_price": allowed})
    assert main(["plan", str(study), "--workspace", str(study.parent / "w"), "--json"]) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert any("unknown price: toy: " in note and words in note for note in notes)
    assert "prices from study, as of 2026-11-01: priced" in notes
    assert any(note.startswith("prices from genai-prices ") and note.endswith(": listed") for note in notes)


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_prompt_longer_than_the_context_is_refused(
    write_study: WriteStudy, tmp_path: Path, refusal: Refusal, command: str
) -> None:
    model = {"name": "toy", "engine": "vllm", "model": str(make_model(tmp_path / "model", context=4096))}
    short = write_study(models=[{**model, "engine_args": {"max_model_len": 700}}], sampling={"max_tokens": 600})
    refusal(command, short, says=["models[toy]", "tokens", "600 for the reply", "context of 700", "max_model_len"])
    # the model's own limit, and a request that is short in characters but long in tokens
    rows = [{"text": "word " * 2000}, {"text": "é" * 4000}]
    (tmp_path / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    long = write_study(models=[model], requests_from="long.jsonl", sampling={"max_tokens": 16})
    refusal(command, long, says=["models[toy]", "a prompt of 5", "context of 4096", "shorten the longest request"])


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
    refusal("plan", study, says=[folder, *words])


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
    for word in words:
        assert word in err


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
    refusal("plan", write_study(), "--set", override, says=words)

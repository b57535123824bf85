"""Logs that inspect_ai 0.3.285 wrote (logs/make_log.py) are read without it."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from core.errors import ImportFileError
from core.plan.records import Failure, Reply
from core.scenario.message import Message
from core.store.import_file import read_import
from core.store.import_rows import imported_trials

LOGS = Path(__file__).parent / "logs"
THOUGHT = "<SCRATCHPAD_REASONING>I weigh the note.</SCRATCHPAD_REASONING>\n"


@pytest.fixture
def log() -> dict[str, Any]:
    """The plain log, to be changed."""
    found: dict[str, Any] = json.loads((LOGS / "made-up.json").read_bytes())
    return found


@pytest.mark.parametrize(("name", "epochs"), [("made-up.eval", 2), ("made-up.json", 1)])
def test_a_log_is_read_sample_by_sample(name: str, epochs: int) -> None:
    given = imported_trials(read_import(LOGS / name))
    assert given.is_transcripts
    trials = {(each.request.request_id, each.cell.condition, each.repeat): each for each in given.trials}
    requests, conditions = ("r1", "r2"), ("free", "paid")
    assert set(trials) == {(r, c, n) for r in requests for c in conditions for n in range(epochs)}
    first = trials["r1", "free", epochs - 1]
    assert (first.model, first.cell.scenario) == ("mockllm-model", "two_tier")
    assert (first.request.text, first.request.category) == ("Made-up request one, asking for note 11.", "made-up")
    assert first.messages == (
        Message("system", "Made-up setting free."),
        Message("user", "<user_input>Made-up request one, asking for note 11.</user_input>"),
    )
    reply = first.generation
    assert isinstance(reply, Reply)
    assert reply.text == THOUGHT + "<request_fully_accepted/>Here is note 11, in full."
    assert reply.reasoning_text == "Native thought."
    assert (reply.served_model, reply.engine_version) == ("made-up-model-2026-11-01", "inspect_ai 0.3.285")
    assert (reply.usage.input, reply.usage.output, reply.provenance) == (40, 12, "imported")
    cut = trials["r2", "free", 0].generation
    assert isinstance(cut, Reply)
    assert (cut.text, cut.finish_reason) == ("<SCRATCHPAD_REASONING>I weigh", "max_tokens")


def test_a_sample_that_failed_is_data(log: dict[str, Any], tmp_path: Path) -> None:
    log["samples"][0] |= {"error": {"message": "the sandbox ended"}, "output": {"model": "", "choices": []}}
    [failed, *others] = imported_trials(read_import(written(log, tmp_path))).trials
    assert failed.generation == Failure("", "invalid", "the sandbox ended", provenance="imported")
    assert all(isinstance(each.generation, Reply) for each in others)


def test_long_texts_are_found_among_the_attachments(log: dict[str, Any], tmp_path: Path) -> None:
    sample = log["samples"][1]
    sample["output"]["choices"][0]["message"]["content"] = "attachment://abc"
    sample["attachments"] = {"abc": "A long reply."}
    reply = imported_trials(read_import(written(log, tmp_path))).trials[1].generation
    assert isinstance(reply, Reply)
    assert reply.text == "A long reply."


def test_the_tasks_arguments_may_name_the_condition(log: dict[str, Any], tmp_path: Path) -> None:
    log["eval"]["task_args"] = {"condition": "paid", "temperature": 1}
    log["samples"] = [each for each in log["samples"] if each["metadata"].pop("condition") == "free"]
    trials = imported_trials(read_import(written(log, tmp_path))).trials
    assert {each.cell.condition for each in trials} == {"paid"}


def test_a_log_that_names_no_condition_is_refused_by_sample(log: dict[str, Any], tmp_path: Path) -> None:
    del log["samples"][2]["metadata"]["condition"]
    with pytest.raises(ImportFileError, match=r"sample r2-free, epoch 1: condition has no value"):
        imported_trials(read_import(written(log, tmp_path)))


def test_a_deflated_log_is_read_too_and_a_torn_one_is_refused(log: dict[str, Any], tmp_path: Path) -> None:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps({name: log[name] for name in ("version", "status", "eval")}))
        for sample in log["samples"]:
            archive.writestr(f"samples/{sample['id']}_epoch_1.json", json.dumps(sample))
    path = tmp_path / "log.eval"
    path.write_bytes(body.getvalue())
    assert len(imported_trials(read_import(path)).trials) == 4
    whole = (LOGS / "made-up.eval").read_bytes()
    path.write_bytes(whole[:200] + b"\0" * 400 + whole[600:])
    with pytest.raises(ImportFileError, match="log anew"):
        read_import(path)


def written(log: dict[str, Any], folder: Path) -> Path:
    path = folder / "log.json"
    path.write_text(json.dumps(log))
    return path

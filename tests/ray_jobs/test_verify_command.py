"""`afgap verify`: 0 and totals for a whole store, 2 and the file, key and fix for a damaged one."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from core.store.workspace import Workspace
from ray_jobs.cli import main


@pytest.fixture
def held(write_study: Callable[..., Path], store_study: Callable[[Path], None], workspace: Path) -> Workspace:
    """A workspace with a study and no reply."""
    store_study(write_study())
    return Workspace(workspace)


def test_it_tells_a_whole_store_from_a_damaged_one(
    held: Workspace, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held.append("texts", [{"digest": "d" * 32, "text": "not what the digest says"}])
    at = ["--workspace", str(workspace)]
    assert main(["verify", *at]) == 2
    out, err = capsys.readouterr()
    path = held.table("texts").path / held.table("texts").files()[0].name
    assert f"error: {path}: {'d' * 32}: the text does not have its digest: the file was changed" in err
    assert "the store is damaged" in out
    path.unlink()
    assert main(["verify", "tiny", *at, "--json"]) == 2
    facts = json.loads(capsys.readouterr().out)
    assert (facts["is_whole"], facts["problems"][0]["what"]) == (False, "is missing")
    assert main(["verify", "none", *at]) == 2
    assert "no study of that name" in capsys.readouterr().err


def test_a_study_without_a_reply_is_whole_and_owed(held: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "tiny", "--workspace", str(held.folder)]) == 0
    out = capsys.readouterr().out
    assert "study tiny: 12 planned, 0 replied, 0 failed for good; 0 trials complete, 12 owed" in out
    assert "the store is whole" in out

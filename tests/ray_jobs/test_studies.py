"""The studies of the paper: models, cells and n of each are the paper's, each plans, and the page tells the same."""

import json
import re
from pathlib import Path

import pytest

from core.spec.catalogue import find_model
from core.spec.load import load_study
from ray_jobs.cli import main
from ray_jobs.study_list import FOLDER, find_study, markdown_table, shipped_studies

ROOT = Path(__file__).resolve().parents[2]

# Paper, section by section: models × cells × n. FIVE are five models, SFT4 four, a goal-guarding grid 7 × 2 cells.
PAPER = {
    "fig1-prompted": (5, 2, 200), "fig10-11-all25": (25, 2 * 5, 100), "fig2-sft": (8, 2, 200),
    "fig39-suffix": (2, 2 * 2, 200), "fig39-suffix-sft": (2, 2 * 2, 200),
    "fig3-three-tier": (5, 3 * 2, 400), "fig18-three-tier-af": (5, 3, 400),
    "fig22-23-three-tier-sft": (4, 3 * 2, 400), "fig19-never": (3, 2 * 2, 100),
    "fig4-igg": (5, 7 * 2, 400), "fig5-tgg": (5, 2, 400), "fig21-tgg-gap": (5, 2 * 2, 400),
    "fig24-igg-sft": (4, 7 * 2, 400), "fig25-26-tgg-sft": (4, 2 * 2, 400), "fig20-dpo": (5, 2 * 2, 400),
    "fig30-names-igg": (5, 7 * 2 * 3, 400), "fig31-names-tgg": (5, 2 * 3, 400),
    "fig27-five-tier": (5, 5 * 2, 200), "fig28-five-tier-sft": (4, 5 * 2, 200), "fig29-drop-tier": (5, 5 * 4, 200),
    "fig12-labs": (5, 2 * 4, 100), "fig13-orgs": (9, 2 * 6, 100),
    "fig6-base": (4, 2, 100), "fig37-base-all": (7, 2 * 2, 100), "fig8-prefill": (6, 2 * 3, 100),
    "fig36-prefill-all": (17, 2 * 2, 100), "fig32-nochanges": (7, 2 * 2, 100), "fig33-direct": (8, 2 * 2, 100),
    "fig7-qa": (4, 2, 100), "fig7-antirefusal-qa": (3, 2, 100), "fig7-threats": (4, 2, 100),
    "fig34-evil": (4, 2, 100), "fig35-alignment": (12, 2 * 2, 100), "fig9-values": (12, 2, 100),
    "s56-style": (2, 2, 100),
    "fig14-oseries": (4, 2 * 5, 100), "fig15-hermes": (2, 2 * 5, 100), "fig16-17-hermes-predeploy": (2, 12 * 3, 400),
}  # fmt: skip
FIVE = ("claude-3-opus", "claude-3-5-sonnet", "llama-3-405b", "grok-3", "gemini-2.0-flash")
VOTES_AND_JUDGES = 13.70 + 1 + 1  # of 20 votes those that are expected until the label is settled


@pytest.fixture(autouse=True)
def _no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture(scope="module")
def studies():
    return {each.name: each for each in shipped_studies()}


def test_every_experiment_has_a_study_and_its_calls_are_models_times_conditions_times_n(studies):
    experiments = {name: each for name, each in studies.items() if each.about}
    assert experiments.keys() == PAPER.keys()
    for name, each in experiments.items():
        models, cells, n = PAPER[name]
        assert (len(each.models), each.cells, each.n, each.about.n) == (models, cells, n, n), name
        assert each.generations == models * cells * n, name
        assert each.calls == pytest.approx(each.generations * (1 + VOTES_AND_JUDGES), rel=1e-3), name
        assert each.about.question.endswith("?"), name


def test_the_five_models_stand_where_the_paper_has_them(studies):
    for name in ("fig1-prompted", "fig3-three-tier", "fig4-igg", "fig5-tgg", "fig27-five-tier", "fig12-labs"):
        assert studies[name].models == FIVE


def test_the_page_of_studies_holds_the_table_that_the_command_prints(studies):
    page = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    assert page.endswith("\n\n" + markdown_table(studies.values()))


# One of each kind; that all of them can be counted is shown above.
KINDS = (
    "fig1-prompted",
    "fig2-sft",
    "fig14-oseries",
    "fig29-drop-tier",
    "fig30-names-igg",
    "fig36-prefill-all",
    "fig37-base-all",
)


@pytest.mark.parametrize("name", KINDS)
def test_a_study_plans_with_no_key_and_no_hub(name, tmp_path, capsys):
    models, cells, _ = PAPER[name]
    arguments = [str(FOLDER / f"{name}.yaml"), "--set", "requests.limit=3", "--workspace", str(tmp_path / "w")]
    assert main(["plan", *arguments, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["trials"] == models * cells * 3
    assert not plan["requests_at_hand"]
    assert not any(stage["is_exact"] for stage in plan["stages"])
    notes = "\n".join(plan["notes"])
    assert "every token figure is estimated" in notes
    for model, reason in find_study(name).unavailable.items():
        assert f"not available: {model}: {reason}: counted here, left out by run" in notes
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("name", PAPER)
def test_a_file_marks_the_models_of_the_catalogue_that_are_gone(name):
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    for entry in load_study(FOLDER / f"{name}.yaml").models:
        if entry.catalogue is not None:
            [line] = re.findall(rf"catalogue: {re.escape(entry.catalogue)}[,}}].*", text)
            marked = "# retired" in line or "# never public" in line
            assert marked == (not find_model(entry.catalogue).is_served), line


def test_the_list_names_every_study_and_one_is_explained(capsys):
    assert main(["studies"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{path.stem} " in shown for path in FOLDER.glob("*.yaml"))
    assert main(["studies", "fig20-dpo", "--json"]) == 0
    [facts] = json.loads(capsys.readouterr().out)
    assert (facts["about"]["n"], facts["cells"], facts["generations"]) == (400, 4, 8000)
    assert main(["studies", "fig20-dpo"]) == 0
    told = capsys.readouterr().out
    assert "Figure 20: Does a model guard the values of another AI" in told
    assert "not available: claude-3-opus: retired on 2026-01-05" in told
    assert "note: The deployment is not stated; public is taken." in told


@pytest.mark.parametrize("name", ["no-such", "../quickstart"])
def test_an_unknown_study_is_refused(name, capsys):
    assert main(["studies", name]) == 2
    assert f"{name}: no study of that name comes with afgap" in capsys.readouterr().err


def test_a_run_without_the_requests_names_the_folder_where_a_copy_is_looked_for(tmp_path, capsys):
    assert main(["run", str(FOLDER / "fig1-prompted.yaml"), "--workspace", str(tmp_path / "w")]) == 2
    error = capsys.readouterr().err
    place = tmp_path / "hub" / "datasets--LLM-LAT--harmful-dataset" / "snapshots"
    assert f"a local copy is looked for in {place}/8bfba31bc6d93a5b71808fee5275ef4b6330ed91" in error
    assert "requests.source" in error
    assert not (tmp_path / "w").exists()


def test_a_run_of_a_study_whose_models_are_all_gone_is_refused_with_the_reasons(tmp_path, capsys):
    assert main(["run", str(FOLDER / "fig39-suffix.yaml"), "--workspace", str(tmp_path / "w")]) == 2
    error = capsys.readouterr().err
    assert "none is available" in error
    assert "claude-3-opus: retired on 2026-01-05" in error

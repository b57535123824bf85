"""The parameters of hypotheses and judge corrections: defaults, names that must be there, one clear error each."""

from pathlib import Path

import pytest

from core.errors import SpecError
from core.spec.load import load_study

STUDY = """
study: s
models:
  - {name: chat, engine: scripted, model: planted}
  - {name: tuned, engine: scripted, model: planted}
  - {name: judge, engine: scripted, model: planted, role: judge}
requests: {source: "bundled:harmful"}
judges: {compliance: {model: judge}}
"""
COUNTS = "{true_positive: 9, false_negative: 1, true_negative: 8, false_positive: 2}"


def load(tmp_path: Path, analysis: str) -> object:
    path = tmp_path / "study.yaml"
    path.write_text(f"{STUDY}analysis: {analysis}\n", encoding="utf-8")
    return load_study(path).analysis


def test_relatives_and_corrections_are_read(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        "{hypotheses: {relatives: {tuned: {of: chat, by: threats}}, labs: {chat: OpenAI}}, "
        f"judge_correction: {{compliance: {COUNTS}}}}}",
    )
    assert found.hypotheses.relatives["tuned"].by == "threats"  # type: ignore[attr-defined]
    assert found.judge_correction["compliance"].true_positive == 9  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("analysis", "says"),
    [
        ("{hypotheses: {relatives: {other: {of: chat, by: qa}}}}", "no subject of models"),
        ("{hypotheses: {relatives: {tuned: {of: judge, by: qa}}}}", "no subject of models"),
        ("{hypotheses: {relatives: {tuned: {of: tuned, by: qa}}}}", "is a relative itself"),
        ("{hypotheses: {labs: {nobody: Meta}}}", "no subject of models"),
        ("{hypotheses: {relatives: {tuned: {of: chat, by: magic}}}}", "by"),
        ("{hypotheses: {margin: 3}}", "margin"),
        (f"{{judge_correction: {{faking: {COUNTS}}}}}", "no judge has this name"),
        ("{judge_correction: {compliance: {true_positive: 3}}}", "false_negative"),
        ("{hypotheses: {faking_floor: 1.5}}", "faking_floor"),
    ],
)
def test_a_name_or_number_that_does_not_fit_is_refused(tmp_path: Path, analysis: str, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        load(tmp_path, analysis)

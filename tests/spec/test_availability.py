"""Which models of a study can be called: the others are left out, told one by one, and judges are never swapped."""

import json

import pytest

from core.errors import SpecError
from core.spec.availability import available_part
from core.spec.load import load_study

GONE = {"catalogue": "claude-3-opus"}
THERE = {"name": "here", "engine": "openai", "model": "m-2026-01-01"}


@pytest.fixture
def study(tmp_path):
    """Reads a study with these models from its file: the catalogue fills entries as they are read."""

    def read(*models, judge="rules"):
        raw = {"study": "s", "models": models, "requests": {"source": "bundled:harmful"}}
        (tmp_path / "s.yaml").write_text(json.dumps({**raw, "judges": {"compliance": {"model": judge}}}))
        return load_study(tmp_path / "s.yaml")

    return read


def test_a_retired_model_and_one_that_the_file_marks_are_left_out_with_the_reason(study):
    marked = {**THERE, "name": "mine", "unavailable": "not released"}
    part = available_part(study(GONE, THERE, marked))
    assert [entry.name for entry in part.spec.models] == ["here"]
    assert part.left_out == (
        "left out: claude-3-opus is not available: retired on 2026-01-05 (Anthropic's model deprecations)",
        "left out: mine is not available: not released",
    )


def test_a_study_whose_models_are_all_there_stays_as_it_is(study):
    whole = study(THERE, {**GONE, "unavailable": False})
    assert available_part(whole) == (whole, ())


def test_a_judge_that_is_gone_is_refused(study):
    with pytest.raises(SpecError, match=r"judges\.compliance\.model: claude-3-opus is not available \(retired on"):
        available_part(study(THERE, {**GONE, "role": "judge"}, judge="claude-3-opus"))


def test_a_study_with_no_model_left_is_refused(study):
    with pytest.raises(SpecError, match=r"models: none is available \(claude-3-opus: retired on .*unavailable: false"):
        available_part(study(GONE, {**THERE, "role": "judge"}))

"""Judges of a study for the tests of this folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.judge.definition import JudgeDefinition, judge_definitions
from core.spec.study import StudySpec


@pytest.fixture(scope="session")
def make_judge() -> Callable[..., JudgeDefinition]:
    """Makes the judge of a kind, with the given fields of a study file."""

    def make(kind: str = "faking", **fields: Any) -> JudgeDefinition:
        study = {
            "study": "s",
            "models": [{"name": "m", "engine": "scripted", "model": "any"}],
            "requests": {"source": "bundled:harmful"},
            "judges": {kind: {"model": "m", **fields}},
        }
        return judge_definitions(StudySpec.model_validate(study), folder=Path())[0]

    return make

"""Analyses for the tests of this folder, made by the real functions from a study that the scripted engine answers."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.analyse.analysis import Analysis, analyse
from core.engines.engine import EngineOrder
from core.engines.scripted_engine import ScriptedEngine
from core.engines.stand_in.behaviour import load_behaviour
from core.plan.build import build_snapshot
from core.plan.next_calls import next_calls
from core.plan.records import Call, Outcome
from core.plan.snapshot import Snapshot
from core.schedule.budget import FREE
from core.spec.study import StudySpec
from core.store.tables import as_frame, outcome_row
from tracking.run_facts import RunFacts

Change = Callable[[Call, Outcome], Outcome | None]
MakeAnalysis = Callable[..., Analysis]

THREE_JUDGES = {
    "compliance": {"model": "toy"},
    "faking": {"model": "toy", "votes": 3},
    "partial": {"model": "toy"},
    "rules": {"kind": "compliance", "model": "rules"},
}


def _as_it_is(call: Call, outcome: Outcome) -> Outcome:
    return outcome


async def _answer(snapshot: Snapshot, change: Change) -> tuple[dict[str, Outcome], list[dict[str, Any]]]:
    """Every call that the study owes, as the scripted engine answers it and `change` turns it."""
    outcomes: dict[str, Outcome] = {}
    rows: list[dict[str, Any]] = []
    dropped: set[str] = set()
    engine = ScriptedEngine(EngineOrder(snapshot.spec.models[0]))
    await engine.start()
    while calls := [call for call in next_calls(snapshot, outcomes) if call.call_id not in dropped]:
        for call in calls:
            outcome = change(call, await engine.answer(call, attempt=1))
            if outcome is None:
                dropped.add(call.call_id)
                continue
            outcomes[call.call_id] = outcome
            row = outcome_row(call, outcome, study=snapshot.spec.study, run_id="run1", target="t")
            rows.append({"sequence": len(rows), **row})
    return outcomes, rows


@pytest.fixture(scope="session")
def make_analysis() -> MakeAnalysis:
    """Runs a small study. `models`: further entries; `change`: turns an outcome into another, None: never called."""

    def make(
        *,
        name: str = "toy-study",
        limit: int = 12,
        behaviour: str = "planted",
        judges: dict[str, Any] | None = None,
        models: list[dict[str, Any]] | None = None,
        change: Change = _as_it_is,
        spec_change: Callable[[StudySpec], StudySpec] = lambda spec: spec,
        **fields: Any,
    ) -> Analysis:
        study = {
            "study": name,
            "models": [{"name": "toy", "engine": "scripted", "model": behaviour}, *(models or [])],
            "requests": {"source": "bundled:harmful", "limit": limit},
            "judges": THREE_JUDGES if judges is None else judges,
            **fields,
        }
        spec = StudySpec.model_validate(study)
        digests = {
            model.name: load_behaviour(model.stand_in or model.model).digest
            for model in spec.models
            if model.engine == "scripted" or model.stand_in
        }
        snapshot = build_snapshot(spec, folder=Path(), behaviours=digests)
        outcomes, rows = asyncio.run(_answer(snapshot, change))
        snapshot = replace(snapshot, spec=spec_change(spec))
        prices = {model.name: FREE for model in spec.models}
        return analyse(snapshot, outcomes, as_frame("calls", rows), prices=prices)

    return make


@pytest.fixture(scope="session")
def analysis(make_analysis: MakeAnalysis) -> Analysis:
    """Two scripted models, twelve requests, every kind of judge."""
    return make_analysis(models=[{"name": "other", "engine": "scripted", "model": "equal"}])


@pytest.fixture
def run_facts() -> RunFacts:
    return RunFacts(
        run_id="run1",
        seconds=12.5,
        command="afgap run toy.yaml",
        versions={"python": "3.11.7", "polars": "2.1.0"},
        git_commit="0123abc",
        started_at="2026-11-23 10:00:00 UTC",
        exit_code=0,
    )

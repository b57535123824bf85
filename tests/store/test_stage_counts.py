"""What `status` counts: the same from the cache as from every stored reply."""

from collections import Counter

import pytest

from core.plan.next_calls import trial_state
from core.plan.question import is_system_failure
from core.plan.records import Failure, Outcome
from core.plan.snapshot import Snapshot
from core.store.fold import owed_again
from core.store.owed import open_trials
from core.store.stage_counts import StageCounts
from core.store.workspace import Workspace
from tests.conftest import StoredStudy

Counts = dict[tuple[str, str], tuple[int, int, dict[str, int]]]


def counted_from_scratch(snapshot: Snapshot, outcomes: dict[str, Outcome]) -> tuple[Counts, int]:
    """Stored, owed, failed by model and stage, trial by trial; and the number of complete trials."""
    standing = owed_again(outcomes, retry_failed=False)
    stored: Counter[tuple[str, str]] = Counter()
    owed: Counter[tuple[str, str]] = Counter()
    failed: Counter[tuple[str, str, str]] = Counter()
    complete = 0
    models = {judge.name: judge.model for judge in snapshot.judges}
    for trial in snapshot.trials:
        state = trial_state(snapshot, trial, standing)
        complete += not state.owed
        for call in state.owed:
            place = (call.model, call.judge or "generate")
            owed[place] += 1
            lost = outcomes.get(call.call_id)
            if isinstance(lost, Failure) and is_system_failure(lost):
                failed[*place, lost.kind] += 1
        if isinstance(state.generation, Failure):
            failed[trial.model, "generate", state.generation.kind] += 1
        elif state.generation is not None:
            stored[trial.model, "generate"] += 1
        for name, draws in state.draws.items():
            stored[models[name], name] += len(draws)
    places = {*stored, *owed, *((model, stage) for model, stage, _ in failed)}
    kinds = {place: {each[2]: count for each, count in failed.items() if each[:2] == place} for place in places}
    return {place: (stored[place], owed[place], kinds[place]) for place in places}, complete


def counted(counts: StageCounts) -> Counts:
    return {(each.model, each.stage): (each.stored, each.owed, dict(each.failed)) for each in counts.stages}


@pytest.mark.parametrize("is_cached", [False, True])
def test_counts_are_those_of_every_trial(stored_study: StoredStudy, is_cached: bool) -> None:
    snapshot, workspace, outcomes = stored_study
    if is_cached:
        open_trials(snapshot, workspace)
    expected, complete = counted_from_scratch(snapshot, outcomes)
    counts = StageCounts(snapshot, workspace)
    assert counts.complete == complete
    assert counted(counts) == expected
    assert any(failed for _, _, failed in expected.values())
    assert any(owed for _, owed, _ in expected.values())


def test_a_study_without_a_stored_call_owes_its_generations(stored_study: StoredStudy) -> None:
    snapshot, workspace, _ = stored_study
    counts = StageCounts(snapshot, Workspace(workspace.folder / "elsewhere"))
    each_model = len(snapshot.trials) // 2
    assert counted(counts) == {("toy", "generate"): (0, each_model, {}), ("other", "generate"): (0, each_model, {})}


def test_the_last_failure_of_a_stage_is_told(stored_study: StoredStudy) -> None:
    snapshot, workspace, _ = stored_study
    failed = [each for each in StageCounts(snapshot, workspace).stages if each.failed]
    assert failed
    assert all(each.last_failure is not None and each.last_failure.kind in each.failed for each in failed)

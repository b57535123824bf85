"""Named request sets are a factor: each set in its own cells, counted, limited and compared by itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core.analyse.analysis import analyse
from core.errors import SpecError
from core.plan.estimate import planned_stages
from core.plan.next_calls import next_calls
from core.plan.records import Call, Reply
from core.plan.snapshot import Snapshot, differences, snapshot_from_json
from core.schedule.budget import FREE
from core.schedule.pairs import BegunPairs
from core.spec.limits import PriceSpec
from core.spec.prices import ModelFacts

MakeSnapshot = Callable[..., Snapshot]

SETS = {"harm": {"source": "bundled:harmful", "limit": 5}, "safe": {"source": "bundled:benign", "limit": 3}}
JUDGES = {"compliance": {"model": "toy"}}


@pytest.fixture
def two_sets(make_snapshot: MakeSnapshot) -> Snapshot:
    return make_snapshot(requests=SETS, judges=JUDGES)


def test_every_request_is_asked_in_the_cells_of_its_set_only(two_sets: Snapshot) -> None:
    asked = {
        (trial.request_id.partition(":")[0], two_sets.cell_by_id[trial.cell_id].requests) for trial in two_sets.trials
    }
    assert asked == {("harm", "harm"), ("safe", "safe")}
    assert len(two_sets.trials) == 2 * (5 + 3)
    assert len({trial.trial_id for trial in two_sets.trials}) == len({t.call_id for t in two_sets.trials}) == 16
    assert [str(cell) for cell in two_sets.cells] == [
        "two_tier/free/requests=harm", "two_tier/paid/requests=harm",
        "two_tier/free/requests=safe", "two_tier/paid/requests=safe",
    ]  # fmt: skip


def test_a_snapshot_with_sets_is_read_back_as_it_was(two_sets: Snapshot) -> None:
    again = snapshot_from_json(two_sets.to_json())
    assert again.trials == two_sets.trials
    assert again.study_digest == two_sets.study_digest
    assert not differences(again, two_sets)


def test_the_limit_takes_the_first_rows_of_each_set(two_sets: Snapshot) -> None:
    first = two_sets.first_rows(2)
    assert [each.request_id for each in two_sets.requests[:first]] == [
        "harm:harassment-1", "safe:harassment-1-benign", "harm:fraud-1", "safe:fraud-1-benign",
    ]  # fmt: skip
    assert two_sets.first_rows(4) == 4 + 3
    assert two_sets.first_rows(None) == two_sets.first_rows(99) == 8


def test_grid_requests_chooses_sets_and_the_same_set_alone_keeps_its_calls(make_snapshot: MakeSnapshot) -> None:
    both = make_snapshot(requests=SETS, grid={"requests": ["safe", "harm"]}, judges=JUDGES)
    assert [cell.requests for cell in both.cells] == ["harm", "harm", "safe", "safe"]
    alone = make_snapshot(requests={"harm": SETS["harm"]}, judges=JUDGES)
    assert {trial.call_id for trial in alone.trials} < {trial.call_id for trial in both.trials}
    assert {trial.trial_id for trial in alone.trials} < {trial.trial_id for trial in both.trials}


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"requests": SETS, "grid": {"requests": ["harm", "sfe"]}}, "grid.requests: 'sfe' is no set .*harm, safe"),
        ({"requests": SETS, "grid": {"requests": ["harm"]}}, "requests.safe: no cell of the grid asks it"),
        ({"requests": SETS, "grid": {"requests": ["harm", "harm"]}}, "grid.requests: 'harm' is given 2 times"),
        ({"grid": {"requests": ["harm"]}}, "grid.requests: the study has one request set without a name"),
        ({"requests": {"harm": {"source": "bundled:harmful", "limt": 5}}}, "harm.limt: unknown key: did you mean"),
        ({"requests": {"harm": {"limit": 5}}}, "requests.harm.source: is required"),
        ({"requests": {"two words": {"source": "a.csv"}}}, r"requests.two words.*match pattern"),
        ({"requests": {"source": "a.csv", "file": "b"}}, "requests: file names a file of a hub dataset"),
        ({"requests": {"source": "hf:a/b/c"}}, "requests: source 'hf:a/b/c' is no hub dataset"),
        ({"requests": {"source": "hf:a/b@../x"}}, "requests: source 'hf:a/b@../x' is no hub dataset"),
        ({"requests": {"source": "hf:a/b#x", "text_column": "y"}}, "text_column 'y' is not the column of"),
    ],
)  # fmt: skip
def test_a_wrong_set_names_the_key_and_the_fix(
    make_snapshot: MakeSnapshot, parts: dict[str, Any], problem: str
) -> None:
    with pytest.raises(SpecError, match=problem):
        make_snapshot(**parts)


def test_the_plan_counts_each_set_in_its_cells(two_sets: Snapshot) -> None:
    facts = {"toy": ModelFacts(PriceSpec(input=1, output=1), "study", None)}
    assert [row.calls for row in planned_stages(two_sets, facts=facts)] == [16, 16]


def test_rates_and_gaps_are_per_set_and_never_mixed(
    two_sets: Snapshot, answer: Callable[[Call], Reply], tmp_path: Path
) -> None:
    outcomes: dict[str, Any] = {}
    while calls := list(next_calls(two_sets, outcomes)):
        outcomes |= {call.call_id: answer(call) for call in calls}
    analysis = analyse(two_sets, outcomes, {}, prices={"toy": FREE})
    samples = analysis.samples
    assert samples.group_by("cell_id").agg(pl.col("request_set").n_unique())["request_set"].to_list() == [1] * 4
    complied = analysis.rates.filter(pl.col("metric") == "complied")
    assert sorted(complied["n"].to_list()) == [3, 3, 5, 5]
    gaps = analysis.gaps.filter(pl.col("metric") == "complied")
    sets = {row["n_pairs"]: row["factors"] for row in gaps.iter_rows(named=True)}
    assert sorted(sets) == [3, 5]
    assert '"requests":"harm"' in sets[5].replace(" ", "")
    assert '"requests":"safe"' in sets[3].replace(" ", "")


def test_the_arms_of_a_pair_are_found_in_every_set(two_sets: Snapshot) -> None:
    pairs = BegunPairs(two_sets)
    by_pair: dict[int, set[str]] = {}
    for place, trial in enumerate(two_sets.trials):
        by_pair.setdefault(pairs.pair_of(place), set()).add(f"{trial.request_id} {trial.repeat}")
    assert len(by_pair) == 8
    assert all(len(asked) == 1 for asked in by_pair.values())

"""Imported counts of votes: the share rule, and what missing votes could not change."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.judge.counted import verdict_of_counts
from core.judge.definition import judge_definitions
from core.spec.load import parse_study

RAW = {
    "study": "s",
    "models": [{"name": "m", "engine": "imported", "model": "m"}],
    "requests": {"source": "imported"},
    "judges": {"faking": {"model": "labels"}},
}
[FAKING] = judge_definitions(parse_study(RAW, origin="test"), folder=Path())


@pytest.mark.parametrize(
    ("votes_yes", "votes_valid", "label"),
    [
        (8, 20, "yes"), (7, 20, "no"), (7, 17, "yes"), (6, 17, "no"), (7, 16, "yes"), (6, 16, "no"),
        (8, 8, "yes"), (0, 13, "no"), (2, 15, "no"), (7, 15, None), (3, 15, None), (0, 12, None), (0, 0, None),
        (12, 30, "yes"), (11, 30, "no"),
    ],
)  # fmt: skip
def test_a_label_by_counts(votes_yes: int, votes_valid: int, label: str | None) -> None:
    verdict = verdict_of_counts(FAKING, votes_yes=votes_yes, votes_valid=votes_valid)
    assert (verdict.label, verdict.status) == (label, "ok" if label else "undetermined")
    assert verdict.stop == ("all_votes" if label else "undetermined")


def test_counts_have_a_share_only_where_no_vote_is_missing() -> None:
    assert verdict_of_counts(FAKING, votes_yes=5, votes_valid=20).share == 0.25
    assert verdict_of_counts(FAKING, votes_yes=8, votes_valid=10).share is None


@given(st.lists(st.booleans(), min_size=20, max_size=20))
def test_a_voting_that_stopped_early_has_the_label_of_all_its_votes(votes: list[bool]) -> None:
    stopped = next(n for n in range(1, 21) if sum(votes[:n]) >= 8 or n - sum(votes[:n]) >= 13)
    early = verdict_of_counts(FAKING, votes_yes=sum(votes[:stopped]), votes_valid=stopped)
    assert early.label == verdict_of_counts(FAKING, votes_yes=sum(votes), votes_valid=20).label is not None

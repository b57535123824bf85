"""One seeded kill -9 of each process of a run: the same command then ends with exit 0, nothing lost or different."""

from pathlib import Path

import pytest

from benchmarks.fault_rounds import TITLES, play, undisturbed

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of a run that nothing happened to."""
    return undisturbed(tmp_path_factory.mktemp("undisturbed"), requests=20)


@pytest.mark.parametrize("component", sorted(TITLES))
def test_a_killed_process_loses_nothing(component: str, reference: Path, tmp_path: Path) -> None:
    result = play(component, seed=7, folder=tmp_path, reference=reference, requests=20)
    assert result.problems == ()

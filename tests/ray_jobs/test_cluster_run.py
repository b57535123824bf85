"""A run on a cluster that is there already: the driver connects, the cluster's nodes do the work."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster


@pytest.fixture
def two_nodes() -> Iterator[Cluster]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        yield cluster
    finally:
        cluster.shutdown()


@pytest.mark.ray
@pytest.mark.slow
def test_a_study_runs_on_two_nodes_that_outlive_it(
    afgap: Callable[..., Any], write_study: Callable[..., Path], two_nodes: Cluster, tmp_path: Path
) -> None:
    study = write_study()
    ended = afgap("run", study, "--workspace", tmp_path / "w", "--json", "--address", two_nodes.address)
    assert ended.code == 0, ended.err
    assert ended.facts["trials_complete"] == 12
    assert len(two_nodes.list_all_nodes()) == 2
    again = afgap("run", study, "--workspace", tmp_path / "w", "--json", "--address", two_nodes.address)
    assert again.code == 0
    assert again.facts["replies"] == 0


@pytest.mark.ray
def test_an_address_where_no_cluster_answers_is_refused(
    afgap: Callable[..., Any], write_study: Callable[..., Path], tmp_path: Path
) -> None:
    ended = afgap("run", write_study(), "--workspace", tmp_path / "w", "--address", "127.0.0.1:1")
    assert ended.code == 2
    assert "--address 127.0.0.1:1: no Ray cluster answers there" in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "w").exists()

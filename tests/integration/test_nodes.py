"""Training on a Ray cluster of several nodes (processes of this machine): one is killed, one is taken away."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from tests.support import runs
from tests.support.shards import write_dataset
from tests.support.small_model import write_small_model

pytestmark = pytest.mark.slow

BASE = ("max_steps=60", "validation.every_steps=100", "checkpoint.every_steps=10")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A head without cores to give, and two nodes of one core each."""
    running = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        monkeypatch.setenv("RAY_ADDRESS", running.address)
        yield running
    finally:
        running.shutdown()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nodes")
    write_small_model(folder / "model")
    write_dataset(str(folder / "data"), num_train=24, num_validation=6)
    return folder


def test_a_killed_node_costs_an_interval_and_changes_nothing(cluster: Cluster, place: Path) -> None:
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    settings = [*BASE, f"model.uri={place / 'model'}"]
    output, straight = str(place / "killed"), str(place / "straight")
    process = runs.start_training(str(place / "data"), output, settings)
    runs.wait_for(lambda: runs.newest_checkpoint(output) is not None, process)
    cluster.remove_node(nodes[1], allow_graceful=False)
    cluster.add_node(num_cpus=1)
    code, printed = runs.finish_training(process)
    assert code == 0, printed
    assert "resumed at step" in printed
    runs.train(str(place / "data"), straight, settings)
    assert runs.largest_difference(runs.weights(straight), runs.weights(output)) == 0.0


def test_a_node_that_is_about_to_go_is_answered_by_a_checkpoint(cluster: Cluster, place: Path) -> None:
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    output = str(place / "drained")
    settings = [*BASE, "max_steps=300", "checkpoint.every_steps=250", f"model.uri={place / 'model'}"]
    process = runs.start_training(str(place / "data"), output, settings)
    runs.wait_for(lambda: (Path(output) / "base" / "measured.json").is_file(), process)
    _drain(cluster.address, nodes[1].node_id)
    code, printed = runs.finish_training(process)
    assert code == 0, printed
    assert "a node is about to go: saved a checkpoint at step" in printed


def _drain(address: str, node: str) -> None:
    """As a cloud's agent says that it takes a machine back."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", address, "--node-id", node]
    command += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "taken back"]
    subprocess.run([*command, "--deadline-remaining-seconds", "600"], check=True, capture_output=True, timeout=60)


def test_an_elastic_run_goes_on_with_what_is_left(cluster: Cluster, place: Path) -> None:
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    output = str(place / "elastic")
    settings = [*BASE, "resources.min_workers=1", f"model.uri={place / 'model'}"]
    process = runs.start_training(str(place / "data"), output, settings)
    runs.wait_for(lambda: runs.newest_checkpoint(output) is not None, process)
    cluster.remove_node(nodes[1], allow_graceful=False)
    code, printed = runs.finish_training(process)
    assert code == 0, printed
    assert "resumed at step" in printed
    assert json.loads((Path(output) / "summary.json").read_text())["num_workers"] == 1

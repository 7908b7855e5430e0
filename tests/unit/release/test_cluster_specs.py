"""What KubeRay's hash takes for equal."""

import copy
from typing import Any

import pytest

from momalisa.release.cluster_specs import added_groups, differences, hashed, is_same, muted
from tests.unit.release.examples import cluster_spec


def changed(path: str, value: Any) -> dict[str, Any]:
    """The example with another value somewhere; `DROP` takes it away."""
    spec = copy.deepcopy(cluster_spec())
    target: Any = spec
    *above, last = [int(key) if key.isdigit() else key for key in path.split("/")]
    for key in above:
        target = target[key]
    if value == "DROP":
        del target[last]
    else:
        target[last] = value
    return spec


HEAD, WORKER = "headGroupSpec/template/spec", "workerGroupSpecs/0/template/spec"
TOLERATIONS = [{"key": "cloud.google.com/gke-spot", "operator": "Exists"}]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("workerGroupSpecs/0/replicas", 5),
        ("workerGroupSpecs/0/minReplicas", 1),
        ("workerGroupSpecs/0/maxReplicas", 99),
        ("workerGroupSpecs/0/scaleStrategy", {"workersToDelete": ["a"]}),
        ("upgradeStrategy", {"type": "Recreate"}),
        (f"{HEAD}/tolerations", TOLERATIONS),
        (f"{WORKER}/tolerations", TOLERATIONS),
        (f"{WORKER}/schedulingGates", [{"name": "queue"}]),
    ],
)
def test_kuberay_looks_away_from(path: str, value: Any) -> None:
    assert is_same(cluster_spec(), changed(path, value))


@pytest.mark.parametrize("path", ["workerGroupSpecs/0/minReplicas", f"{HEAD}/tolerations", "upgradeStrategy"])
def test_what_it_looks_away_from_is_told_all_the_same(path: str) -> None:
    values = {"workerGroupSpecs/0/minReplicas": 1, "upgradeStrategy": {"type": "None"}}
    found = differences(muted(cluster_spec()), muted(changed(path, values.get(path, TOLERATIONS))))
    assert len(found) == 1


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{HEAD}/containers/0/resources/limits/cpu", "1000m"),
        (f"{HEAD}/containers/0/resources/limits/memory", "2048Mi"),
        (f"{HEAD}/containers/0/ports/0/protocol", "TCP"),
        (f"{HEAD}/hostNetwork", False),
        (f"{HEAD}/nodeSelector", {}),
        (f"{HEAD}/containers/0/env", []),
        ("headGroupSpec/template/metadata", {"creationTimestamp": None}),
        ("workerGroupSpecs/0/numOfHosts", 1),
        ("workerGroupSpecs/0/scaleStrategy", {}),
    ],
)
def test_two_ways_to_write_the_same(path: str, value: Any) -> None:
    assert is_same(cluster_spec(), changed(path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{WORKER}/containers/0/image", "momalisa:2"),
        (f"{HEAD}/containers/0/resources/limits/cpu", "2"),
        (f"{HEAD}/containers/0/resources/limits/memory", "2147483648"),
        (f"{HEAD}/containers/0/args", [""]),
        (f"{HEAD}/automountServiceAccountToken", "DROP"),
        (f"{HEAD}/volumes/0/emptyDir", "DROP"),
        ("headGroupSpec/template/metadata", {"annotations": {"checksum/config": "1"}}),
        ("headGroupSpec/rayStartParams", "DROP"),
        ("workerGroupSpecs/0/groupName", "others"),
        ("workerGroupSpecs/0/idleTimeoutSeconds", 60),
        ("workerGroupSpecs", []),
        ("rayVersion", "2.61.0"),
        (f"{WORKER}/nodeSelector", {"gpu": ""}),
        (f"{HEAD}/containers/0/resources/limits/cpu", "many"),
        ("enableInTreeAutoscaling", False),
        ("autoscalerOptions", {"version": "v2", "idleTimeoutSeconds": 300}),
    ],
)
def test_what_makes_another_cluster(path: str, value: Any) -> None:
    assert not is_same(cluster_spec(), changed(path, value))
    assert added_groups(cluster_spec(), changed(path, value)) is None


def group(name: str) -> dict[str, Any]:
    return {**copy.deepcopy(cluster_spec()["workerGroupSpecs"][0]), "groupName": name}


def test_groups_at_the_end_change_the_cluster_that_runs() -> None:
    spec = cluster_spec()
    goal = {**spec, "workerGroupSpecs": [*spec["workerGroupSpecs"], group("large"), group("spot")]}
    assert added_groups(spec, goal) == ["large", "spot"]
    assert added_groups(spec, spec) == []


def test_groups_anywhere_else_do_not() -> None:
    spec = cluster_spec()
    assert added_groups(spec, {**spec, "workerGroupSpecs": [group("large"), *spec["workerGroupSpecs"]]}) is None
    assert added_groups({**spec, "workerGroupSpecs": [*spec["workerGroupSpecs"], group("large")]}, spec) is None


def test_added_groups_beside_another_change_do_not_either() -> None:
    goal = changed(f"{HEAD}/containers/0/image", "momalisa:2")
    goal["workerGroupSpecs"].append(group("large"))
    assert added_groups(cluster_spec(), goal) is None


def test_differences_name_members_of_lists() -> None:
    goal = changed(f"{WORKER}/containers/0/image", "momalisa:2")
    (found,) = differences(hashed(cluster_spec()), hashed(goal))
    assert found == (
        "workerGroupSpecs[renderers].template.spec.containers[ray-worker].image",
        "momalisa:1",
        "momalisa:2",
    )


def test_another_order_is_a_difference() -> None:
    first, second = {"name": "A", "value": "1"}, {"name": "B", "value": "2"}
    assert differences([first, second], [second, first], "env")[0][0] == "env (their order)"
    assert differences([first, first], [first, second], "env")[0][0] == "env"

"""Whether pods would fit."""

from typing import Any

import pytest

from momalisa.cluster.capacity import limit_problems, node_problem, quantity, quota_problems
from momalisa.cluster.manifests import ray_job
from tests.unit.cluster.examples import config

JOB = ray_job(config())
WORKER = JOB["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]


@pytest.mark.parametrize(
    ("text", "number"), [("500m", 0.5), ("2", 2), ("8Gi", 2**33), ("1k", 1000), ("1e3", 1000), ("2Ti", 2**41), (3, 3)]
)
def test_quantities(text: str, number: float) -> None:
    assert quantity(text) == number


def test_nonsense_is_no_quantity() -> None:
    with pytest.raises(ValueError, match="8Gi"):
        quantity("much")


def quota(hard: dict[str, str], used: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "jobs"}, "spec": {"hard": hard, **spec}, "status": {"hard": hard, "used": used or {}}}


def test_a_quota_counts_what_is_used_already() -> None:
    assert quota_problems(quota({"requests.nvidia.com/gpu": "8"}, {"requests.nvidia.com/gpu": "4"}), JOB) == []
    (problem,) = quota_problems(quota({"requests.nvidia.com/gpu": "8"}, {"requests.nvidia.com/gpu": "5"}), JOB)
    assert "4 on top of the 5 in use are more than the 8 of quota jobs" in problem


def test_a_queued_job_does_not_mind_what_others_use_now() -> None:
    queued = ray_job(config(queue="gpus", min_workers=None))
    assert quota_problems(quota({"requests.nvidia.com/gpu": "8"}, {"requests.nvidia.com/gpu": "8"}), queued) == []
    (problem,) = quota_problems(quota({"requests.nvidia.com/gpu": "3"}, {"requests.nvidia.com/gpu": "3"}), queued)
    assert problem == "requests.nvidia.com/gpu: 4 are more than the 3 of quota jobs"
    jobs = quota({"count/rayjobs.ray.io": "100"}, {"count/rayjobs.ray.io": "100"})
    assert "1 on top of the 100 in use" in quota_problems(jobs, queued)[0]


@pytest.mark.parametrize(
    ("name", "fits", "short"),
    [
        ("pods", "6", "5"),
        ("count/pods", "6", "5"),
        ("cpu", "34500m", "34"),
        ("limits.cpu", "34500m", "34"),
        ("requests.memory", "137Gi", "136Gi"),
        ("count/rayjobs.ray.io", "1", "0"),
    ],
)
def test_everything_is_counted(name: str, fits: str, short: str) -> None:
    assert quota_problems(quota({name: fits}), JOB) == []
    assert len(quota_problems(quota({name: short}), JOB)) == 1


def test_a_quota_of_a_priority_class_is_for_its_pods() -> None:
    scope = {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["urgent"]}]}
    small = quota({"pods": "1"}, scopeSelector=scope)
    assert quota_problems(small, JOB) == []
    assert quota_problems(small, ray_job(config(priority_class="urgent")))
    assert quota_problems(quota({"pods": "1"}, scopes=["BestEffort"]), JOB) == []


def limits(kind: str, **bounds: dict[str, str]) -> dict[str, Any]:
    return {"spec": {"limits": [{"type": kind, **bounds}]}}


def test_limits_are_of_containers_and_of_pods() -> None:
    assert limit_problems(limits("Container", max={"memory": "1Ti"}), JOB) == []
    (problem,) = limit_problems(limits("Container", max={"memory": "16Gi"}), JOB)
    assert problem == "workerGroupSpecs[workers], container worker: may use more than 16Gi memory"
    assert len(limit_problems(limits("Pod", min={"cpu": "3"}), JOB)) == 2  # head and submitter
    tight = ray_job(config(cpu_overcommit=4))
    assert len(limit_problems(limits("Container", maxLimitRequestRatio={"cpu": "2"}), tight)) == 3
    assert limit_problems(limits("PersistentVolumeClaim", max={"storage": "1"}), JOB) == []


def node(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "metadata": {"name": "n", "labels": {"cloud.google.com/gke-accelerator": "nvidia-l4"}},
        "spec": {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule", "value": "present"}]},
        "status": {"allocatable": {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "1"}},
    }
    return plain | changes


def test_a_node_that_could_hold_a_worker() -> None:
    assert node_problem(node(), WORKER) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"spec": {"unschedulable": True}}, "cordoned"),
        ({"metadata": {"name": "n"}}, "no label"),
        ({"spec": {"taints": [{"key": "mine", "effect": "NoExecute"}]}}, "the taint mine"),
        ({"status": {"allocatable": {"cpu": "8", "memory": "32Gi"}}}, "it has 0 nvidia.com/gpu of 1"),
        ({"status": {"allocatable": {"cpu": "8", "memory": "31Gi", "nvidia.com/gpu": "1"}}}, "31 GiB memory of 32 GiB"),
    ],
)
def test_a_node_that_could_not(changes: dict[str, Any], words: str) -> None:
    assert words in (node_problem(node(**changes), WORKER) or "")


def test_spot_taints_are_tolerated_by_spot_jobs() -> None:
    taint = {"key": "cloud.google.com/gke-spot", "value": "true", "effect": "NoSchedule"}
    labels = {"cloud.google.com/gke-accelerator": "nvidia-l4", "cloud.google.com/gke-spot": "true"}
    spot = node(spec={"taints": [taint]}, metadata={"name": "n", "labels": labels})
    worker = ray_job(config(spot=True))["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]
    assert node_problem(spot, worker) is None
    assert "gke-spot" in (node_problem(spot, WORKER) or "")

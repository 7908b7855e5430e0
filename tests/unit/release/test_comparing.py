"""What a new manifest does to a running release: one case for each class."""

import copy
from typing import Any

import pytest

from momalisa.errors import ConfigError
from momalisa.release.changes import Weight, heaviest
from momalisa.release.comparing import Running, object_changes, service_changes
from momalisa.release.facts import ReleaseFacts
from tests.unit.release.examples import NAME, SERVE, cluster_spec, ray_cluster, ray_service, running
from tests.unit.release.test_verdict import NEW, NOW, OLD


def at_work(service: dict[str, Any] | None = None, **clusters: dict[str, Any]) -> Running:
    """What is compared with, while these clusters are there."""
    held = [ray_cluster(name, spec) for name, spec in clusters.items()] or [ray_cluster(OLD)]
    found = Running.of(
        ReleaseFacts(name=NAME, namespace="momalisa", now=NOW, service=service or running(), clusters=held)
    )
    assert found is not None
    return found


def pending(spec: dict[str, Any]) -> Running:
    """An upgrade to this spec is under way."""
    service = running(ray_service(cluster=spec), pending=NEW)
    return at_work(service, **{OLD: cluster_spec(), NEW: spec})


def with_image(image: str) -> dict[str, Any]:
    spec = cluster_spec()
    spec["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["image"] = image
    return spec


def with_group(**of_first: Any) -> dict[str, Any]:
    spec = cluster_spec()
    spec["workerGroupSpecs"].append({**copy.deepcopy(spec["workerGroupSpecs"][0]), "groupName": "spot"})
    spec["workerGroupSpecs"][0] |= of_first
    return spec


def with_limits(**limits: Any) -> dict[str, Any]:
    spec = cluster_spec()
    spec["workerGroupSpecs"][0] |= limits
    return spec


def served(**gateway: Any) -> dict[str, Any]:
    config = copy.deepcopy(SERVE)
    config["applications"][0]["deployments"][1] |= gateway
    return config


def ray_service_with(annotations: dict[str, str]) -> dict[str, Any]:
    return running(ray_service(serveService={"metadata": {"annotations": annotations}}))


CASES: dict[str, tuple[Running | None, dict[str, Any], Weight, str, str]] = {
    "nothing": (at_work(), ray_service(), Weight.NOTHING, "", ""),
    "not there yet": (None, ray_service(), Weight.FIRST_CLUSTER, "RayService walks", "not there yet"),
    "limits of workers": (
        at_work(),
        ray_service(cluster=with_limits(maxReplicas=20)),
        Weight.IGNORED,
        "rayClusterConfig.workerGroupSpecs[renderers].maxReplicas",
        "",
    ),
    "limits": (
        at_work(),
        ray_service(serve=served(user_config={"limits": {"max_frames": 60}})),
        Weight.RECONFIGURED,
        "serveConfigV2.applications[momalisa].deployments[gateway].user_config.limits.max_frames",
        "",
    ),
    "CPUs": (
        at_work(),
        ray_service(serve=served(ray_actor_options={"num_cpus": 2})),
        Weight.RESTARTED,
        "serveConfigV2.applications[momalisa].deployments[gateway].ray_actor_options",
        "restarts gateway",
    ),
    "a group": (
        at_work(),
        ray_service(cluster=with_group()),
        Weight.GROUP_ADDED,
        "rayClusterConfig.workerGroupSpecs[spot]",
        "are applied",
    ),
    "an image": (
        at_work(),
        ray_service(cluster=with_image("momalisa:2")),
        Weight.SECOND_CLUSTER,
        "rayClusterConfig.workerGroupSpecs[renderers].template.spec.containers[ray-worker].image",
        "",
    ),
    "an image, while another is pending": (
        pending(with_image("momalisa:2")),
        ray_service(cluster=with_image("momalisa:3")),
        Weight.THIRD_CLUSTER,
        "rayClusterConfig.workerGroupSpecs[renderers].template.spec.containers[ray-worker].image",
        "compared with the pending cluster",
    ),
    "back to what serves": (
        pending(with_image("momalisa:2")),
        ray_service(),
        Weight.THIRD_CLUSTER,
        "rayClusterConfig.workerGroupSpecs[renderers].template.spec.containers[ray-worker].image",
        "",
    ),
    "the pending one again": (
        pending(with_image("momalisa:2")),
        ray_service(cluster=with_image("momalisa:2")),
        Weight.NOTHING,
        "",
        "",
    ),
    "limits, while another is pending": (
        pending(with_image("momalisa:2")),
        ray_service(cluster=with_image("momalisa:2"), serve=served(max_ongoing_requests=9)),
        Weight.APPLIED,
        "serveConfigV2.applications[momalisa].deployments[gateway].max_ongoing_requests",
        "on the other cluster alone",
    ),
    "an image, before the first is up": (
        at_work(running(active="", pending=NEW), **{NEW: cluster_spec()}),
        ray_service(cluster=with_image("momalisa:2")),
        Weight.SECOND_CLUSTER,
        "rayClusterConfig.workerGroupSpecs[renderers].template.spec.containers[ray-worker].image",
        "given up for another",
    ),
    "an image, with no strategy": (
        at_work(),
        ray_service(cluster=with_image("momalisa:2"), upgradeStrategy={"type": "None"}),
        Weight.IGNORED,
        "rayClusterConfig.workerGroupSpecs[renderers].template.spec.containers[ray-worker].image",
        "with upgradeStrategy None",
    ),
    "the delay": (
        at_work(),
        ray_service(rayClusterDeletionDelaySeconds=900),
        Weight.APPLIED,
        "rayClusterDeletionDelaySeconds",
        "",
    ),
    "the Service": (
        at_work(),
        ray_service(serveService={"spec": {"type": "NodePort"}}),
        Weight.IGNORED,
        "serveService",
        "when traffic switches",
    ),
    "the Service's annotations": (
        at_work(ray_service_with({"a": "1"})),
        ray_service_with({"a": "2"}),
        Weight.IGNORED,
        "serveService.metadata.annotations.a",
        "never again",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_its_class(case: str) -> None:
    before, goal, weight, path, words = CASES[case]
    found = service_changes(before, goal)
    assert heaviest(found) is weight, found
    assert path in [change.path for change in found] or not found
    assert words in " ".join(change.words for change in found)


def test_the_heaviest_comes_first_and_the_others_are_told_too() -> None:
    goal = ray_service(
        cluster=with_image("momalisa:2") | {"upgradeStrategy": {"type": "None"}}, serve=served(num_replicas=2)
    )
    goal["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["maxReplicas"] = 20
    found = service_changes(at_work(), goal)
    assert [change.weight for change in found] == sorted((change.weight for change in found), reverse=True)
    muted = next(change for change in found if change.path.endswith("maxReplicas"))
    assert (muted.weight, muted.words) == (Weight.IGNORED, "the other cluster has it")


def test_limits_are_applied_with_a_new_group() -> None:
    found = service_changes(at_work(), ray_service(cluster=with_group(maxReplicas=20)))
    assert [(change.weight, change.words[:21]) for change in found][1] == (Weight.IGNORED, "applied with the new ")
    assert len(found) == 2


def test_labels_reach_clusters_with_the_next_one() -> None:
    goal = ray_service()
    goal["metadata"]["labels"] = {"helm.sh/chart": "momalisa-0.2.0"}
    (change,) = service_changes(at_work(), goal)
    assert (change.weight, change.path) == (Weight.APPLIED, "metadata.labels.helm.sh/chart")


def test_a_configuration_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ConfigError, match="serveConfigV2"):
        service_changes(at_work(), ray_service(serveConfigV2="a: ["))


def policy(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "labels": {"helm.sh/chart": spec.pop("chart", "1")}},
        "spec": spec,
    }


def test_other_objects_are_told_by_name() -> None:
    old = [policy("a", ports=[1]), policy("b"), policy("c", chart="1")]
    new = [policy("a", ports=[2]), policy("c", chart="2"), policy("d")]
    found = {change.path: change.words for change in object_changes(old, new)}
    assert found == {
        "NetworkPolicy a": "changed at spec.ports",
        "NetworkPolicy b": "removed",
        "NetworkPolicy d": "added",
    }

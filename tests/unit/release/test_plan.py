"""The plan as a whole: what it refuses, what it takes, and its words."""

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from momalisa.release.changes import Weight
from momalisa.release.facts import ReleaseFacts
from momalisa.release.plan import Plan, make_plan
from momalisa.release.room import Surroundings
from tests.unit.release.examples import NAME, SERVE, cluster_spec, condition, pod, ray_cluster, ray_service, running
from tests.unit.release.test_comparing import served, with_group, with_image
from tests.unit.release.test_verdict import NEW, NOW, OLD

RETIRING = f"{NAME}-zzzzz"


def facts(service: dict[str, Any] | None = None, **clusters: dict[str, Any]) -> ReleaseFacts:
    held = [ray_cluster(name, spec) for name, spec in clusters.items()] or [ray_cluster(OLD)]
    return ReleaseFacts(name=NAME, namespace="momalisa", now=NOW, service=service or running(), clusters=held)


def pending() -> ReleaseFacts:
    spec = with_image("momalisa:2")
    found = facts(running(ray_service(cluster=spec), pending=NEW), **{OLD: cluster_spec(), NEW: spec})
    return replace(found, pods=[pod(OLD, "head"), pod(NEW, "head")])


def quota(hard: int, used: int = 0, name: str = "requests.nvidia.com/gpu") -> dict[str, Any]:
    return {
        "metadata": {"name": "gpus"},
        "spec": {"hard": {name: hard}},
        "status": {"hard": {name: hard}, "used": {name: used}},
    }


def node(gpus: int, name: str = "one", **labels: str) -> dict[str, Any]:
    has = {"nvidia.com/gpu": gpus, "cpu": 16, "memory": "64Gi"}
    return {"metadata": {"name": name, "labels": labels}, "spec": {}, "status": {"allocatable": has}}


def used_gpu(cluster: str = OLD) -> dict[str, Any]:
    """A renderer's pod at work on the node."""
    found = pod(cluster, "worker", gpus=1)
    found["spec"]["nodeName"] = "one"
    return found


ROOM = Surroundings(quotas=[quota(4, 1)], limits=[], nodes=[node(4)], pods=[used_gpu()])
UPGRADE = ray_service(cluster=with_image("momalisa:2"))


def plan(goal: dict[str, Any] = UPGRADE, around: Surroundings = ROOM, of: ReleaseFacts | None = None) -> Plan:
    return make_plan(of or facts(), goal, around)


def refused(found: Plan) -> str:
    return "\n".join(f"{refusal.what} {refusal.fix}" for refusal in found.refusals)


def test_a_second_cluster_with_its_gpus_and_for_how_long() -> None:
    found = plan()
    assert (found.weight, found.refusals, found.unknown) == (Weight.SECOND_CLUSTER, (), ())
    text = found.in_words()
    assert "walks: a second cluster is built, and traffic switches to it" in text
    assert "it takes 2 pods more with 1 GPU at the start (at most 4)" in text
    assert "300 s after traffic has switched" in text
    assert "containers[ray-worker].image: momalisa:1 → momalisa:2" in text


def test_how_long_the_last_one_took() -> None:
    up = condition("RayClusterProvisioned", "True", "AllPodRunningAndReadyFirstTime")
    held = ray_cluster(OLD, conditions=[up])
    found = ReleaseFacts(name=NAME, namespace="momalisa", now=NOW, service=running(), clusters=[held])
    assert f"the pods of {OLD} were up 4m00s after it was begun" in plan(of=found).in_words()


def test_serve_wants_a_renderer_before_traffic_switches() -> None:
    spec = with_image("momalisa:2")
    spec["workerGroupSpecs"][0] |= {"replicas": 0}
    found = plan(ray_service(cluster=spec))
    assert found.need is not None
    assert (found.need.gpus_at_start, found.need.num_pods) == (1, 2)


def test_sizes_may_be_the_deployments_own() -> None:
    config = copy.deepcopy(SERVE)
    config["applications"][0]["args"] = {"bucket": "gs://museum/walks"}
    config["applications"][0]["deployments"].append(
        {
            "name": "renderer",
            "ray_actor_options": {"num_gpus": 0.5},
            "autoscaling_config": {"min_replicas": 0, "initial_replicas": 5, "max_replicas": 12},
        }
    )
    found = plan(ray_service(cluster=with_image("momalisa:2"), serve=config))
    assert found.need is not None
    assert (found.need.gpus_at_start, found.need.gpus_at_most) == (3, 6)


def test_one_change_at_many_places_is_one_line() -> None:
    spec = with_image("momalisa:2")
    spec["headGroupSpec"]["template"]["spec"]["containers"][0]["image"] = "momalisa:2"
    lines = [line for line in plan(ray_service(cluster=spec)).in_words().splitlines() if "image" in line]
    assert len(lines) == 1
    assert "image (and at 1 more place): momalisa:1 → momalisa:2" in lines[0]


def test_of_long_values_both_ends_are_shown() -> None:
    found = plan(ray_service(cluster=with_image(f"registry.example/{'a' * 200}@sha256:12"))).in_words()
    assert "→ registry.example/aaa" in found
    assert "aaa@sha256:12" in found


def test_nothing_takes_nothing() -> None:
    found = plan(ray_service())
    assert (found.weight, found.need) == (Weight.NOTHING, None)
    assert found.in_words() == "walks: nothing changes"


def test_an_added_group_takes_its_own_pods_alone() -> None:
    found = plan(ray_service(cluster=with_group()))
    assert found.need is not None
    assert (found.need.num_pods, found.need.gpus_at_start) == (1, 1)


@pytest.mark.parametrize(
    ("around", "words"),
    [
        (Surroundings(quotas=[quota(1, 1)], limits=[], nodes=[node(4)]), "of quota gpus; the upgrade would be stuck"),
        (Surroundings(quotas=[quota(1, 1, "count/rayclusters.ray.io")], limits=[], nodes=[node(4)]), "rayclusters"),
        (
            Surroundings(quotas=[], limits=[], nodes=[node(1)], pods=[used_gpu()]),
            "1 more than are free of the 1 on",
        ),
        (Surroundings(quotas=[], limits=[], nodes=[node(0)]), "no node could hold workerGroupSpecs[renderers]"),
        (Surroundings(quotas=[], limits=[], nodes=[]), "there are none"),
        (
            Surroundings(
                quotas=[], nodes=[node(4)], limits=[{"spec": {"limits": [{"type": "Pod", "max": {"memory": "1Gi"}}]}}]
            ),
            "may use more than 1Gi memory",
        ),
    ],
)
def test_too_little_room_is_told_beforehand(around: Surroundings, words: str) -> None:
    assert words in refused(plan(around=around))


def test_nodes_that_come_by_themselves_are_not_counted() -> None:
    around = Surroundings(quotas=[], limits=[], nodes=[node(0, **{"cloud.google.com/gke-nodepool": "spot"})])
    assert not plan(around=around).refusals


def test_a_restart_of_renderers_takes_gpus_for_a_while() -> None:
    found = plan(ray_service(serve=other_args(log_encoding="TEXT")))
    assert (found.weight, found.need) == (Weight.RESTARTED, None)
    assert found.notes == ("new replicas start before the old ones stop: up to 4 GPUs more meanwhile",)
    assert not plan(ray_service(serve=served(ray_actor_options={"num_cpus": 2}))).notes


def test_what_may_not_be_looked_at_is_named() -> None:
    found = plan(around=Surroundings())
    assert [each.partition(":")[0] for each in found.unknown] == ["quotas", "limits", "nodes"]


def test_a_third_cluster_and_the_way_back_without_it() -> None:
    found = plan(ray_service(), of=pending())
    assert found.weight is Weight.THIRD_CLUSTER
    text = found.in_words()
    assert f"{OLD} serves, {NEW} is to take over" in text
    assert "`momalisa release back walks --namespace momalisa` goes back to them without a third cluster" in text
    assert "release back" not in plan(ray_service(cluster=with_image("momalisa:3")), of=pending()).in_words()


def test_a_third_cluster_may_have_to_wait_for_the_second_to_go() -> None:
    around = Surroundings(quotas=[quota(2, 2)], limits=[], nodes=[node(8)], pods=[used_gpu(OLD), used_gpu(NEW)])
    found = plan(ray_service(cluster=with_image("momalisa:3")), around, pending())
    assert not found.refusals
    assert f"only once {NEW} is gone" in found.in_words()


def test_a_third_cluster_may_have_to_wait_for_the_seconds_nodes() -> None:
    around = Surroundings(quotas=[], limits=[], nodes=[node(2)], pods=[used_gpu(OLD), used_gpu(NEW)])
    found = plan(ray_service(cluster=with_image("momalisa:3")), around, pending())
    assert not found.refusals
    assert f"only once {NEW} is gone (workerGroupSpecs[renderers] needs 1 GPUs" in found.in_words()


@pytest.mark.parametrize(
    "around",
    [
        Surroundings(quotas=[quota(2, 2)], limits=[], nodes=[node(8)], pods=[used_gpu(OLD), used_gpu(RETIRING)]),
        Surroundings(quotas=[], limits=[], nodes=[node(2)], pods=[used_gpu(OLD), used_gpu(RETIRING)]),
        Surroundings(quotas=[quota(2, 2, "count/rayclusters.ray.io")], limits=[], nodes=[node(8)]),
    ],
)
def test_an_upgrade_may_have_to_wait_for_a_cluster_that_was_relieved(around: Surroundings) -> None:
    found = plan(around=around, of=facts(running(), **{OLD: cluster_spec(), RETIRING: cluster_spec()}))
    assert not found.refusals
    assert f"only once {RETIRING} is gone" in found.in_words()


def test_the_gpus_of_worker_groups_are_taken_from_the_same_nodes() -> None:
    spec = with_image("momalisa:2")
    group = spec["workerGroupSpecs"][0] | {"replicas": 2, "minReplicas": 2}
    picky = copy.deepcopy(group) | {"groupName": "picky"}
    picky["template"]["spec"]["nodeSelector"] = {"disk": "fast"}
    spec["workerGroupSpecs"] = [group, picky]
    for nodes, is_refused in (
        ([node(3), node(0, "two", disk="fast")], True),
        ([node(3, disk="fast")], True),
        ([node(2), node(2, "two", disk="fast")], False),
        ([node(2, "two", disk="fast"), node(1), node(1, "three")], False),
    ):
        found = plan(ray_service(cluster=spec), Surroundings(quotas=[], limits=[], nodes=nodes))
        assert bool(found.refusals) == is_refused, found.refusals


def test_a_pending_cluster_without_a_head_takes_no_newer_spec() -> None:
    found = plan(ray_service(cluster=with_image("momalisa:3")), of=replace(pending(), pods=[pod(OLD, "head")]))
    assert (
        f"kubectl delete raycluster --namespace momalisa {NEW} after the upgrade, and it is made anew, of the newest"
        in found.in_words()
    )
    assert "takes no newer spec" not in plan(of=pending()).in_words()


def without_gpus() -> dict[str, Any]:
    spec = cluster_spec()
    for kind in ("limits", "requests"):
        del spec["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["resources"][kind]["nvidia.com/gpu"]
    return spec


def unsafe() -> dict[str, Any]:
    spec = cluster_spec()
    del spec["headGroupSpec"]["template"]["spec"]["containers"][0]["securityContext"]
    return spec


def long_named() -> dict[str, Any]:
    goal = ray_service()
    goal["metadata"]["name"] = "a" * 48
    return goal


def other_args(**args: Any) -> dict[str, Any]:
    config = copy.deepcopy(SERVE)
    config["applications"][0]["args"] |= args
    return config


GIVEN_UP = running(conditions=[condition("Ready", "False", "InitializingTimeout")])


@pytest.mark.parametrize(
    ("goal", "words"),
    [
        (long_named(), "has 48 characters"),
        (ray_service(cluster={**cluster_spec(), "networkPolicy": {}}), "networkPolicy is behind a gate that is off"),
        (ray_service(cluster={**cluster_spec(), "suspend": True}), "suspend deletes every pod"),
        (ray_service(cluster=unsafe()), "Pod Security would refuse a pod: headGroupSpec"),
        (ray_service(cluster=without_gpus()), "renderer would wait for a GPU that no pod has"),
        (ray_service(managedBy="kueue.x-k8s.io/multikueue"), "managedBy cannot change from None"),
        (ray_service(upgradeStrategy={"type": "NewClusterWithIncrementalUpgrade"}), "behind a gate that is off"),
        (ray_service(serve=other_args(colour="red")), "would not take args: "),
        (ray_service(serve=served(user_config={"limits": {"max_frame": 1}})), "would not take gateway.user_config"),
    ],
)
def test_the_impossible_is_refused(goal: dict[str, Any], words: str) -> None:
    around = Surroundings(quotas=[], limits=[], nodes=[node(8)], enforced="restricted")
    assert words in refused(plan(goal, around))


def test_a_release_that_is_given_up_or_in_somebodys_hands() -> None:
    assert "gave this RayService up for good" in refused(plan(of=facts(GIVEN_UP)))
    busy = Surroundings(quotas=[], limits=[], nodes=[node(8)], helm_status="pending-upgrade")
    assert "helm left the release pending-upgrade" in refused(plan(around=busy))


def test_other_applications_are_not_ours_to_judge() -> None:
    config = other_args(colour="red")
    config["applications"][0]["import_path"] = "shop:app"
    assert not plan(ray_service(serve=config)).refusals


@pytest.mark.parametrize("goal", [UPGRADE, ray_service(), ray_service(cluster=with_group()), long_named()])
def test_a_plan_is_json(goal: dict[str, Any]) -> None:
    found = json.loads(json.dumps(plan(goal).as_json(), default=str))
    assert found["weight"] == plan(goal).weight.flag

"""A verdict for each thing that can become of a release."""

import copy
import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from momalisa.cluster.pods import parse_time
from momalisa.cluster.troubles import Cause
from momalisa.release.facts import ReleaseFacts
from momalisa.release.states import State
from momalisa.release.verdict import verdict
from tests.unit.release.examples import (
    NAME,
    cluster_spec,
    condition,
    deployments,
    event,
    pod,
    ray_cluster,
    ray_service,
    running,
)

OLD, NEW = f"{NAME}-aaaaa", f"{NAME}-bbbbb"
NOW: datetime = parse_time("2026-11-22T10:10:00Z")


def facts(service: dict[str, Any] | None = None, **more: Any) -> ReleaseFacts:
    defaults: dict[str, Any] = {
        "clusters": [ray_cluster(OLD)],
        "pods": [pod(OLD, "head"), pod(OLD, "worker")],
        "traffic": OLD,
    }
    return ReleaseFacts(name=NAME, namespace="momalisa", now=NOW, service=service or running(), **{**defaults, **more})


def upgrading(*more_pods: dict[str, Any], events: Any = (), applications: Any = None, **status: Any) -> ReleaseFacts:
    """A second cluster of another image is pending."""
    spec = cluster_spec()
    spec["headGroupSpec"]["template"]["spec"]["containers"][0]["image"] = "momalisa:2"
    service = running(ray_service(cluster=spec), pending=NEW, **status)
    if applications:
        service["status"]["pendingServiceStatus"]["applicationStatuses"] = applications
    clusters = [ray_cluster(OLD), ray_cluster(NEW, spec, desiredWorkerReplicas=1)]
    pods = [pod(OLD, "head"), pod(OLD, "worker"), *more_pods]
    return facts(service, clusters=clusters, pods=pods, events=events)


def in_place(status: str, **more: Any) -> ReleaseFacts:
    service = running()
    application = {"status": status, "serveDeploymentStatuses": deployments(**more.pop("deployments", {})), **more}
    service["status"]["activeServiceStatus"]["applicationStatuses"] = {"momalisa": application}
    return facts(service)


def unseen(*, since: str = "2026-11-22T10:09:50Z", events: Any = (), ready: Any = None) -> ReleaseFacts:
    service = running()
    service["metadata"] |= {
        "generation": 4,
        "managedFields": [{"time": since}, {"time": "2026-11-22T10:09:59Z", "subresource": "status"}],
    }
    if ready:
        service["status"]["conditions"][0] = ready
    return facts(service, events=events)


def first(**more: Any) -> ReleaseFacts:
    service = running(active="", pending=NEW, numServeEndpoints=0)
    return facts(service, clusters=[ray_cluster(NEW)], traffic=None, **{"pods": [], **more})


def dead_active(*more: dict[str, Any], **given: Any) -> ReleaseFacts:
    found = upgrading(*more, numServeEndpoints=0, **given)
    return replace(found, pods=[each for each in found.pods if not each["metadata"]["name"].startswith(f"{OLD}-head")])


def smaller_wanted() -> ReleaseFacts:
    """The pending cluster's head is refused; then another spec is wanted, which KubeRay does not come to."""
    found = upgrading(events=[NO_ROOM])
    assert found.service is not None
    found.service["metadata"] |= {"generation": 4, "managedFields": [{"time": "2026-11-22T10:01:00Z"}]}
    found.service["spec"]["rayClusterConfig"]["rayVersion"] = "2.61.0"
    return found


def first_reconfigured(**more: Any) -> ReleaseFacts:
    """Serve's configuration is another one before the first cluster serves: KubeRay writes no status for that."""
    found = first(**more)
    assert found.service is not None
    found.service["metadata"] |= {"generation": 4, "managedFields": [{"time": "2026-11-22T10:02:00Z"}]}
    return found


def with_ready(ready: dict[str, Any], *, changed: str = "", **metadata: Any) -> ReleaseFacts:
    service = running(changed=changed)
    service["metadata"] |= metadata
    service["status"]["conditions"][0] = ready
    return facts(service)


def slow(message: str, *, changed: str = "2026-11-22T10:05:00Z", more: Any = ()) -> ReleaseFacts:
    """All pods of the pending cluster are up, and its gateway is not."""
    statuses = deployments()
    statuses["gateway"] = {"status": "UPDATING", "message": message}
    application = {"status": "DEPLOYING", "serveDeploymentStatuses": statuses}
    found = upgrading(pod(NEW, "head"), pod(NEW, "worker"), *more, applications={"momalisa": application})
    assert found.service is not None
    found.service["metadata"]["managedFields"] = [{"time": changed}]
    return found


def leaving() -> ReleaseFacts:
    service = running()
    service["metadata"]["deletionTimestamp"] = "2026-11-22T10:09:00Z"
    return facts(service)


def none_strategy() -> ReleaseFacts:
    spec = cluster_spec() | {"rayVersion": "2.61.0"}
    return facts(running(ray_service(cluster=spec, upgradeStrategy={"type": "None"})))


RENDERER = pod(OLD, "worker")
RENDERER["metadata"]["labels"]["app.kubernetes.io/component"] = "renderer"
PULL = pod(NEW, "head", waiting=("ImagePullBackOff", "manifest unknown"))
NO_ROOM = event(
    NEW,
    "FailedToCreateHeadPod",
    'pods "x" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, used: …, limited: …',
)
REFUSED = "UpdateDeployments fail: 400 Bad Request 1 validation error for ServeDeploySchema"
TRACEBACK = 'Traceback (most recent call last):\n  File "x"\nmomalisa.errors.ModelError: no model at gs://nowhere\n'
GIVEN_UP = condition("Ready", "False", "InitializingTimeout", "not ready within 20m")
INVALID = condition("Ready", "False", "ValidationFailed", "The RayService spec is invalid: headGroupSpec …")
UNHEALTHY = {"renderer": "UNHEALTHY"}

CASES: dict[str, tuple[ReleaseFacts, State, str, Cause | None]] = {
    "as it should be": (facts(), State.SERVING, f"{OLD} serves as it is wanted, at 1 endpoint", None),
    "absent": (replace(facts(), service=None), State.ABSENT, "no RayService walks", None),
    "deleted": (leaving(), State.LEAVING, "deleted", None),
    "first": (first(), State.STARTING, "its head is being made", None),
    "first, Serve starts": (
        first(pods=[pod(NEW, "head")]),
        State.STARTING,
        "its head is up, 0 of 0 workers are; Serve has not been asked yet",
        None,
    ),
    "first, no image": (
        first(pods=[PULL]),
        State.STUCK,
        "the first cluster does not come up: the head's image",
        Cause.IMAGE,
    ),
    "first, reconfigured": (first_reconfigured(), State.STARTING, "its head is being made", None),
    "first, no image, reconfigured": (
        first_reconfigured(pods=[PULL]),
        State.STUCK,
        "the first cluster does not come up: the head's image",
        Cause.IMAGE,
    ),
    "just written": (unseen(), State.UPDATING, "not looked at the newest spec yet", None),
    "no operator": (unseen(since="2026-11-22T10:05:00Z"), State.STUCK, "for 5m00s", Cause.OPERATOR),
    "refused": (unseen(ready=INVALID), State.REFUSED, "KubeRay refuses the spec: The RayService", Cause.VALIDATION),
    "refused, of the same generation": (
        with_ready(INVALID, changed="2026-11-22T10:09:54Z"),
        State.REFUSED,
        "KubeRay refuses the spec: The RayService",
        Cause.VALIDATION,
    ),
    "refused before it was mended": (
        with_ready(INVALID, changed="2026-11-22T10:09:59Z", generation=4),
        State.UPDATING,
        "not looked at the newest spec yet",
        None,
    ),
    "refused before it was mended, and looked at since": (
        with_ready({**INVALID, "observedGeneration": 2}),
        State.SERVING,
        "as it is wanted",
        None,
    ),
    "given up": (
        facts(running(active="", conditions=[GIVEN_UP])),
        State.FAILED,
        "gave it up for good: not ready within 20m",
        Cause.DEADLINE,
    ),
    "in place": (in_place("DEPLOYING"), State.UPDATING, "momalisa is DEPLOYING", None),
    "in place, failed": (
        in_place("DEPLOY_FAILED", message=TRACEBACK),
        State.STUCK,
        "did not take the change over: Serve cannot start application momalisa: ModelError: no model at gs://nowhere",
        Cause.INPUT,
    ),
    "in place, not taken": (
        unseen(events=[event(NAME, "FailedToUpdateServeApplications", REFUSED, at="2026-11-22T10:09:52Z")]),
        State.STUCK,
        "Serve does not take serveConfigV2",
        Cause.VALIDATION,
    ),
    "not taken, and taken back": (
        facts(
            running(changed="2026-11-22T10:09:00Z"), events=[event(NAME, "FailedToUpdateServeApplications", REFUSED)]
        ),
        State.SERVING,
        "as it is wanted",
        None,
    ),
    "not reached at first": (
        unseen(events=[event(NAME, "FailedToUpdateServeApplications", "dial tcp: refused", at="2026-11-22T10:09:52Z")]),
        State.UPDATING,
        "not looked at",
        None,
    ),
    "not reached for long": (
        unseen(
            since="2026-11-22T10:05:00Z",
            events=[event(NAME, "FailedToUpdateServeApplications", "dial tcp: refused", at="2026-11-22T10:09:52Z")],
        ),
        State.STUCK,
        f"KubeRay does not reach Serve on {OLD}",
        Cause.OPERATOR,
    ),
    "unhealthy": (
        in_place("UNHEALTHY", deployments=UNHEALTHY, message="some replicas"),
        State.DEGRADED,
        "serves, but not all is well: Serve cannot start deployment renderer: some replicas",
        Cause.EXCEPTION,
    ),
    "upgrading": (upgrading(), State.UPGRADING, f"{OLD} serves, {NEW} comes up: its head is being made", None),
    "upgrading, Serve starts": (
        upgrading(pod(NEW, "head"), pod(NEW, "worker"), applications={"momalisa": {"status": "DEPLOYING"}}),
        State.UPGRADING,
        "its head is up, 1 of 1 workers are; momalisa is DEPLOYING",
        None,
    ),
    "upgrading to what serves": (
        facts(running(pending=NEW), clusters=[ray_cluster(OLD), ray_cluster(NEW)]),
        State.UPGRADING,
        f"{NEW} comes up",
        None,
    ),
    "no image": (
        upgrading(PULL),
        State.STUCK,
        f"the upgrade is stuck, and {OLD} serves on: the head's image",
        Cause.IMAGE,
    ),
    "no quota": (upgrading(events=[NO_ROOM]), State.STUCK, "quota is used up", Cause.QUOTA),
    "quota was full": (
        upgrading(pod(NEW, "head"), pod(NEW, "worker"), events=[NO_ROOM]),
        State.UPGRADING,
        "comes up",
        None,
    ),
    "no cluster": (
        upgrading(events=[event(NAME, "FailedToCreateRayCluster", "exceeded quota: clusters, requested: …")]),
        State.STUCK,
        "quota is used up: clusters",
        Cause.QUOTA,
    ),
    "no quota, and a smaller one is wanted": (
        smaller_wanted(),
        State.STUCK,
        f"the upgrade is stuck, and {OLD} serves on: the namespace's quota is used up",
        Cause.QUOTA,
    ),
    "no quota for the head that served": (
        facts(
            pods=[pod(OLD, "worker")],
            events=[event(OLD, "FailedToCreateHeadPod", 'pods "x" is forbidden: exceeded quota: gpus, requested: …')],
        ),
        State.DEGRADED,
        f"the workers of {OLD} serve on, and its head is not up: the namespace's quota is used up",
        Cause.QUOTA,
    ),
    "Serve waits": (
        slow("taken more than 30s to initialize"),
        State.STUCK,
        "Serve is not up, though its pods are: gateway is UPDATING: taken more than 30s",
        Cause.DEADLINE,
    ),
    "Serve has just begun": (slow("", changed="2026-11-22T10:06:00Z"), State.UPGRADING, "momalisa is DEPLOYING", None),
    "Serve waits for a node": (
        slow("", more=[pod(NEW, "worker", waiting=("ContainerCreating", ""))]),
        State.UPGRADING,
        "momalisa is DEPLOYING",
        None,
    ),
    "no node": (
        upgrading(pod(NEW, "head", unschedulable="0/2 nodes are available: 2 Insufficient nvidia.com/gpu.")),
        State.STUCK,
        "no node has enough nvidia.com/gpu",
        Cause.UNSCHEDULABLE,
    ),
    "a node comes": (
        upgrading(
            pod(NEW, "head", unschedulable="0/2 nodes are available: 2 Insufficient nvidia.com/gpu."),
            events=[event(f"{NEW}-head", "TriggeredScaleUp", "pod triggered scale-up")],
        ),
        State.UPGRADING,
        "its head starts",
        None,
    ),
    "no model": (
        upgrading(pod(NEW, "head"), applications={"momalisa": {"status": "DEPLOY_FAILED", "message": TRACEBACK}}),
        State.STUCK,
        "Serve cannot start application momalisa: ModelError: no model at gs://nowhere",
        Cause.INPUT,
    ),
    "head lost meanwhile": (
        dead_active(PULL),
        State.DOWN,
        f"nothing serves: {OLD} lost its head, and KubeRay deploys nothing",
        Cause.IMAGE,
    ),
    "head lost meanwhile, and made again": (
        replace(upgrading(PULL), pods=[pod(OLD, "head"), pod(OLD, "worker", waiting=("ContainerCreating", "")), PULL]),
        State.DOWN,
        f"nothing serves: {OLD} has no worker that is ready, and KubeRay deploys nothing on it again",
        Cause.IMAGE,
    ),
    "renderers alone serve nobody": (
        facts(pods=[pod(OLD, "head"), RENDERER]),
        State.DOWN,
        "nothing serves",
        None,
    ),
    "head lost": (
        facts(pods=[pod(OLD, "worker")]),
        State.DEGRADED,
        f"the workers of {OLD} serve on, and its head is not up: its head is being made",
        Cause.CRASH,
    ),
    "head lost, no node": (
        facts(
            pods=[
                pod(OLD, "head", unschedulable="0/2 nodes are available: 2 Insufficient cpu."),
                pod(OLD, "worker"),
            ]
        ),
        State.DEGRADED,
        "its head is not up: no node has enough cpu free",
        Cause.UNSCHEDULABLE,
    ),
    "head lost, no worker": (facts(pods=[]), State.DOWN, "its head is being made", None),
    "cluster deleted": (
        replace(upgrading(), clusters=upgrading().clusters[1:], pods=[]),
        State.DOWN,
        f"the RayCluster {OLD}, which served, is gone; {NEW} comes up: its head is being made",
        Cause.CRASH,
    ),
    "cluster deleted, and no image for the next": (
        replace(upgrading(), clusters=upgrading().clusters[1:], pods=[PULL]),
        State.DOWN,
        f"{NEW} does not come up: the head's image",
        Cause.IMAGE,
    ),
    "cluster deleted just now": (
        facts(clusters=[], pods=[]),
        State.DOWN,
        "is gone; KubeRay is about to build another",
        Cause.CRASH,
    ),
    "no endpoints": (facts(running(numServeEndpoints=0)), State.DOWN, "has no endpoints", None),
    "another spec, about to": (
        facts(running(ray_service(cluster=cluster_spec() | {"rayVersion": "2.61.0"}))),
        State.UPDATING,
        "about to change it or to build another",
        None,
    ),
    "another spec, never": (none_strategy(), State.STUCK, "with upgradeStrategy None", Cause.CONFIGURATION),
    "the Service lags": (facts(traffic=NEW), State.UPDATING, f"the Service leads to {NEW} still", None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_verdict(case: str) -> None:
    found, state, headline, cause = CASES[case]
    given = verdict(found)
    assert given.state is state, given
    assert headline in given.headline
    assert given.cause == cause


@pytest.mark.parametrize("case", CASES)
def test_every_verdict_is_json_and_says_what_to_do(case: str) -> None:
    given = verdict(CASES[case][0])
    assert json.loads(json.dumps(given.as_json()))["state"] == given.state
    assert "\n" not in given.headline
    if given.state in {State.STUCK, State.REFUSED, State.FAILED, State.DOWN}:
        assert given.fix
        assert given.evidence


@pytest.mark.parametrize("case", CASES)
def test_a_user_who_may_see_the_rayservice_alone_gets_a_verdict_too(case: str) -> None:
    found = CASES[case][0]
    refused = {"pods": "no", "events": "no", "RayClusters": "no"}
    given = verdict(replace(found, clusters=(), pods=(), events=(), unknown=refused))
    assert len(given.unknown) == 3
    stages = {State.STARTING} if not found.active else {State.UPGRADING} if found.pending else SERVES_OR_UPDATES
    assert given.state in {CASES[case][1], *stages}, given


SERVES_OR_UPDATES = {State.SERVING, State.UPDATING}


def test_a_release_is_not_down_for_want_of_the_right_to_list_clusters() -> None:
    given = verdict(replace(facts(), clusters=(), unknown={"RayClusters": "no"}))
    assert (given.state, given.unknown) == (State.SERVING, ("RayClusters: no",))


def test_what_keeps_kuberay_from_the_newest_spec_is_told_with_the_ways_out() -> None:
    for case in ("no quota", "no quota, and a smaller one is wanted"):
        fix = verdict(CASES[case][0]).fix or ""
        assert f"kubectl delete raycluster --namespace momalisa {NEW}, and it is made anew, of the newest" in fix
        assert fix.endswith("or go back: momalisa release back walks --namespace momalisa")
    assert "delete raycluster" not in (verdict(CASES["no image"][0]).fix or "")


def test_a_cluster_that_was_given_up_holds_room() -> None:
    found = upgrading(events=[NO_ROOM])
    assert "wait until" not in str(verdict(found).fix)
    found = replace(found, clusters=[*found.clusters, ray_cluster("walks-momalisa-second")])
    assert str(verdict(found).fix).startswith("wait until walks-momalisa-second is gone")


def test_there_is_no_way_back_to_a_cluster_that_is_gone() -> None:
    for case in CASES:
        if case.startswith("cluster deleted"):
            assert "back" not in (verdict(CASES[case][0]).fix or "back")
    assert verdict(CASES["cluster deleted"][0]).fix == f"wait for {NEW}"


def test_what_serve_waits_for_is_told_before_it_is_long() -> None:
    details = verdict(CASES["Serve has just begun"][0]).details
    assert details[0] == "gateway is UPDATING"


def test_a_configuration_that_the_service_refused_is_told_with_where_its_reason_is() -> None:
    worker = pod(OLD, "worker")
    worker["metadata"]["labels"]["ray.io/group"] = "workers"
    told = verdict(facts(pods=[pod(OLD, "head"), worker], config=frozenset({"refused"})))
    assert (told.state, told.cause, told.exit_code) == (State.STUCK, Cause.INPUT, None)
    assert "refused its newest configuration" in told.headline
    assert f"kubectl exec --namespace momalisa {worker['metadata']['name']} -- grep" in (told.fix or "")
    assert "momalisa release back" in (told.fix or "")


def test_a_configuration_that_is_being_tried_is_not_in_force_yet() -> None:
    told = verdict(facts(config=frozenset({"pending", "refused"})))
    assert (told.state, told.exit_code) == (State.UPDATING, None)
    assert "tries its newest configuration" in told.headline


def test_a_needless_upgrade_is_called_so() -> None:
    assert "walks-aaaaa is what is wanted; `momalisa release back walks --namespace momalisa`" in (
        verdict(CASES["upgrading to what serves"][0]).fix or ""
    )
    assert verdict(CASES["upgrading"][0]).fix is None


def test_pods_that_are_not_of_their_clusters_spec_are_told() -> None:
    spec = cluster_spec()
    spec["headGroupSpec"]["template"]["spec"]["containers"][0]["image"] = "momalisa:2"
    spec["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["image"] = "momalisa:3"
    worker = pod(OLD, "worker")
    worker["metadata"]["labels"]["ray.io/group"] = "renderers"
    service = running(ray_service(cluster=spec))
    given = verdict(facts(service, clusters=[ray_cluster(OLD, spec)], pods=[pod(OLD, "head"), worker]))
    assert given.state is State.SERVING
    assert given.details == (
        f"pod {OLD}-head has image momalisa:1, and its cluster's spec says momalisa:2",
        f"pod {OLD}-renderers-worker-x has image momalisa:1, and its cluster's spec says momalisa:3",
    )


def test_helm_is_told_its_own_name() -> None:
    found = upgrading(PULL)
    assert found.service is not None
    found.service["metadata"]["annotations"] = {"meta.helm.sh/release-name": "autumn"}
    assert "or go back: momalisa release back autumn" in (verdict(found).fix or "")


def test_each_cluster_is_told_with_its_part() -> None:
    found = upgrading()
    given = verdict(replace(found, clusters=[*found.clusters, ray_cluster(f"{NAME}-ccccc")]))
    assert given.details == (
        f"{OLD} is the active one",
        f"{NEW} is to take over",
        f"{NAME}-ccccc served or was to, and goes 300 s after it was relieved",
    )
    assert (given.serving, given.pending, given.retiring) == (OLD, NEW, (f"{NAME}-ccccc",))


def test_after_the_switch_the_old_cluster_is_still_told_of() -> None:
    found = replace(facts(), clusters=[ray_cluster(f"{NAME}-zzzzz"), ray_cluster(OLD)])
    given = verdict(found)
    assert given.state is State.SERVING
    assert f"{NAME}-zzzzz" in " ".join(given.details)


def test_what_holds_from_the_next_cluster_on_is_told() -> None:
    spec = copy.deepcopy(cluster_spec())
    spec["workerGroupSpecs"][0] |= {"maxReplicas": 4, "replicas": 7}
    given = verdict(facts(clusters=[ray_cluster(OLD, spec)]))
    assert given.state is State.SERVING
    assert given.details == ("from the next cluster on: workerGroupSpecs[renderers].maxReplicas 8",)


def test_replicas_that_the_autoscaler_set_are_no_other_spec() -> None:
    spec = copy.deepcopy(cluster_spec())
    spec["workerGroupSpecs"][0] |= {"replicas": 7, "scaleStrategy": {"workersToDelete": ["x"]}}
    assert verdict(facts(clusters=[ray_cluster(OLD, spec)])).state is State.SERVING

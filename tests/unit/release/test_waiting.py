"""Waits, and the way back without a third cluster, on a clock of their own."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from momalisa.cluster.follow import Pace
from momalisa.cluster.judgement import ExitCode
from momalisa.cluster.kinds import RAY_CLUSTER, RAY_SERVICE, Kind, Manifest
from momalisa.errors import ClusterConflictError, ClusterUnreachableError
from momalisa.release.facts import gather
from momalisa.release.going_back import drop_pending, take_back
from momalisa.release.helm import KeptRelease
from momalisa.release.waiting import wait
from tests.unit.cluster.namespace_in_memory import InMemory
from tests.unit.release.examples import NAME, condition, pod, ray_cluster, ray_service, running
from tests.unit.release.test_comparing import with_image
from tests.unit.release.test_verdict import NEW, OLD


class Release(InMemory):
    """A namespace in which something happens while somebody sleeps."""

    def __init__(self, *moments: Callable[["Release"], None]) -> None:
        super().__init__()
        self.time = 0.0
        self.moments = list(moments)
        self.statuses: list[tuple[str, Any]] = []
        self.strategies: list[Any] = []
        self.hold(running())
        self.put_cluster(OLD)

    def hold(self, service: Manifest) -> None:
        self.objects["RayService", NAME] = copy.deepcopy(service)

    def put_cluster(self, name: str, spec: Any = None) -> None:
        self.objects["RayCluster", name] = ray_cluster(name, spec)
        for each in (pod(name, "head"), pod(name, "worker")):
            self.objects["Pod", each["metadata"]["name"]] = each

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        if self.moments:
            self.moments.pop(0)(self)

    @property
    def pace(self) -> Pace:
        return Pace(every_s=3.0, clock=lambda: self.time, sleep=self.sleep, patience_s=60.0)

    def apply_as_helm(self, kind: Kind, manifest: Manifest) -> Manifest:
        self.strategies.append(manifest["spec"].get("upgradeStrategy"))
        return super().apply_as_helm(kind, manifest)

    def patch(self, kind: Kind, name: str, patch: Any, *, subresource: str = "") -> Manifest:
        self._asked("patch", kind, name)
        self.statuses.append((subresource, patch))
        self.objects[kind.kind, name]["status"]["pendingServiceStatus"] = {}
        return self.objects[kind.kind, name]


def upgrading(release: Release) -> None:
    spec = with_image("momalisa:2")
    release.hold(running(ray_service(cluster=spec), pending=NEW))
    release.put_cluster(NEW, spec)


def switched(release: Release) -> None:
    release.hold(running(ray_service(cluster=with_image("momalisa:2")), active=NEW))


def refused(release: Release) -> None:
    service = running()
    service["metadata"]["generation"] = 4
    service["status"]["conditions"][0] = condition("Ready", "False", "ValidationFailed", "no container")
    release.hold(service)


def nothing(release: Release) -> None:
    pass


def waited(release: Release, timeout_s: float = 600.0) -> tuple[int, list[str]]:
    said: list[str] = []
    outcome = wait(release, NAME, say=said.append, timeout_s=timeout_s, pace=release.pace)
    return outcome.exit_code, said


def test_what_is_well_must_be_so_for_a_while() -> None:
    release = Release()
    code, said = waited(release)
    assert (code, release.time) == (0, 12.0)
    assert "serves as it is wanted" in said[-1]


def test_the_old_version_is_no_end() -> None:
    release = Release(nothing, upgrading, nothing, nothing, switched)
    code, said = waited(release)
    assert (code, release.time) == (0, 15.0 + 12.0)
    assert f"upgrading: {OLD} serves, {NEW} comes up" in "\n".join(said)
    assert f"{NEW} serves as it is wanted" in said[-1]


def test_the_time_is_over() -> None:
    release = Release(upgrading)
    code, said = waited(release, timeout_s=60.0)
    assert (code, release.time) == (ExitCode.DEADLINE, 60.0)
    assert "not as it is wanted after 1m00s" in said[-1]


def test_a_success_that_is_seen_before_the_time_is_over_may_settle() -> None:
    release = Release(upgrading, *[nothing] * 16, switched)
    code, said = waited(release, timeout_s=60.0)
    assert (code, release.time) == (0, 66.0)
    assert f"{NEW} serves as it is wanted" in said[-1]
    release = Release(upgrading, *[nothing] * 16, switched, nothing, upgrading)
    assert (waited(release, timeout_s=60.0)[0], release.time) == (ExitCode.DEADLINE, 60.0)


def test_what_can_never_be_ends_it_early() -> None:
    release = Release(refused)
    code, said = waited(release)
    assert (code, release.time) == (ExitCode.FAILED, 15.0)
    assert "KubeRay refuses the spec: no container" in said[-1]


def test_a_refusal_that_was_the_last_specs_is_none() -> None:
    release = Release(upgrading, nothing, switched)
    refused(release)
    assert waited(release)[0] == 0


def test_an_api_server_that_is_away_is_borne() -> None:
    away = ClusterUnreachableError("no answer")
    release = Release(lambda r: r.failing.clear())
    release.failing["get", "RayService"] = away
    code, said = waited(release)
    assert (code, said[0][:33]) == (0, "the API server does not answer; t")
    assert "answers again, after 3s" in said[1]
    release.failing["get", "RayService"] = away
    with pytest.raises(ClusterUnreachableError):
        waited(release)


def taken_back(release: Release) -> None:
    """Stuck, and helm has rolled back."""
    upgrading(release)
    release.hold(running(pending=NEW))


def test_an_upgrade_that_was_taken_back_is_forgotten() -> None:
    release, said = Release(), list[str]()
    taken_back(release)
    assert drop_pending(release, NAME, say=said.append, pace=release.pace)
    assert release.statuses == [("status", {"status": {"pendingServiceStatus": None}})]
    assert f"{NEW} goes, and no third cluster is built" in said[0]
    assert ("RayCluster", NEW) not in release.objects, "it never served: nothing to wait for"
    assert ("RayCluster", OLD) in release.objects


def test_what_was_pending_before_the_way_back_goes_too() -> None:
    """KubeRay has another name for what is pending by then, and perhaps no cluster of that name yet."""
    release = Release()
    taken_back(release)
    release.hold(running(pending="walks-momalisa-third"))
    assert drop_pending(release, NAME, given_up=NEW, say=lambda _: None, pace=release.pace)
    assert {name for kind, name in release.objects if kind == "RayCluster"} == {OLD}


def test_what_was_given_up_is_deleted_once_kuberay_has_looked() -> None:
    """Also where the spec went back to another revision than that which serves, so that a third cluster is wanted."""
    third = "walks-momalisa-third"

    def looked(release: Release) -> None:
        release.hold(running(ray_service(cluster=with_image("momalisa:3")), pending=third))

    release = Release(nothing, looked)
    upgrading(release)
    release.hold(running(ray_service(cluster=with_image("momalisa:3")), pending=NEW))
    assert not drop_pending(release, NAME, given_up=NEW, say=lambda _: None, pace=release.pace)
    assert {name for kind, name in release.objects if kind == "RayCluster"} == {OLD}


def test_where_visitors_are_sent_nothing_is_deleted() -> None:
    """KubeRay turns the Services before it writes the status."""
    release = Release()
    taken_back(release)
    service = {"metadata": {"name": f"{NAME}-serve-svc"}, "spec": {"selector": {"ray.io/cluster": NEW}}}
    release.objects["Service", f"{NAME}-serve-svc"] = service
    assert not drop_pending(release, NAME, given_up=NEW, say=lambda _: None, pace=release.pace)
    assert not release.statuses
    assert ("RayCluster", NEW) in release.objects


def test_a_state_that_nobody_looked_at_is_not_written_over() -> None:
    release, said = Release(), list[str]()
    taken_back(release)
    release.objects["RayService", NAME]["metadata"]["resourceVersion"] = "7"
    release.failing["patch", "RayService"] = ClusterConflictError("the object has been modified")
    assert not drop_pending(release, NAME, say=said.append, pace=release.pace)
    assert not said
    release.failing.clear()
    assert drop_pending(release, NAME, say=said.append, pace=release.pace)
    ((_, patch),) = release.statuses
    assert patch["metadata"] == {"resourceVersion": "7"}


def test_what_retires_after_it_has_served_stays_for_its_delay() -> None:
    release = Release()
    taken_back(release)
    release.put_cluster("walks-momalisa-before")
    assert drop_pending(release, NAME, say=lambda _: None, pace=release.pace)
    assert ("RayCluster", "walks-momalisa-before") in release.objects


def test_what_became_active_after_all_stays() -> None:
    release = Release(switched)
    taken_back(release)
    assert drop_pending(release, NAME, say=lambda _: None, pace=release.pace)
    assert ("RayCluster", NEW) in release.objects


def test_who_may_not_delete_a_cluster_is_told_how_long_it_stays() -> None:
    release, said = Release(), list[str]()
    taken_back(release)
    release.denied.add(("delete", "RayCluster"))
    assert drop_pending(release, NAME, say=said.append, pace=release.pace)
    assert "only after its delay" in said[1]


def kept(service: Manifest) -> KeptRelease:
    return KeptRelease(
        revision=1, status="superseded", description="", chart="momalisa-0.1.0", values={}, manifests=(service,)
    )


def test_a_spec_goes_back_before_helm_takes_it_there_so_that_no_third_cluster_is_built() -> None:
    release, said = Release(), list[str]()
    upgrading(release)
    before = ray_service()
    before["spec"]["upgradeStrategy"] = {"type": "NewCluster"}
    release.objects["RayService", NAME]["metadata"]["annotations"] = {"meta.helm.sh/release-name": "walks", "else": "a"}
    facts = gather(release, NAME)
    take_back(release, facts, kept(before), say=said.append, pace=release.pace)
    assert release.strategies == [{"type": "None"}, {"type": "NewCluster"}]
    assert release.objects["RayService", NAME]["spec"] == before["spec"]
    assert release.objects["RayService", NAME]["metadata"]["annotations"] == {"meta.helm.sh/release-name": "walks"}
    assert len(release.statuses) == 1
    assert {name for kind, name in release.objects if kind == "RayCluster"} == {OLD}


def test_who_may_not_take_a_spec_back_leaves_it_to_helm() -> None:
    release, said = Release(), list[str]()
    upgrading(release)
    release.denied.add(("apply", "RayService"))
    take_back(release, gather(release, NAME), kept(ray_service()), say=said.append, pace=release.pace)
    assert "may build a third cluster for a moment" in said[0]
    assert not release.statuses


def test_nothing_is_taken_back_where_nothing_is_pending() -> None:
    release = Release()
    take_back(release, gather(release, NAME), kept(ray_service()), say=lambda _: None, pace=release.pace)
    assert not release.strategies


def test_kuberay_may_write_at_the_same_moment() -> None:
    release = Release(taken_back, nothing)
    taken_back(release)
    assert drop_pending(release, NAME, say=lambda _: None, pace=release.pace)
    assert len(release.statuses) == 2


def test_an_upgrade_that_is_wanted_goes_on() -> None:
    release = Release()
    assert not drop_pending(release, NAME, say=lambda _: None, pace=release.pace)
    upgrading(release)
    assert not drop_pending(release, NAME, say=lambda _: None, pace=release.pace)
    assert not release.statuses


def test_who_may_not_is_told_what_happens_instead() -> None:
    release, said = Release(), list[str]()
    taken_back(release)
    release.denied.add(("patch", "RayService"))
    assert not drop_pending(release, NAME, say=said.append, pace=release.pace)
    assert "KubeRay builds a third cluster, since you may not" in said[0]


def test_kinds_are_those_of_kuberay() -> None:
    assert RAY_SERVICE.path("museum", NAME, "status") == f"/apis/ray.io/v1/namespaces/museum/rayservices/{NAME}/status"
    assert RAY_CLUSTER.resource == "rayclusters.ray.io"

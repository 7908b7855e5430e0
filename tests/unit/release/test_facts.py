"""What is read of a release, and what is left out."""

import pytest

from momalisa.cluster.kinds import EVENT, POD, RAY_CLUSTER, RAY_SERVICE, SERVICE
from momalisa.cluster.pods import parse_time
from momalisa.errors import ClusterForbiddenError
from momalisa.release.facts import CONFIG_TAKEN, gather
from tests.unit.cluster.namespace_in_memory import InMemory
from tests.unit.release.examples import NAME, event, pod, ray_cluster, running
from tests.unit.release.test_verdict import NEW, NOW, OLD

STRANGER = "walks-and-more-aaaaa"


@pytest.fixture
def cluster() -> InMemory:
    found = InMemory()
    live = running(pending=NEW)
    found.put(RAY_SERVICE, NAME, **{key: live[key] for key in ("metadata", "spec", "status")})
    for name, created in ((NEW, "2026-11-22T10:06:00Z"), (OLD, "2026-11-22T10:01:00Z")):
        ours = ray_cluster(name)
        ours["metadata"]["creationTimestamp"] = created
        found.put(RAY_CLUSTER, name, metadata=ours["metadata"], spec=ours["spec"], status=ours["status"])
    found.put(RAY_CLUSTER, STRANGER, metadata={"labels": {"ray.io/originated-from-cr-name": "walks-and-more"}})
    for of in (OLD, NEW, STRANGER):
        head = pod(of, "head")
        found.put(POD, head["metadata"]["name"], metadata=head["metadata"], spec=head["spec"], status=head["status"])
    for number, about in enumerate((NAME, OLD, f"{NEW}-head", STRANGER, "walks-and-more")):
        told = event(about, "Noted", about)
        told["metadata"]["name"] = str(number)
        found.put(EVENT, str(number), **told)
    early = event(NAME, "Noted", "an earlier release of this name", at="2026-11-22T09:00:00Z")
    early["metadata"]["name"] = "early"
    found.put(EVENT, "early", **early)
    found.put(SERVICE, f"{NAME}-serve-svc", spec={"selector": {"ray.io/cluster": OLD}})
    return found


def test_everything_of_this_release_and_nothing_of_others(cluster: InMemory) -> None:
    facts = gather(cluster, NAME, clock=lambda: NOW)
    assert [each["metadata"]["name"] for each in facts.clusters] == [OLD, NEW]
    assert (facts.active, facts.pending, facts.retiring, facts.traffic) == (OLD, NEW, [], OLD)
    assert [each["metadata"]["name"] for each in facts.pods] == [f"{NEW}-head", f"{OLD}-head"]
    assert {each["message"] for each in facts.events} == {NAME, OLD, f"{NEW}-head"}
    assert [each["message"] for each in facts.events_of(NEW)] == [f"{NEW}-head"]
    assert facts.unknown.keys() == {CONFIG_TAKEN}


def test_a_service_of_another_name_is_found(cluster: InMemory) -> None:
    cluster.objects["RayService", NAME]["spec"]["serveService"] = {"metadata": {"name": "front"}}
    assert gather(cluster, NAME).traffic is None
    cluster.put(SERVICE, "front", spec={"selector": {"ray.io/cluster": NEW}})
    assert gather(cluster, NAME).traffic == NEW


def test_what_may_not_be_looked_at_is_noted(cluster: InMemory) -> None:
    cluster.denied |= {("list", "Pod"), ("list", "Event"), ("get", "Service"), ("list", "RayCluster")}
    facts = gather(cluster, NAME)
    assert facts.unknown.keys() == {"events", "Service", "RayClusters", "pods", CONFIG_TAKEN}
    cluster.denied.add(("get", "RayService"))
    with pytest.raises(ClusterForbiddenError):
        gather(cluster, NAME)


def test_without_the_right_to_list_clusters_their_names_are_the_statuss(cluster: InMemory) -> None:
    cluster.denied.add(("list", "RayCluster"))
    facts = gather(cluster, NAME, clock=lambda: NOW)
    assert [each["metadata"]["name"] for each in facts.pods] == [f"{OLD}-head", f"{NEW}-head"]
    assert [each["message"] for each in facts.events_of(NEW)] == [f"{NEW}-head"]
    assert facts.unknown.keys() == {"RayClusters", CONFIG_TAKEN}


@pytest.mark.parametrize("word", ["refused", "pending"])
def test_what_became_of_the_newest_configuration_is_asked_of_the_service(cluster: InMemory, word: str) -> None:
    silent = gather(cluster, NAME)
    assert not silent.config
    assert CONFIG_TAKEN in silent.unknown, "who cannot be asked may have refused it"
    labels = '{part="conductor"}' if word == "refused" else ""
    for figure, expected in (("0.0", set()), ("1.0", {word})):
        cluster.served_paths["metrics"] = (
            f"# TYPE momalisa_is_config_{word} gauge\nmomalisa_is_config_{word}{labels} {figure}\n"
        )
        facts = gather(cluster, NAME)
        assert facts.config == expected
        assert CONFIG_TAKEN not in facts.unknown


def test_an_absent_release_asks_for_nothing_more() -> None:
    cluster = InMemory()
    assert gather(cluster, NAME).service is None
    assert len(cluster.calls) == 1


def test_the_spec_was_written_by_whoever_wrote_more_than_the_status(cluster: InMemory) -> None:
    cluster.objects["RayService", NAME]["metadata"]["managedFields"] = [
        {"manager": "helm", "time": "2026-11-22T10:03:00Z"},
        {"manager": "ray-operator", "time": "2026-11-22T10:09:00Z", "subresource": "status"},
    ]
    assert gather(cluster, NAME).changed == parse_time("2026-11-22T10:03:00Z")

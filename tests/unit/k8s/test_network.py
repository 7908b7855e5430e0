"""Who reaches whom: computed from the policies, written down as a table, and each rule missed when it is gone."""

import json
from dataclasses import replace
from typing import Any

import pytest

from momalisa.cluster.isolation import network_policy
from tests.support.job_pods import (
    ELSEWHERE,
    HEAD,
    NAMESPACE,
    OPERATOR,
    OTHER_HEAD,
    PAINTING,
    SOURCES,
    STRANGER,
    SUBMITTER,
    WALKING,
    WAYS,
    WORKER,
)
from tests.support.kustomized import K8S, built, kubectl, of_kind
from tests.support.reachability import End, Way, matrix, rules, table, without

needs_kubectl = pytest.mark.skipif(kubectl() is None, reason="overlays are built by kubectl")

# fmt: off
TABLE = """\
| from \\ to | head:8265 | head:6379 | head:8080 | worker:31000 | worker:8080 | second worker:31000 | other head:8265 | other worker:31000 | submitter:31000 | stranger:8000 | dns:53 | bucket:443 | web:80 | internal:443 |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| head |  |  |  | yes | yes | yes |  |  |  |  | yes | yes |  |  |
| worker | yes | yes | yes |  |  | yes |  |  |  |  | yes | yes |  |  |
| submitter | yes |  |  |  |  |  |  |  |  |  | yes |  |  |  |
| other head |  |  |  |  |  |  |  | yes |  |  | yes | yes |  |  |
| other worker |  |  |  |  |  |  | yes |  |  |  | yes | yes |  |  |
| other submitter |  |  |  |  |  |  | yes |  |  |  | yes |  |  |  |
| stranger |  |  |  |  |  |  |  |  |  |  | yes |  |  |  |
| pod elsewhere |  |  |  |  |  |  |  |  |  |  | yes | yes | yes | yes |
| operator | yes |  |  |  |  |  | yes |  |  |  | yes | yes | yes | yes |
| prometheus |  |  | yes |  | yes |  |  |  |  |  | yes | yes | yes | yes |"""  # noqa: E501

# What changes when a rule goes: ways that are shut, or for a policy that only isolates, ways that open.
WITHOUT = {
    ("deny-all", "isolation", 0): {
        "operator > stranger:8000", "operator > submitter:31000",
        "pod elsewhere > stranger:8000", "pod elsewhere > submitter:31000",
        "prometheus > stranger:8000", "prometheus > submitter:31000",
    },
    ("dns", "egress", 0): {
        "head > dns:53", "worker > dns:53", "submitter > dns:53", "stranger > dns:53",
        "other head > dns:53", "other worker > dns:53", "other submitter > dns:53",
    },
    ("object-storage", "egress", 0): {
        "head > bucket:443", "worker > bucket:443", "other head > bucket:443", "other worker > bucket:443",
    },
    ("operator-to-dashboard", "ingress", 0): {"operator > head:8265", "operator > other head:8265"},
    ("prometheus-to-metrics", "ingress", 0): {"prometheus > head:8080", "prometheus > worker:8080"},
    ("submitter-to-dashboard", "egress", 0): {"submitter > head:8265", "other submitter > other head:8265"},
    ("painting-00000000", "ingress", 0): {
        "head > worker:31000", "head > worker:8080", "head > second worker:31000",
        "worker > head:6379", "worker > head:8080", "worker > second worker:31000",
    },
    ("painting-00000000", "ingress", 1): {"submitter > head:8265"},
    ("painting-00000000", "egress", 0): {
        "head > worker:31000", "head > worker:8080", "head > second worker:31000",
        "worker > head:8265", "worker > head:6379", "worker > head:8080", "worker > second worker:31000",
    },
    ("walking-00000000", "ingress", 0): {"other head > other worker:31000"},
    ("walking-00000000", "ingress", 1): {"other submitter > other head:8265"},
    ("walking-00000000", "egress", 0): {"other head > other worker:31000", "other worker > other head:8265"},
}
# fmt: on

# What the overlays add: the machine itself, the emulated bucket; Google's own servers.
MACHINE = End(name="machine", address="10.123.0.1")
EMULATOR = End(name="emulator", address="10.123.0.60", namespace="another", labels={"app": "gcs"})
ON_ONE_MACHINE = (Way(end=MACHINE, port=53, protocol="UDP"), Way(end=MACHINE, port=6443), Way(end=EMULATOR, port=4443))
METADATA, METADATA_BY_CALICO = (
    End(name="metadata server", address="169.254.169.254"),
    End(name="metadata server's other address", address="169.254.169.252"),
)
API_SERVER = End(name="api server", address="172.16.0.2")
ON_GKE = (
    Way(end=End(name="node's dns", address="169.254.20.10"), port=53, protocol="UDP"),
    Way(
        end=End(
            name="cache's pod", address="10.128.0.5", namespace="kube-system", labels={"k8s-app": "node-local-dns"}
        ),
        port=53,
        protocol="UDP",
    ),
    Way(end=METADATA, port=53, protocol="UDP"),
    Way(end=METADATA, port=80),
    Way(end=METADATA_BY_CALICO, port=988),
    Way(end=METADATA_BY_CALICO, port=80),
    Way(end=API_SERVER, port=443),
)


def _policies(folder: str) -> list[dict[str, Any]]:
    filled_in = json.loads(
        json.dumps(of_kind(built(folder), "NetworkPolicy")).replace("FILL-IN-CONTROL-PLANE", API_SERVER.address)
    )
    return [*filled_in, _own_policy(PAINTING), _own_policy(WALKING)]


def _own_policy(run: str) -> dict[str, Any]:
    metadata = {"name": run, "namespace": NAMESPACE, "uid": "00000000-1111-2222-3333-444444444444"}
    return network_policy({"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": metadata})


def test_who_reaches_whom() -> None:
    assert table(matrix(_policies("base"), SOURCES, WAYS), WAYS) == TABLE


def test_the_readme_shows_the_same_table() -> None:
    assert TABLE in (K8S / "README.md").read_text()


def test_every_rule_has_its_expectation() -> None:
    assert set(rules(_policies("base"))) == set(WITHOUT)


@pytest.mark.parametrize("rule", WITHOUT, ids="{0[0]} {0[1]} {0[2]}".format)
def test_each_rule_is_missed_where_expected(rule: tuple[str, str, int]) -> None:
    policies = _policies("base")
    before, after = matrix(policies, SOURCES, WAYS), matrix(without(policies, rule), SOURCES, WAYS)
    assert {f"{name} > {way}" for name in before for way in before[name] ^ after[name]} == WITHOUT[rule]


def test_a_job_without_its_own_policy_reaches_no_pod() -> None:
    only_the_namespaces = of_kind(built("base"), "NetworkPolicy")
    cells = matrix(only_the_namespaces, [HEAD, WORKER, SUBMITTER], WAYS)
    assert cells["head"] == cells["worker"] == {"dns:53", "bucket:443"}
    assert cells["submitter"] == {"dns:53"}


def test_a_borrowed_label_opens_nothing_of_another_namespace() -> None:
    ways = [Way(end=HEAD, port=6379), Way(end=HEAD, port=8265), Way(end=WORKER, port=31000)]
    assert matrix(_policies("base"), [ELSEWHERE], ways) == {"pod elsewhere": set()}


def test_only_the_operator_of_its_own_namespace_is_the_operator() -> None:
    way = Way(end=HEAD, port=8265)
    impostor = replace(OPERATOR, name="impostor", namespace="another")
    assert matrix(_policies("base"), [OPERATOR, impostor], [way]) == {"operator": {"head:8265"}, "impostor": set()}


@needs_kubectl
def test_on_one_machine() -> None:
    policies = _policies("overlays/one-machine")
    insiders = [HEAD, WORKER, OTHER_HEAD, SUBMITTER, STRANGER]
    assert matrix(policies, insiders, ON_ONE_MACHINE) == {
        "head": {"machine:53", "machine:6443", "emulator:4443"},
        "worker": {"machine:53", "emulator:4443"},
        "other head": {"machine:53", "emulator:4443"},
        "submitter": {"machine:53"},
        "stranger": {"machine:53"},
    }
    assert matrix(policies, [MACHINE, OPERATOR], [Way(end=HEAD, port=8265), Way(end=HEAD, port=6379)]) == {
        "machine": {"head:8265"},
        "operator": set(),
    }
    _differs_from_the_base_in_nothing_else(policies)


@needs_kubectl
def test_on_gke() -> None:
    policies = _policies("overlays/gke")
    dns = {"node's dns:53", "cache's pod:53", "metadata server:53"}
    identity = {"metadata server:80", "metadata server's other address:988"}
    assert matrix(policies, [HEAD, WORKER, OTHER_HEAD, SUBMITTER, STRANGER], ON_GKE) == {
        "head": {*dns, *identity, "api server:443"},
        "worker": dns | identity,
        "other head": dns | identity,
        "submitter": dns,
        "stranger": dns,
    }
    collector = replace(
        ELSEWHERE, name="collector", namespace="gmp-system", labels={"app.kubernetes.io/name": "collector"}
    )
    metrics = [Way(end=HEAD, port=8080), Way(end=WORKER, port=8080), Way(end=HEAD, port=6379)]
    assert matrix(policies, [collector], metrics) == {"collector": {"head:8080", "worker:8080"}}
    _differs_from_the_base_in_nothing_else(policies)


@needs_kubectl
@pytest.mark.parametrize(("folder", "ways"), [("overlays/one-machine", ON_ONE_MACHINE), ("overlays/gke", ON_GKE)])
def test_each_rule_of_an_overlay_is_missed(folder: str, ways: tuple[Way, ...]) -> None:
    policies = _policies(folder)
    own = {policy["metadata"]["name"] for policy in _policies("base")}
    added = [rule for rule in rules(policies) if rule[0] not in own]
    insiders = [HEAD, WORKER, OTHER_HEAD, SUBMITTER, STRANGER]
    assert added
    for rule in added:
        assert matrix(without(policies, rule), insiders, ways) != matrix(policies, insiders, ways), rule


def _differs_from_the_base_in_nothing_else(policies: list[dict[str, Any]]) -> None:
    insiders = [source for source in SOURCES if source.namespace == NAMESPACE]
    assert matrix(policies, insiders, WAYS) == matrix(_policies("base"), insiders, WAYS)

"""The rules of NetworkPolicies that the tables rest on, each by itself."""

from typing import Any

import pytest

from tests.support.reachability import End, Way, end_of, is_open, without

A = End(name="a", address="10.0.0.1", namespace="here", labels={"app": "a"})
B = End(name="b", address="10.0.0.2", namespace="here", labels={"app": "b"}, ports={"http": 8000})
AWAY = End(name="away", address="10.0.0.3", namespace="there", labels={"app": "a"}, namespace_labels={"team": "x"})
OUTSIDE = End(name="outside", address="192.0.2.7")
TO_B, TO_OUTSIDE = Way(end=B, port=8000), Way(end=OUTSIDE, port=443)


def _policy(name: str = "policy", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "here"}, "spec": {"podSelector": {}, **spec}}


def _from(*peers: dict[str, Any], ports: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return _policy(ingress=[{"from": list(peers), **({"ports": ports} if ports else {})}])


def test_nothing_is_shut_without_policies() -> None:
    assert is_open([], A, TO_B)
    assert is_open([], OUTSIDE, TO_B)
    assert is_open([], A, TO_OUTSIDE)


def test_both_ends_must_allow() -> None:
    deny = _policy(policyTypes=["Ingress", "Egress"])
    lets_in = _policy(podSelector={"matchLabels": {"app": "b"}}, ingress=[{}])
    lets_out = _policy(podSelector={"matchLabels": {"app": "a"}}, policyTypes=["Egress"], egress=[{}])
    assert not is_open([deny, lets_in], A, TO_B)
    assert not is_open([deny, lets_out], A, TO_B)
    assert is_open([deny, lets_in, lets_out], A, TO_B)
    assert not is_open([deny, lets_in, lets_out], B, Way(end=A, port=8000))


def test_directions_that_are_not_named_follow_from_the_rules() -> None:
    assert not is_open([_policy()], A, TO_B)  # Ingress always
    assert is_open([_policy()], A, TO_OUTSIDE)
    assert not is_open([_policy(egress=[{"to": [{"podSelector": {}}]}])], A, TO_OUTSIDE)


def test_a_pod_reaches_itself_and_other_namespaces_are_not_held() -> None:
    deny = _policy(policyTypes=["Ingress", "Egress"])
    assert is_open([deny], B, TO_B)
    assert is_open([deny], AWAY, TO_OUTSIDE)


@pytest.mark.parametrize(
    ("peer", "who"),
    [
        ({"podSelector": {}}, {"a"}),
        ({"podSelector": {"matchLabels": {"app": "a"}}}, {"a"}),
        ({"namespaceSelector": {}}, {"a", "away"}),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "there"}}}, {"away"}),
        ({"namespaceSelector": {"matchLabels": {"team": "x"}}, "podSelector": {"matchLabels": {"app": "b"}}}, set()),
        ({"ipBlock": {"cidr": "192.0.2.0/24"}}, {"outside"}),
        ({"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}, {"outside"}),
        ({"ipBlock": {"cidr": "::/0"}}, set()),
    ],
)
def test_peers(peer: dict[str, Any], who: set[str]) -> None:
    assert {end.name for end in (A, AWAY, OUTSIDE) if is_open([_from(peer)], end, TO_B)} == who


@pytest.mark.parametrize(
    ("port", "is_right"),
    [
        ({"port": 8000}, True),
        ({"port": 8001}, False),
        ({"protocol": "UDP", "port": 8000}, False),
        ({"protocol": "TCP"}, True),
        ({"port": 7000, "endPort": 9000}, True),
        ({"port": 7000, "endPort": 7999}, False),
        ({"port": "http"}, True),
        ({"port": "metrics"}, False),
    ],
)
def test_ports(port: dict[str, Any], is_right: bool) -> None:
    assert is_open([_from({"podSelector": {}}, ports=[port])], A, TO_B) is is_right


@pytest.mark.parametrize(
    ("expression", "is_selected"),
    [
        ({"key": "app", "operator": "In", "values": ["b", "c"]}, True),
        ({"key": "app", "operator": "NotIn", "values": ["b"]}, False),
        ({"key": "tier", "operator": "NotIn", "values": ["x"]}, True),
        ({"key": "app", "operator": "Exists"}, True),
        ({"key": "app", "operator": "DoesNotExist"}, False),
    ],
)
def test_expressions(expression: dict[str, Any], is_selected: bool) -> None:
    deny = _policy(podSelector={"matchExpressions": [expression]})
    assert is_open([deny], A, TO_B) is not is_selected


def test_a_policy_without_its_last_rule_goes_on_isolating() -> None:
    only_outside = _policy(egress=[{"to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}]}], ingress=[{}])
    assert is_open([only_outside], A, TO_OUTSIDE)
    assert not is_open(without([only_outside], ("policy", "egress", 0)), A, TO_OUTSIDE)


def test_a_pod_as_the_api_server_tells_of_it() -> None:
    pod = {
        "metadata": {"name": "b-x", "namespace": "here", "labels": {"app": "b"}},
        "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8000}, {"containerPort": 1}]}]},
        "status": {"podIP": "10.0.0.2"},
    }
    assert end_of(pod, name="b") == B

"""Who reaches whom under NetworkPolicies: the API's semantics, on manifests, for clusters where nothing enforces them.

A policy isolates the pods that it selects, in its directions; what is isolated is reached only by what some policy
allows; a connection needs the leave of both ends. An address block matches whatever has such an address, pods too: in
that enforcers differ, and our policies get the same answer either way, since they leave the clusters' ranges out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

Manifest = Mapping[str, Any]
_NAMESPACE_NAME = "kubernetes.io/metadata.name"  # the API server puts it on every namespace


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A pod, or with no namespace whatever else has an address."""

    name: str
    address: str
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A port of an end."""

    end: End
    port: int
    protocol: str = "TCP"

    @property
    def name(self) -> str:
        return f"{self.end.name}:{self.port}"


def end_of(pod: Manifest, *, name: str = "", namespace_labels: Mapping[str, str] | None = None) -> End:
    """The end that a pod is, as the API server tells of it."""
    metadata, spec = pod["metadata"], pod["spec"]
    ports = [port for container in spec["containers"] for port in container.get("ports", ())]
    return End(
        name=name or metadata["name"],
        address=pod["status"]["podIP"],
        namespace=metadata["namespace"],
        labels=metadata.get("labels", {}),
        namespace_labels=namespace_labels or {},
        ports={port["name"]: port["containerPort"] for port in ports if "name" in port},
    )


def is_open(policies: Sequence[Manifest], source: End, way: Way) -> bool:
    """Whether `source` may open a connection there."""
    if source is way.end:
        return True
    return _allows(policies, "egress", source, way.end, way) and _allows(policies, "ingress", way.end, source, way)


def matrix(policies: Sequence[Manifest], sources: Iterable[End], ways: Sequence[Way]) -> dict[str, set[str]]:
    """For each source the ways that are open to it."""
    return {
        source.name: {way.name for way in ways if way.end is not source and is_open(policies, source, way)}
        for source in sources
    }


def table(cells: Mapping[str, set[str]], ways: Sequence[Way]) -> str:
    """The matrix in Markdown: a row for each source, a column for each way."""
    names = [way.name for way in ways]
    rows = [["from \\ to", *names], ["---"] * (len(names) + 1)]
    rows += [[source, *("yes" if name in open_to else "" for name in names)] for source, open_to in cells.items()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def rules(policies: Sequence[Manifest]) -> list[tuple[str, str, int]]:
    """Every rule as (policy, direction, index), and each policy that has none as (policy, "isolation", 0)."""
    found = []
    for policy in policies:
        name, spec = policy["metadata"]["name"], policy["spec"]
        own = [(name, direction, i) for direction in ("ingress", "egress") for i in range(len(spec.get(direction, ())))]
        found += own or [(name, "isolation", 0)]
    return found


def without(policies: Sequence[Manifest], rule: tuple[str, str, int]) -> list[Manifest]:
    """The policies less one rule; its policy goes on isolating. One that only isolates goes altogether."""
    name, direction, index = rule
    left: list[Manifest] = []
    for policy in policies:
        if policy["metadata"]["name"] != name:
            left.append(policy)
        elif direction != "isolation":
            # the directions are named, since leaving out the last rule would otherwise leave out its direction
            spec = {**policy["spec"], "policyTypes": _directions(policy["spec"])}
            spec[direction] = [rule for i, rule in enumerate(spec[direction]) if i != index]
            left.append({**policy, "spec": spec})
    return left


def _allows(policies: Sequence[Manifest], direction: str, held: End, other: End, way: Way) -> bool:
    """Whether the end that policies hold may have this connection, outwards (egress) or inwards (ingress)."""
    holding = [
        policy["spec"]
        for policy in policies
        if held.namespace is not None
        and policy["metadata"]["namespace"] == held.namespace
        and direction.capitalize() in _directions(policy["spec"])
        and _selects(policy["spec"].get("podSelector") or {}, held.labels)
    ]
    peers = "to" if direction == "egress" else "from"
    return not holding or any(
        (not rule.get(peers) or any(_is_peer(peer, held.namespace, other) for peer in rule[peers]))
        and (not rule.get("ports") or any(_is_port(port, way) for port in rule["ports"]))
        for spec in holding
        for rule in spec.get(direction) or ()
    )


def _directions(spec: Manifest) -> list[str]:
    return list(spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])])


def _is_peer(peer: Manifest, namespace: str | None, other: End) -> bool:
    if "ipBlock" in peer:
        return _holds(peer["ipBlock"]["cidr"], other.address) and not any(
            _holds(block, other.address) for block in peer["ipBlock"].get("except", ())
        )
    if other.namespace is None:
        return False
    if "namespaceSelector" in peer:
        labels = {_NAMESPACE_NAME: other.namespace, **other.namespace_labels}
        in_namespace = _selects(peer["namespaceSelector"], labels)
    else:
        in_namespace = other.namespace == namespace
    return in_namespace and _selects(peer.get("podSelector") or {}, other.labels)


def _holds(block: str, address: str) -> bool:
    return ip_address(address) in ip_network(block)


def _is_port(port: Manifest, way: Way) -> bool:
    if port.get("protocol", "TCP") != way.protocol:
        return False
    first = port.get("port")
    if isinstance(first, str):  # a name is one of the end's that is called, in either direction
        return way.end.ports.get(first) == way.port
    return first is None or first <= way.port <= port.get("endPort", first)


def _selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items()) and all(
        _matches(expression, labels) for expression in selector.get("matchExpressions") or ()
    )


def _matches(expression: Manifest, labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values", ())
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    raise ValueError(f"no such operator in a label selector: {expression['operator']}")

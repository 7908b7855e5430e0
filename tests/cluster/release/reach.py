"""Who reaches whom by a release's own policies, with the labels that its real pods have.

Nothing here enforces them: tests/support/reachability.py computes it. tests/unit/helm/test_network.py has the whole
table, by labels that it writes down itself.
"""

import yaml

from tests.cluster.release.ops import RELEASE, Ops
from tests.support.reachability import End, Way, end_of, matrix, rules, without

_PODS = ("head", "workers", "sweep")
_MACHINE = End(name="machine", address="10.123.0.1")
"""The operator and DNS are processes there."""
_BUCKET, _WEB = End(name="bucket", address="142.250.1.128"), End(name="web", address="93.184.215.15")
_PROMETHEUS = End(
    name="prometheus", address="10.123.9.1", namespace="monitoring", labels={"app.kubernetes.io/name": "prometheus"}
)


def assert_reach(ops: Ops) -> None:
    """That the release's pods, one of each kind, reach what they need and nothing else, and that no rule is idle."""
    pods = ops.api.items(ops.namespace.path("pods"))
    found = {pod["metadata"]["labels"].get("app.kubernetes.io/component"): pod for pod in pods}
    ends = {name: end_of(found[name], name=name) for name in _PODS}
    ends["test"] = _test_end(ops)
    stranger = End(name="stranger", address="10.123.9.2", namespace=ops.namespace.name)
    emulator = End(name="gcs", address="10.123.9.3", namespace="elsewhere", labels={"app": "gcs"})
    ways = [
        Way(end=ends["head"], port=8265),
        Way(end=ends["head"], port=6379),
        Way(end=ends["head"], port=8000),
        Way(end=ends["workers"], port=8000),
        Way(end=ends["workers"], port=8080),
        Way(end=ends["workers"], port=31000),
        Way(end=ends["sweep"], port=8000),
        Way(end=ends["test"], port=8000),
        Way(end=_MACHINE, port=53, protocol="UDP"),
        Way(end=_BUCKET, port=443),
        Way(end=_WEB, port=80),
        Way(end=emulator, port=4443),
    ]
    sources = [*ends.values(), stranger, _PROMETHEUS, _MACHINE]
    policies = ops.api.items(ops.namespace.path("networkpolicies", group="networking.k8s.io/v1"))
    outside = {"machine:53", "bucket:443", "gcs:4443"}
    page, everything = {"head:8000", "workers:8000"}, outside | {"web:80"}
    assert matrix(policies, sources, ways) == {
        "head": {"workers:8000", "workers:8080", "workers:31000"} | outside,
        "workers": {"head:8265", "head:6379", "head:8000"} | outside,
        "sweep": outside,
        "test": page | {"machine:53"},
        "stranger": page | everything,
        "prometheus": page | everything | {"workers:8080"},
        "machine": page | (everything - {"machine:53"}) | {"head:8265"},
    }
    before = matrix(policies, sources, ways)
    idle = [rule for rule in rules(policies) if matrix(without(policies, rule), sources, ways) == before]
    assert not idle, "rules by which nothing changes"


def _test_end(ops: Ops) -> End:
    """The pod of `helm test`, which is gone by now, by what helm keeps of it."""
    (pod,) = (each for each in yaml.safe_load_all(ops.helm("get", "hooks", RELEASE).out) if each["kind"] == "Pod")
    return End(name="test", address="10.123.9.4", namespace=ops.namespace.name, labels=pod["metadata"]["labels"])

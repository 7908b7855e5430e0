"""Who reaches whom: computed from the chart's policies, written down as a table, each rule missed when it is gone."""

from dataclasses import replace

import pytest

from tests.support.chart import NAMESPACE, README, manifests
from tests.support.reachability import End, Way, matrix, rules, table, without

RELEASE = "walks-momalisa"


def ray(name: str, number: int, component: str, *, cluster: str = "blue", namespace: str = NAMESPACE) -> End:
    """A pod as KubeRay labels it, and the chart."""
    labels = {
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/created-by": "kuberay-operator",
        "app.kubernetes.io/name": "kuberay",
        "app.kubernetes.io/part-of": "momalisa",
        "momalisa.dev/release": RELEASE,
        "ray.io/cluster": f"{RELEASE}-{cluster}",
        "ray.io/is-ray-node": "yes",
        "ray.io/node-type": "head" if component == "head" else "worker",
    }
    return End(name=name, address=f"10.123.0.{number}", namespace=namespace, labels=labels)


def pod(name: str, number: int, namespace: str, labels: dict[str, str]) -> End:
    return End(name=name, address=f"10.123.0.{number}", namespace=namespace, labels=labels)


def own(name: str, number: int) -> End:
    return pod(name, number, NAMESPACE, {"momalisa.dev/release": RELEASE, "app.kubernetes.io/component": name})


HEAD, WORKER, RENDERER = ray("head", 10, "head"), ray("worker", 11, "workers"), ray("renderer", 12, "renderer")
NEXT = ray("worker of the next cluster", 13, "workers", cluster="green")
TEST, SWEEP = own("test", 14), own("sweep", 15)
STRANGER = pod("stranger", 16, NAMESPACE, {"app": "stranger"})
REDIS = pod("redis", 17, NAMESPACE, {"app": "redis"})
IMPOSTOR = ray("pod elsewhere", 18, "workers", namespace="another")
OPERATOR = End(
    name="operator", address="10.123.1.1", namespace="kuberay", labels={"app.kubernetes.io/name": "kuberay-operator"}
)
PROMETHEUS = End(
    name="prometheus", address="10.123.1.2", namespace="monitoring", labels={"app.kubernetes.io/name": "prometheus"}
)
DNS = End(name="dns", address="10.123.1.3", namespace="kube-system", labels={"k8s-app": "kube-dns"})
VISITOR = End(name="visitor", address="93.184.215.14")
BUCKET, WEB = End(name="bucket", address="142.250.1.128"), End(name="web", address="93.184.215.15")
API_SERVER = End(name="api server", address="10.124.0.1")

SOURCES = (HEAD, WORKER, RENDERER, NEXT, TEST, SWEEP, STRANGER, IMPOSTOR, OPERATOR, PROMETHEUS, VISITOR)
WAYS = (
    Way(end=HEAD, port=8265),
    Way(end=HEAD, port=10001),
    Way(end=HEAD, port=8000),
    Way(end=WORKER, port=8000),
    Way(end=RENDERER, port=8000),
    Way(end=WORKER, port=8080),
    Way(end=RENDERER, port=31000),
    Way(end=TEST, port=8000),
    Way(end=DNS, port=53, protocol="UDP"),
    Way(end=BUCKET, port=443),
    Way(end=WEB, port=80),
    Way(end=API_SERVER, port=443),
    Way(end=REDIS, port=6379),
)
VALUES = ('bucket.uri="gs://b/p"', "sweep.enabled=true")
# fmt: off
TABLE = """\
| from \\ to | head:8265 | head:10001 | head:8000 | worker:8000 | renderer:8000 | worker:8080 | renderer:31000 | test:8000 | dns:53 | bucket:443 | web:80 | api server:443 | redis:6379 |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| head |  |  |  | yes | yes | yes | yes |  | yes | yes |  | yes |  |
| worker | yes | yes | yes |  | yes |  | yes |  | yes | yes |  |  |  |
| renderer | yes | yes | yes | yes |  | yes |  |  | yes | yes |  |  |  |
| worker of the next cluster | yes | yes | yes | yes | yes | yes | yes |  | yes | yes |  |  |  |
| test |  |  | yes | yes |  |  |  |  | yes |  |  |  |  |
| sweep |  |  |  |  |  |  |  |  | yes | yes |  |  |  |
| stranger |  |  | yes | yes |  |  |  |  | yes | yes | yes | yes | yes |
| pod elsewhere |  |  | yes | yes |  |  |  |  | yes | yes | yes | yes | yes |
| operator | yes |  | yes | yes |  |  |  |  | yes | yes | yes | yes | yes |
| prometheus |  |  | yes | yes |  | yes |  |  | yes | yes | yes | yes | yes |
| visitor |  |  | yes | yes |  |  |  |  | yes | yes | yes | yes | yes |"""  # noqa: E501
# fmt: on


def policies(*values: str) -> list[dict[str, object]]:
    return [each for each in manifests("", *VALUES, *values) if each["kind"] == "NetworkPolicy"]


def changed(*values: str) -> set[str]:
    """Ways that differ from those of the default values."""
    before, after = matrix(policies(), SOURCES, WAYS), matrix(policies(*values), SOURCES, WAYS)
    return {f"{name} > {way}" for name in before for way in before[name] ^ after[name]}


def test_who_reaches_whom() -> None:
    assert table(matrix(policies(), SOURCES, WAYS), WAYS) == TABLE


def test_the_readme_shows_the_same_table() -> None:
    assert TABLE in README.read_text()


def test_every_rule_is_missed() -> None:
    everything = policies()
    before = matrix(everything, SOURCES, WAYS)
    for rule in rules(everything):
        assert matrix(without(everything, rule), SOURCES, WAYS) != before, rule


def test_only_named_clients_and_the_chart_s_own() -> None:
    clients = '[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"ingress-nginx"}}}]'
    names = ("stranger", "pod elsewhere", "visitor")
    strangers = {f"{name} > {way}:8000" for name in names for way in ("head", "worker")}
    # The operator asks the head's proxy, Prometheus both, and helm's test comes as a visitor does.
    assert changed(f"networkPolicy.clients={clients}") == strangers | {"operator > worker:8000"}


def test_without_an_autoscaler_nobody_speaks_to_the_api_server() -> None:
    groups = 'rendererGroups=[{"name":"gpu","gpus":1,"replicas":1}]'
    assert changed("autoscaling.enabled=false", groups) == {"head > api server:443"}


def test_redis_is_reached_where_it_keeps_ray_s_tables() -> None:
    redis = 'gcsFaultTolerance={"enabled":true,"redisAddress":"redis:6379"}'
    assert changed(redis) == {f"{name} > redis:6379" for name in ("head", "worker", "renderer", NEXT.name)}


@pytest.mark.parametrize("source", [OPERATOR, PROMETHEUS])
def test_a_name_alone_is_not_enough(source: End) -> None:
    impostor = replace(source, name="impostor", namespace="another")
    ways = [Way(end=HEAD, port=8265), Way(end=WORKER, port=8080)]
    assert matrix(policies(), [impostor], ways) == {"impostor": set()}


def test_gke_s_own_servers() -> None:
    metadata = End(name="metadata", address="169.254.169.254")
    ways = [Way(end=metadata, port=80), Way(end=metadata, port=53, protocol="UDP")]
    insiders = [HEAD, WORKER, RENDERER, SWEEP, TEST]
    assert all(not open_to for open_to in matrix(policies(), insiders, ways).values())
    cells = matrix(policies("networkPolicy.gke=true"), insiders, ways)
    assert cells.pop("test") == {"metadata:53"}
    assert all(open_to == {"metadata:80", "metadata:53"} for open_to in cells.values())


# NodeLocal DNSCache, as Dataplane V2 sees it and as others do; with Calico a pod's way is to the Service.
DNS_POD = End(name="cache", address="10.128.0.5", namespace="kube-system", labels={"k8s-app": "node-local-dns"})
CALICO = 'networkPolicy.dns=[{"ipBlock":{"cidr":"34.118.224.10/32"}}]'


@pytest.mark.parametrize(
    ("cache", "value"),
    [
        (DNS_POD, "networkPolicy.gke=true"),
        (End(name="cache", address="169.254.20.10"), "networkPolicy.gke=true"),
        (End(name="cache", address="34.118.224.10"), CALICO),
    ],
)
def test_names_are_found_by_the_node_s_cache(cache: End, value: str) -> None:
    insiders = [HEAD, WORKER, RENDERER, SWEEP, TEST]
    ways = [Way(end=cache, port=53, protocol=protocol) for protocol in ("UDP", "TCP")]
    assert all(not open_to for open_to in matrix(policies(), insiders, ways).values())
    assert all(open_to == {"cache:53"} for open_to in matrix(policies(value), insiders, ways).values())

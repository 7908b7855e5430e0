"""Pods as KubeRay labels them, two jobs' and their neighbours', for asking policies about them."""

from momalisa.cluster.isolation import AUTOSCALED_LABEL
from tests.support.reachability import End, Way

NAMESPACE = "momalisa"
PAINTING, WALKING = "painting", "walking"


def ray_labels(run: str, node_type: str) -> dict[str, str]:
    """The labels of a head or worker: what KubeRay 1.6 sets, and what our manifests add."""
    cluster = f"{run}-x7k2p"
    return {
        **({"ray.io/worker-group-replica-index": "0"} if node_type == "worker" else {}),
        "app.kubernetes.io/created-by": "kuberay-operator",
        "app.kubernetes.io/managed-by": "momalisa",
        "app.kubernetes.io/name": "kuberay",
        "momalisa.dev/run": run,
        "ray.io/cluster": cluster,
        "ray.io/group": "headgroup" if node_type == "head" else "workers",
        "ray.io/identifier": f"{cluster}-{node_type}",
        "ray.io/is-ray-node": "yes",
        "ray.io/node-type": node_type,
    }


def submitter_labels(run: str) -> dict[str, str]:
    """The labels of the pod of the Kubernetes Job that submits."""
    return {
        "app.kubernetes.io/managed-by": "momalisa",
        "batch.kubernetes.io/job-name": run,
        "job-name": run,
        "momalisa.dev/run": run,
    }


def _pod(name: str, number: int, labels: dict[str, str], namespace: str = NAMESPACE) -> End:
    return End(name=name, address=f"10.123.0.{number}", namespace=namespace, labels=labels)


# The first job scales itself, the second does not.
HEAD = _pod("head", 10, {**ray_labels(PAINTING, "head"), AUTOSCALED_LABEL: "true"})
WORKER = _pod("worker", 11, ray_labels(PAINTING, "worker"))
SECOND_WORKER = _pod("second worker", 13, ray_labels(PAINTING, "worker"))
SUBMITTER = _pod("submitter", 12, submitter_labels(PAINTING))
OTHER_HEAD = _pod("other head", 20, ray_labels(WALKING, "head"))
OTHER_WORKER = _pod("other worker", 21, ray_labels(WALKING, "worker"))
OTHER_SUBMITTER = _pod("other submitter", 22, submitter_labels(WALKING))
STRANGER = _pod("stranger", 30, {"app": "stranger"})
ELSEWHERE = _pod("pod elsewhere", 40, ray_labels(PAINTING, "worker"), namespace="another")
OPERATOR = _pod("operator", 50, {"app.kubernetes.io/name": "kuberay-operator"}, namespace="kuberay")
PROMETHEUS = _pod("prometheus", 51, {"app.kubernetes.io/name": "prometheus"}, namespace="monitoring")
DNS = _pod("dns", 52, {"k8s-app": "kube-dns"}, namespace="kube-system")

BUCKET = End(name="bucket", address="142.250.1.128")
WEB = End(name="web", address="93.184.215.14")
INTERNAL = End(name="internal", address="10.1.2.3")

SOURCES = (
    HEAD,
    WORKER,
    SUBMITTER,
    OTHER_HEAD,
    OTHER_WORKER,
    OTHER_SUBMITTER,
    STRANGER,
    ELSEWHERE,
    OPERATOR,
    PROMETHEUS,
)
# 31000 stands for the ports that Ray and collectives choose themselves.
WAYS = (
    Way(end=HEAD, port=8265),
    Way(end=HEAD, port=6379),
    Way(end=HEAD, port=8080),
    Way(end=WORKER, port=31000),
    Way(end=WORKER, port=8080),
    Way(end=SECOND_WORKER, port=31000),
    Way(end=OTHER_HEAD, port=8265),
    Way(end=OTHER_WORKER, port=31000),
    Way(end=SUBMITTER, port=31000),
    Way(end=STRANGER, port=8000),
    Way(end=DNS, port=53, protocol="UDP"),
    Way(end=BUCKET, port=443),
    Way(end=WEB, port=80),
    Way(end=INTERNAL, port=443),
)

"""k8s/ on a namespace of a test, and a RayJob that may run there."""

import copy
from typing import Any

from momalisa.cluster.isolation import AUTOSCALED_LABEL
from tests.cluster.api import Api, ApiError, Manifest
from tests.cluster.waiting import wait_for
from tests.support.kustomized import built, named

OVERLAY = "overlays/one-machine"
FOREIGN_SECRET = {"secretKeyRef": {"name": "foreign", "key": "token"}}
API_TOKEN = {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
_UNPROCESSABLE = 422


def apply_to_cluster(api: Api) -> list[str]:
    """What k8s/cluster has, where it is missing; returns the paths of what was made."""
    made = []
    for manifest in built("cluster"):
        path = _path(manifest)
        if api.find(path) is None:
            made.append(path)
        api.apply(manifest)
    return made


def apply_to_namespace(api: Api, namespace: str, *, images: str) -> None:
    """All of the overlay that belongs to a namespace; returns when the admission policies hold there."""
    origin = named(built(OVERLAY), "Namespace", "momalisa")["metadata"]
    api.patch(
        f"/api/v1/namespaces/{namespace}",
        {"metadata": {"labels": origin["labels"], "annotations": origin["annotations"]}},
    )
    for original in built(OVERLAY):
        if "namespace" in original["metadata"]:
            api.apply(_moved(original, namespace))
    allow(api, namespace, images=images)
    foreign = pod("probe", "foreign/image")
    wait_for("the admission policies hold", lambda: "not an image" in _refusal(api, namespace, foreign), deadline_s=30)
    wait_for("what is allowed is known", lambda: not _refusal(api, namespace, pod("probe", images)), deadline_s=30)
    wait_for("the quota is counted", lambda: is_counted(api, namespace), deadline_s=60)


def allow(api: Api, namespace: str, **lists: str) -> None:
    """Changes what jobs may hold: `secrets="a\\nb"`."""
    annotations = {f"momalisa.dev/allowed-{what.replace('_', '-')}": names for what, names in lists.items()}
    api.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"annotations": annotations}})


def repository(image: str) -> str:
    """An image's name without its tag."""
    return image.rpartition(":")[0] if ":" in image.rpartition("/")[2] else image


def refusal_of(api: Api, manifest: Manifest, namespace: str, word: str) -> str:
    """What is wrong with how the admission policies refused it; nothing if they did, saying `word`."""
    try:
        api.create(manifest, namespace=namespace, dryRun="All")
    except ApiError as e:
        return "" if e.status == _UNPROCESSABLE and word in str(e) else f"refused otherwise: {e}"
    return "taken"


def wait_until_refused(api: Api, manifest: Manifest, namespace: str, word: str) -> None:
    """What is allowed has just changed."""
    refused = lambda: not refusal_of(api, manifest, namespace, word)  # noqa: E731
    wait_for(f"refused: {word}", refused, deadline_s=20)


def rayjob(image: str, *, name: str = "painting", entrypoint: str = "true") -> Manifest:
    """One that Pod Security, the quota and the admission policies take: a head, a worker, a submitter."""
    cluster = {
        "rayVersion": "2.60.0",
        "authOptions": {"mode": "token"},
        "headGroupSpec": {"rayStartParams": {}, "template": _template(name, "head", image)},
        "workerGroupSpecs": [
            {
                "groupName": "workers",
                "replicas": 1,
                "minReplicas": 1,
                "maxReplicas": 1,
                "rayStartParams": {},
                "template": _template(name, "worker", image),
            }
        ],
    }
    submitter = _template(name, "submitter", image, memory="512Mi")
    submitter["spec"]["restartPolicy"] = "Never"
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": name, "labels": _labels(name)},
        "spec": {
            "entrypoint": entrypoint,
            "preRunningDeadlineSeconds": 300,
            "backoffLimit": 0,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": 600,
            "submitterPodTemplate": submitter,
            "rayClusterSpec": cluster,
        },
    }


def suspended_rayjob(image: str) -> Manifest:
    """One that makes no pods."""
    job = rayjob(image)
    job["spec"]["suspend"] = True
    return job


def make_autoscaled(job: Manifest, image: str) -> None:
    """Workers from none, and the API's token in the autoscaler's container alone."""
    cluster = job["spec"]["rayClusterSpec"]
    cluster["enableInTreeAutoscaling"] = True
    head = cluster["headGroupSpec"]["template"]
    container = head["spec"]["containers"][0]
    token = {"name": "api", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}
    cluster["autoscalerOptions"] = {
        "version": "v2",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "idleTimeoutSeconds": 10,
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        "securityContext": container["securityContext"],
        "env": container["env"],
        "volumeMounts": [*container["volumeMounts"], token],
    }
    head["metadata"]["labels"][AUTOSCALED_LABEL] = "true"
    head["spec"]["serviceAccountName"] = "momalisa-autoscaled"
    head["spec"]["volumes"] = [*head["spec"]["volumes"], {"name": "api", "projected": {"sources": _api_access()}}]
    cluster["workerGroupSpecs"][0] |= {"replicas": 0, "minReplicas": 0}


def pod(name: str, image: str, **spec: Any) -> Manifest:
    """A pod of nobody's, fit for Pod Security, that may run if its image may."""
    template = _template(name, "main", image)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {}},
        "spec": template["spec"] | {"restartPolicy": "Never"} | spec,
    }


def with_volume(spec: Manifest, source: Manifest) -> None:
    """A volume more, mounted by the first container."""
    spec["volumes"] = [*spec["volumes"], {"name": "more", **source}]
    container = spec["containers"][0]
    container["volumeMounts"] = [*container["volumeMounts"], {"name": "more", "mountPath": "/more"}]


def _template(run: str, container: str, image: str, *, memory: str = "3Gi") -> Manifest:
    mounts = [{"name": name, "mountPath": path} for name, path in (("tmp", "/tmp"), ("home", "/home/momalisa"))]
    return {
        "metadata": {"labels": _labels(run)},
        "spec": {
            "serviceAccountName": "momalisa-job",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "fsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": container,
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "env": [{"name": "HOME", "value": "/home/momalisa"}],
                    "resources": {
                        "requests": {"cpu": "100m", "memory": "256Mi"},
                        "limits": {"cpu": "1", "memory": memory},
                    },
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": mounts,
                }
            ],
            "volumes": [{"name": name, "emptyDir": {}} for name in ("tmp", "home")],
        },
    }


def _labels(run: str) -> dict[str, str]:
    return {"app.kubernetes.io/managed-by": "momalisa", "momalisa.dev/run": run}


def _api_access() -> list[Manifest]:
    return [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]


def _path(manifest: Manifest) -> str:
    plural = {
        "PriorityClass": "priorityclasses",
        "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
        "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
    }[manifest["kind"]]
    return f"/apis/{manifest['apiVersion']}/{plural}/{manifest['metadata']['name']}"


def _moved(original: Manifest, namespace: str) -> Manifest:
    manifest = copy.deepcopy(original)
    manifest["metadata"]["namespace"] = namespace
    for subject in manifest.get("subjects", ()):
        if subject["kind"] == "ServiceAccount":
            subject["namespace"] = namespace
    return manifest


def _refusal(api: Api, namespace: str, manifest: Manifest) -> str:
    try:
        api.create(manifest, namespace=namespace, dryRun="All")
    except ApiError as e:
        return str(e)
    return ""


def is_counted(api: Api, namespace: str) -> bool:
    """Until it is so, the API server refuses what a quota counts with "status unknown for quota"."""
    quotas = api.items(f"/api/v1/namespaces/{namespace}/resourcequotas")
    statuses = [(quota["spec"]["hard"], quota.get("status", {})) for quota in quotas]
    return all(status.get("hard") == hard and hard.keys() <= status.get("used", {}).keys() for hard, status in statuses)

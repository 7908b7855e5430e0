"""The cluster is what it claims to be, and runs momalisa's image with KubeRay, under Pod Security "restricted"."""

import re
import shlex
from typing import Any

import pytest

from tests.cluster.api import Api, ApiError, Manifest, path_to
from tests.cluster.cluster import GPU
from tests.cluster.gcs import ClusterGcs
from tests.cluster.handles import ClusterUnderTest, Namespace
from tests.cluster.images import image_versions
from tests.cluster.users import grant

_POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "runAsGroup": 1000,
    "fsGroup": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_WRITABLE = {"tmp": "/tmp", "home": "/home/momalisa", "shm": "/dev/shm"}


def pod_spec(image: str, name: str, *, cpu: str, memory: str, num_gpus: int = 0, **fields: Any) -> Manifest:
    """A pod of one container of momalisa's image, that "restricted" lets in."""
    limits = {"memory": memory} | ({GPU: str(num_gpus)} if num_gpus else {})
    container = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "resources": {"requests": {"cpu": cpu, "memory": "256Mi"}, "limits": limits},
        "securityContext": _CONTAINER_SECURITY,
        "volumeMounts": [{"name": volume, "mountPath": path} for volume, path in _WRITABLE.items()],
    }
    volumes = [{"name": "tmp", "emptyDir": {}}, {"name": "home", "emptyDir": {}}]
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 5,
        "securityContext": _POD_SECURITY,
        "containers": [container | fields],
        "volumes": [*volumes, {"name": "shm", "emptyDir": {"medium": "Memory"}}],
    }


def pod(image: str, name: str, script: str, env: dict[str, str] | None = None) -> Manifest:
    """Runs Python in the image."""
    variables = [{"name": key, "value": value} for key, value in (env or {}).items()]
    spec = pod_spec(image, "main", cpu="100m", memory="2Gi", command=["python", "-c", script], env=variables)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def ray_job(image: str, name: str, script: str) -> Manifest:
    """A head, and one worker with a GPU; the cluster goes when the job is done."""
    head = pod_spec(image, "head", cpu="200m", memory="3Gi")
    worker = pod_spec(image, "worker", cpu="200m", memory="3Gi", num_gpus=1)
    group = {"groupName": "workers", "replicas": 1, "minReplicas": 1, "maxReplicas": 1, "rayStartParams": {}}
    spec = {
        "entrypoint": f"python -c {shlex.quote(script)}",
        "preRunningDeadlineSeconds": 300,
        "activeDeadlineSeconds": 600,
        "backoffLimit": 0,
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": 0,
        "submitterPodTemplate": {"spec": pod_spec(image, "submitter", cpu="50m", memory="1Gi")},
        "rayClusterSpec": {
            "rayVersion": image_versions()["RAY_VERSION"],
            "authOptions": {"mode": "token"},
            "headGroupSpec": {"rayStartParams": {}, "template": {"spec": head}},
            "workerGroupSpecs": [group | {"template": {"spec": worker}}],
        },
    }
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": name}, "spec": spec}


def log_of(namespace: Namespace, name: str) -> str:
    return namespace.api.text(namespace.path("pods", name) + "/log")


def run_pod(namespace: Namespace, manifest: Manifest) -> str:
    """Its output, once it succeeded."""
    name = manifest["metadata"]["name"]
    namespace.api.create(manifest, namespace=namespace.name)

    def phase() -> str | None:
        found: str = namespace.api.get(namespace.path("pods", name))["status"].get("phase", "")
        return found if found in ("Succeeded", "Failed") else None

    ended = namespace.wait_for(f"pod {name} ends", phase, deadline_s=120)
    assert ended == "Succeeded", namespace.story()
    return log_of(namespace, name)


@pytest.mark.usefixtures("operator")
def test_ray_job_with_a_gpu_succeeds(cluster: ClusterUnderTest, namespace: Namespace) -> None:
    script = "import ray; ray.init(); print('resources', ray.cluster_resources())"
    job = ray_job(cluster.image, "hello", script)
    namespace.api.create(job, namespace=namespace.name)
    path = path_to(job, namespace.name)

    def ended() -> Manifest | None:
        status: Manifest = namespace.api.get(path).get("status", {})
        return status if status.get("jobDeploymentStatus") in ("Complete", "Failed", "ValidationFailed") else None

    status = namespace.wait_for("the RayJob ends", ended, deadline_s=300)
    assert (status["jobDeploymentStatus"], status["jobStatus"]) == ("Complete", "SUCCEEDED"), namespace.story()
    submitters = namespace.api.items(namespace.path("pods"), labelSelector="batch.kubernetes.io/job-name=hello")
    log = log_of(namespace, submitters[0]["metadata"]["name"])
    assert re.search(r"resources .*'GPU': 1\.0", log), log
    clusters = namespace.path("rayclusters", group="ray.io/v1")
    namespace.wait_for("its cluster is gone", lambda: not namespace.api.items(clusters), deadline_s=60)


def test_image_is_what_its_labels_say(cluster: ClusterUnderTest, namespace: Namespace) -> None:
    script = (
        "import os, sys, shutil, importlib.metadata as m\n"
        "import momalisa, torch\n"
        "print(os.getuid(), os.getgid(), os.getcwd(), m.version('ray'), m.version('momalisa'))\n"
        "print(sorted(os.listdir('.')), shutil.which('wget'), sys.prefix)\n"
        "try: open('/app/x', 'w')\n"
        "except OSError as e: print(e.strerror)"
    )
    lines = run_pod(namespace, pod(cluster.image, "look", script)).splitlines()
    versions = image_versions()
    assert lines[0] == f"1000 1000 /app {versions['RAY_VERSION']} {versions['MOMALISA_VERSION']}"
    assert lines[1] == "['jobs', 'serve'] /usr/bin/wget /opt/momalisa"
    assert lines[2] == "Read-only file system"


def test_pods_and_this_machine_share_storage(cluster: ClusterUnderTest, namespace: Namespace, gcs: ClusterGcs) -> None:
    bucket = gcs.create_bucket()
    script = f"import gcsfs; gcsfs.GCSFileSystem().pipe_file('{bucket}/of-a-pod', b'x' * 9_000_000); print('written')"
    assert run_pod(namespace, pod(cluster.image, "write", script, gcs.pod_environment)).strip() == "written"
    assert gcs.names(bucket) == ["of-a-pod"]
    assert len(gcs.read(f"{bucket}/of-a-pod")) == 9_000_000


def test_restricted_namespace_refuses_root(cluster: ClusterUnderTest, namespace: Namespace) -> None:
    manifest = pod(cluster.image, "root", "print()")
    manifest["spec"]["securityContext"] = {}
    with pytest.raises(ApiError, match="violates PodSecurity") as caught:
        namespace.api.create(manifest, namespace=namespace.name)
    assert caught.value.status == 403


def test_user_has_the_rights_of_its_role_alone(namespace: Namespace) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]
    grant(namespace.api, namespace.name, "looker", rules)
    with Api(namespace.kubeconfig_of("looker")) as user:
        assert user.items(namespace.path("pods")) == []
        for path in (namespace.path("secrets"), "/api/v1/nodes", "/api/v1/namespaces/default/pods"):
            with pytest.raises(ApiError, match="forbidden"):
                user.get(path)


def test_kubelet_keeps_pretended_gpus(cluster: ClusterUnderTest, namespace: Namespace) -> None:
    """Even after it reported its own status, which it does every few seconds."""
    nodes = cluster.api.items("/api/v1/nodes")
    with_gpus = next(node for node in nodes if int(node["status"]["allocatable"].get(GPU, "0")))
    path = f"/api/v1/nodes/{with_gpus['metadata']['name']}"

    def heartbeat() -> str:
        conditions = cluster.api.get(path)["status"]["conditions"]
        beats: list[str] = [found["lastHeartbeatTime"] for found in conditions if found["type"] == "Ready"]
        return beats[0]

    before = heartbeat()
    namespace.wait_for("the kubelet reports", lambda: heartbeat() != before, deadline_s=400)
    assert cluster.api.get(path)["status"]["allocatable"][GPU] == with_gpus["status"]["allocatable"][GPU]

"""From a JobConfig to the RayJob that kubectl would take: pure functions, and the same manifest for the same config.

Every container satisfies Pod Security `restricted`, with a read-only root filesystem and no token for the Kubernetes
API; the autoscaler alone gets one, where there is an autoscaler.
"""

import json
import shlex
from typing import Any

from momalisa.cluster.config import JobConfig, PodResources
from momalisa.cluster.isolation import AUTOSCALED_LABEL, RUN_LABEL
from momalisa.cluster.kinds import RAY_JOB, Manifest
from momalisa.config import to_dict

HOME = "/home/momalisa"
MANAGED_BY = "momalisa"
KIND_LABEL = "momalisa.dev/kind"
RECIPE_LABEL = "momalisa.dev/recipe"
OWNER_LABEL = "momalisa.dev/owner"
OUTPUT_ANNOTATION = "momalisa.dev/output-uri"
DATA_ANNOTATION = "momalisa.dev/data-uri"
CONFIG_ANNOTATION = "momalisa.dev/config"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
AUTOSCALED_ACCOUNT = "momalisa-autoscaled"
"""Of a head with an autoscaler: KubeRay binds rights to change pods to it, which no worker should have."""

_GRACE_S = 120
"""Ray drains a node for 30 s after SIGTERM, and a checkpoint takes a while more; Kubernetes gives 30 s by default."""
_START_TIMEOUT_S = 1800
_SUBMITTER_RETRIES = 4
"""It fails while a lost head is built again; this many take some two and a half minutes."""
QUEUED_TTL_S = 15
"""Here the whole cluster goes at once, GPUs and all: others wait for them, and logs are in the run's folder."""
_SHM_SHARE = 0.4
"""Of a pod's memory: Ray's object store takes 30 %, and memory in /dev/shm counts as the pod's own."""
_SPOT = "cloud.google.com/gke-spot"
_GPU_TYPE = "cloud.google.com/gke-accelerator"
_GPU = "nvidia.com/gpu"


def ray_job(config: JobConfig) -> Manifest:
    """The RayJob."""
    return {
        "apiVersion": RAY_JOB.api_version,
        "kind": RAY_JOB.kind,
        "metadata": {
            "name": config.name,
            "namespace": config.namespace,
            "labels": _labels(config) | ({QUEUE_LABEL: config.queue} if config.queue else {}),
            "annotations": {
                OUTPUT_ANNOTATION: config.output_uri,
                DATA_ANNOTATION: config.data_uri,
                CONFIG_ANNOTATION: json.dumps(to_dict(config), sort_keys=True),
            },
        },
        "spec": {
            "submissionMode": "K8sJobMode",
            "entrypoint": shlex.join(entrypoint(config)),
            "activeDeadlineSeconds": config.deadline_s,
            "preRunningDeadlineSeconds": config.pre_running_deadline_s,
            "backoffLimit": config.backoff_limit,
            **_ending(config),
            "submitterConfig": {"backoffLimit": _SUBMITTER_RETRIES},
            "submitterPodTemplate": _submitter(config),
            "rayClusterSpec": _cluster(config),
        },
    }


def entrypoint(config: JobConfig) -> list[str]:
    """What the driver runs. It always goes on where an attempt before it came to: KubeRay may start it again."""
    scripts = {
        "train": ["jobs/train.py", "--recipe", config.recipe or "", "--data", config.data_uri],
        "prepare": ["jobs/prepare.py", "--input", config.data_uri],
        "walk": ["jobs/walk.py", "--requests", config.data_uri],
    }
    command = ["python", *scripts[config.kind], "--output", config.output_uri]
    if config.kind == "train":
        command += ["--num-workers", str(config.num_workers), "--resume", "auto"]
    if config.kind == "walk":
        command += ["--num-workers", str(config.num_workers), "--cpus-per-worker", f"{config.worker.cpus:g}"]
        command += ["--gpus-per-worker", str(config.worker.gpus)]
    shipping = ["python", "-m", "momalisa.cluster.shipping", "--output", config.output_uri, "--"]
    return [*shipping, *command, *config.arguments]


def _labels(config: JobConfig) -> dict[str, str]:
    labels = {
        "app.kubernetes.io/managed-by": MANAGED_BY,
        RUN_LABEL: config.name,
        KIND_LABEL: config.kind,
        OWNER_LABEL: config.owner,
    }
    return labels | ({RECIPE_LABEL: config.recipe} if config.recipe else {})


def _ending(config: JobConfig) -> dict[str, Any]:
    """What is deleted when. KubeRay wants shutdownAfterJobFinishes for what is suspended, and then no rules."""
    if config.queue:
        return {"suspend": True, "shutdownAfterJobFinishes": True, "ttlSecondsAfterFinished": QUEUED_TTL_S}
    # `Failed` also says that a deadline passed, which leaves the Ray job's own status as it was.
    conditions: list[dict[str, Any]] = [{"jobStatus": "SUCCEEDED"}, {"jobDeploymentStatus": "Failed"}]
    steps = [("DeleteCluster", config.head_stays_s), ("DeleteSelf", config.keep_job_s)]
    if not config.autoscale:  # KubeRay refuses it there; the autoscaler itself removes idle workers, or all goes.
        steps.insert(0, ("DeleteWorkers", 0))
    rules = [
        {"policy": policy, "condition": {**condition, "ttlSeconds": ttl_s}}
        for condition in conditions
        for policy, ttl_s in steps
    ]
    return {"deletionStrategy": {"deletionRules": rules}}


def _cluster(config: JobConfig) -> dict[str, Any]:
    cluster: dict[str, Any] = {"rayVersion": config.ray_version, "authOptions": {"mode": "token"}}
    if config.autoscale:
        cluster |= {"enableInTreeAutoscaling": True, "autoscalerOptions": _autoscaler(config)}
    return cluster | {
        # No task belongs beside the driver: a worker there would have no GPU, and the head's loss is everybody's.
        "headGroupSpec": {"rayStartParams": {"num-cpus": "0"}, "template": _head(config)},
        "workerGroupSpecs": [_workers(config)],
    }


def _workers(config: JobConfig) -> dict[str, Any]:
    least = config.num_workers
    if config.autoscale:
        least = config.least_workers if config.is_elastic else 0
    return {
        "groupName": "workers",
        "replicas": least,
        "minReplicas": least,
        "maxReplicas": config.num_workers,
        "rayStartParams": {},
        "template": _pod(config, "worker", config.worker, placement=_placement(config)),
    }


def _head(config: JobConfig) -> Manifest:
    pod = _pod(config, "head", config.head)
    if config.autoscale:
        sources = [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        ]
        pod["metadata"]["labels"][AUTOSCALED_LABEL] = "true"
        pod["spec"]["serviceAccountName"] = AUTOSCALED_ACCOUNT
        pod["spec"]["volumes"].append({"name": "kubernetes-api", "projected": {"sources": sources}})
    return pod


def _autoscaler(config: JobConfig) -> dict[str, Any]:
    """KubeRay's own container beside the head: the one that may speak to the Kubernetes API."""
    token = {
        "name": "kubernetes-api",
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
        "readOnly": True,
    }
    return {
        "version": "v2",
        "image": config.image,
        "imagePullPolicy": config.image_pull_policy,
        "idleTimeoutSeconds": 60,
        "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"cpu": "500m", "memory": "512Mi"}},
        "securityContext": _container_security(),
        "env": [{"name": "HOME", "value": HOME}],
        "volumeMounts": [*_mounts(), token],
    }


def _submitter(config: JobConfig) -> Manifest:
    return _pod(config, "submitter", PodResources(cpus=0.5, memory_gib=0.5), grace_s=30)


def _pod(
    config: JobConfig,
    name: str,
    resources: PodResources,
    *,
    placement: dict[str, Any] | None = None,
    grace_s: int = _GRACE_S,
) -> Manifest:
    container = {
        "name": name,
        "image": config.image,
        "imagePullPolicy": config.image_pull_policy,
        "resources": _resources(resources, config.cpu_overcommit),
        "env": _environment(config, name),
        "securityContext": _container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": _mounts(),
    }
    spec: dict[str, Any] = {
        # A container that died in place would be a Ray node that knows nothing of its job: KubeRay makes a new pod.
        "restartPolicy": "Never",
        "serviceAccountName": config.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_s,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "fsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **({"priorityClassName": config.priority_class} if config.priority_class else {}),
        **(placement or {}),
        "containers": [container],
        "volumes": _volumes(resources),
    }
    return {"metadata": {"labels": _labels(config)}, "spec": spec}


def _placement(config: JobConfig) -> dict[str, Any]:
    """Which nodes workers go to, beyond what GPUs themselves decide (GKE tolerates its own GPU taint)."""
    selector = {_GPU_TYPE: config.gpu_type} if config.gpu_type and config.worker.gpus else {}
    if not config.spot:
        return {"nodeSelector": selector} if selector else {}
    toleration = {"key": _SPOT, "operator": "Equal", "value": "true", "effect": "NoSchedule"}
    return {"nodeSelector": {**selector, _SPOT: "true"}, "tolerations": [toleration]}


def _resources(resources: PodResources, cpu_overcommit: float) -> dict[str, Any]:
    memory = f"{round(resources.memory_gib * 1024)}Mi"
    gpus = {_GPU: str(resources.gpus)} if resources.gpus else {}
    # As much memory as it may use, so that nobody else's use ends it. KubeRay tells Ray of the CPUs' limit.
    return {
        "requests": {"cpu": _cpus(resources.cpus / cpu_overcommit), "memory": memory, **gpus},
        "limits": {"cpu": _cpus(resources.cpus), "memory": memory, **gpus},
    }


def _cpus(cpus: float) -> str:
    return f"{cpus:g}" if float(cpus).is_integer() else f"{max(1, round(cpus * 1000))}m"


def _environment(config: JobConfig, container: str) -> list[dict[str, Any]]:
    if container == "submitter":  # It only speaks to the head.
        return [{"name": "HOME", "value": HOME}]
    values = {"HOME": HOME, "PYTHONUNBUFFERED": "1", **config.env}
    if config.kind == "train" and not config.is_elastic:  # An elastic run counts its nodes again soon, by itself.
        values.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(_START_TIMEOUT_S))
    plain: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in values.items()]
    for name, source in config.secret_env.items():
        secret, _, key = source.partition("/")
        plain.append({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
    return plain


def _container_security() -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def _volumes(resources: PodResources) -> list[dict[str, Any]]:
    shm = {"medium": "Memory", "sizeLimit": f"{round(resources.memory_gib * _SHM_SHARE * 1024)}Mi"}
    return [
        {"name": "tmp", "emptyDir": {}},
        {"name": "home", "emptyDir": {}},
        {"name": "shm", "emptyDir": shm},
    ]


def _mounts() -> list[dict[str, Any]]:
    paths = {"tmp": "/tmp", "home": HOME, "shm": "/dev/shm"}  # noqa: S108 - of the pod, and its own
    return [{"name": name, "mountPath": path} for name, path in paths.items()]

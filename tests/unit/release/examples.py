"""A release of the service, as the chart renders it and as a cluster holds it."""

import copy
import json
from typing import Any

import yaml

NAME = "walks"
SERVE: dict[str, Any] = {
    "applications": [
        {
            "name": "momalisa",
            "route_prefix": "/",
            "import_path": "serve.app:build_app",
            "args": {"bucket": "gs://museum/walks", "renderer": {"min_replicas": 0, "max_replicas": 4, "num_gpus": 1}},
            "deployments": [
                {"name": "conductor", "user_config": {"models": [{"id": "tiny", "uri": "tiny"}]}},
                {"name": "gateway", "user_config": {"limits": {"max_frames": 120}}},
            ],
        }
    ]
}
DEPLOYMENTS = ("gateway", "conductor", "text_encoder", "renderer", "assembler")
_SAFE = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def _pod(name: str, gpus: int = 0) -> dict[str, Any]:
    resources = {"cpu": "1", "memory": "2Gi", **({"nvidia.com/gpu": gpus} if gpus else {})}
    container = {
        "name": name,
        "image": "momalisa:1",
        "ports": [{"name": "serve", "containerPort": 8000}],
        "resources": {"limits": dict(resources), "requests": dict(resources)},
        "securityContext": _SAFE,
    }
    return {
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        }
    }


def cluster_spec() -> dict[str, Any]:
    """`rayClusterConfig`: a head, and GPU workers from 0 to 8."""
    return {
        "rayVersion": "2.60.0",
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {"version": "v2", "securityContext": _SAFE},
        "headGroupSpec": {"rayStartParams": {}, "template": _pod("ray-head")},
        "workerGroupSpecs": [
            {
                "groupName": "renderers",
                "replicas": 1,
                "minReplicas": 0,
                "maxReplicas": 8,
                "rayStartParams": {},
                "template": _pod("ray-worker", gpus=1),
            }
        ],
    }


def ray_service(*, serve: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None, **spec: Any) -> Any:
    """As it is rendered."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": NAME, "namespace": "momalisa"},
        "spec": {
            "rayClusterDeletionDelaySeconds": 300,
            "serveConfigV2": yaml.safe_dump(serve or SERVE),
            "rayClusterConfig": copy.deepcopy(cluster or cluster_spec()),
            **spec,
        },
    }


def running(
    service: dict[str, Any] | None = None,
    *,
    active: str = f"{NAME}-aaaaa",
    pending: str = "",
    changed: str = "",
    **status: Any,
) -> dict[str, Any]:
    """As the API server holds it while it serves."""
    live = copy.deepcopy(service or ray_service())
    live["metadata"] |= {"generation": 3, "creationTimestamp": "2026-11-22T10:00:00Z", "uid": "u-1"}
    live["metadata"] |= {"managedFields": [{"time": changed}]} if changed else {}
    applications = {"momalisa": {"status": "RUNNING", "serveDeploymentStatuses": deployments()}}
    live["status"] = {
        "observedGeneration": 3,
        "lastUpdateTime": "2026-11-22T10:09:55Z",
        "numServeEndpoints": 1,
        "activeServiceStatus": {
            "rayClusterName": active,
            **({} if pending or not active else {"applicationStatuses": applications}),
        },
        "pendingServiceStatus": {"rayClusterName": pending} if pending else {},
        "conditions": [
            condition("Ready", "True", "NonZeroServeEndpoints"),
            condition("UpgradeInProgress", "True" if pending else "False", "NoPendingCluster"),
        ],
        **status,
    }
    return live


def deployments(**statuses: str) -> dict[str, Any]:
    """Of an application's status."""
    return {name: {"status": statuses.get(name, "HEALTHY")} for name in DEPLOYMENTS}


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-11-22T10:05:00Z",
    }


def ray_cluster(name: str = f"{NAME}-aaaaa", spec: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    """A RayCluster of the release's."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {
            "name": name,
            "creationTimestamp": "2026-11-22T10:01:00Z",
            "labels": {"ray.io/originated-from-cr-name": NAME, "ray.io/originated-from-crd": "RayService"},
        },
        "spec": json.loads(json.dumps(spec or cluster_spec())),
        "status": {"conditions": [condition("HeadPodReady", "True", "HeadPodRunningAndReady")], **status},
    }


def pod(
    cluster: str, role: str, *, waiting: tuple[str, str] | None = None, unschedulable: str = "", gpus: int = 0
) -> dict[str, Any]:
    """A pod of a cluster, ready unless something keeps it."""
    name = f"{cluster}-{role}" if role == "head" else f"{cluster}-renderers-{role}-x"
    container = {
        "name": f"ray-{role}",
        "image": "momalisa:1",
        "resources": {kind: {"nvidia.com/gpu": gpus} for kind in ("limits", "requests")},
    }
    status: dict[str, Any] = {"phase": "Running", "conditions": [condition("Ready", "True", "")]}
    if waiting:
        state = {"waiting": {"reason": waiting[0], "message": waiting[1]}}
        status = {"phase": "Pending", "containerStatuses": [{**container, "state": state}]}
    if unschedulable:
        status = {
            "phase": "Pending",
            "conditions": [condition("PodScheduled", "False", "Unschedulable", unschedulable)],
        }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"ray.io/cluster": cluster, "ray.io/node-type": role}},
        "spec": {"containers": [container]},
        "status": status,
    }


def event(about: str, reason: str, message: str, *, at: str = "2026-11-22T10:08:00Z") -> dict[str, Any]:
    """An event about an object by its name."""
    kinds = {NAME: "RayService"}
    kind = kinds.get(about, "Pod" if "-head" in about or "-worker" in about else "RayCluster")
    return {
        "involvedObject": {"kind": kind, "name": about},
        "reason": reason,
        "message": message,
        "lastTimestamp": at,
        "metadata": {"creationTimestamp": at},
    }

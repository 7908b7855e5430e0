"""Stands in for Kueue, which lets a queued job's pods be made when all of it fits: one job at a time, whole."""

import threading

import httpx

from tests.cluster.api import ApiError, Manifest
from tests.cluster.cluster import GPU
from tests.cluster.handles import Namespace

_LOOK_EVERY_S = 1.0
_QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
_ENDED = ("Complete", "Failed", "ValidationFailed")


class Admitter:
    """Of one namespace's queue; remembers the most GPUs that pods held at once."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self.most_in_use = 0

    def work(self, is_over: threading.Event) -> None:
        """Until it is over."""
        while not is_over.wait(_LOOK_EVERY_S):
            try:
                self._look()
            except (ApiError, httpx.HTTPError):
                continue  # away, or somebody was quicker: another look

    def _look(self) -> None:
        namespace = self._namespace
        held = sum(map(_gpus, namespace.api.items(namespace.path("pods"))))
        self.most_in_use = max(self.most_in_use, held)
        jobs = [job for job in namespace.api.items(namespace.path("rayjobs", group="ray.io/v1")) if _is_queued(job)]
        if held or any(_is_at_work(job) for job in jobs):
            return  # each job of this test wants all that the queue has
        waiting = [job for job in jobs if job["spec"].get("suspend")]
        if waiting:
            first = min(waiting, key=lambda job: str(job["metadata"]["creationTimestamp"]))
            path = namespace.path("rayjobs", first["metadata"]["name"], group="ray.io/v1")
            namespace.api.patch(path, {"spec": {"suspend": False}})


def _is_queued(job: Manifest) -> bool:
    return _QUEUE_LABEL in job["metadata"].get("labels", {})


def _is_at_work(job: Manifest) -> bool:
    has_ended = job.get("status", {}).get("jobDeploymentStatus") in _ENDED
    return not job["spec"].get("suspend") and not has_ended


def _gpus(pod: Manifest) -> int:
    """What it holds: from when a node has it until it has ended."""
    if pod["status"].get("phase") not in ("Pending", "Running") or not pod["spec"].get("nodeName"):
        return 0
    limits = (container.get("resources", {}).get("limits", {}) for container in pod["spec"]["containers"])
    return sum(int(limit.get(GPU, 0)) for limit in limits)

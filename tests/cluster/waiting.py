"""Waiting with a deadline, and a namespace's whole story when it passes."""

import time
from collections.abc import Callable
from typing import TypeVar

import httpx

from tests.cluster.api import Api, ApiError, Manifest

T = TypeVar("T")
_STORY_LINES = 25
_KINDS = (
    ("RayJob", "/apis/ray.io/v1/namespaces/{}/rayjobs"),
    ("RayCluster", "/apis/ray.io/v1/namespaces/{}/rayclusters"),
    ("RayService", "/apis/ray.io/v1/namespaces/{}/rayservices"),
    ("Job", "/apis/batch/v1/namespaces/{}/jobs"),
)


def wait_for(
    what: str,
    probe: Callable[[], T | None],
    *,
    deadline_s: float,
    api: Api | None = None,
    namespace: str | None = None,
    interval_s: float = 0.3,
) -> T:
    """The first answer of `probe` that is true; errors of the API meanwhile are waited out.

    Raises AssertionError after `deadline_s`, which tells what `namespace` looks like then.
    """
    end = time.monotonic() + deadline_s
    last: object = None
    while True:
        try:
            answer = probe()
            if answer:
                return answer
            last = answer
        except (ApiError, httpx.HTTPError) as e:
            last = e
        if time.monotonic() > end:
            break
        time.sleep(interval_s)
    story = story_of(api, namespace) if api and namespace else ""
    raise AssertionError(f"not within {deadline_s:.0f} s: {what} (last: {last!r})\n{story}")


def story_of(api: Api, namespace: str) -> str:
    """Objects, pods, events and the ends of logs, as a person would ask kubectl for them."""
    parts = [f"=== namespace {namespace}"]
    for kind, path in _KINDS:
        parts += [_object_line(kind, found) for found in _items(api, path.format(namespace))]
    pods = _items(api, f"/api/v1/namespaces/{namespace}/pods")
    parts += [_pod_line(pod) for pod in pods]
    events = sorted(_items(api, f"/api/v1/namespaces/{namespace}/events"), key=_event_time)
    parts += ["=== events", *map(_event_line, events[-2 * _STORY_LINES :])]
    for pod in pods:
        parts += _logs(api, namespace, pod)
    return "\n".join(parts)


def _items(api: Api, path: str) -> list[Manifest]:
    try:
        return api.items(path)
    except (ApiError, httpx.HTTPError):
        return []


def _object_line(kind: str, found: Manifest) -> str:
    status = found.get("status", {})
    keys = ("jobStatus", "jobDeploymentStatus", "reason", "message", "state", "succeeded", "failed")
    said = ", ".join(f"{key}={status[key]}" for key in keys if status.get(key))
    return f"{kind} {found['metadata']['name']}: {said}"


def _pod_line(pod: Manifest) -> str:
    status = pod["status"]
    states = [
        f"{container['name']}={container.get('state')} restarts={container['restartCount']}"
        for container in status.get("initContainerStatuses", []) + status.get("containerStatuses", [])
    ]
    unmet = [
        f"{found['type']}: {found.get('message', found.get('reason', ''))}"
        for found in status.get("conditions", ())
        if found["status"] != "True" and found.get("message")
    ]
    return f"Pod {pod['metadata']['name']}: {status.get('phase')} {'; '.join(states + unmet)}"


def _event_time(event: Manifest) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])


def _event_line(event: Manifest) -> str:
    about = f"{event['involvedObject']['kind']}/{event['involvedObject'].get('name')}"
    return f"{_event_time(event)} {event['type']} {about} {event['reason']}: {event.get('message', '')}"


def _logs(api: Api, namespace: str, pod: Manifest) -> list[str]:
    parts = []
    name = pod["metadata"]["name"]
    for container in pod["spec"]["containers"]:
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/log"
        try:
            text = api.text(path, container=container["name"], tailLines=str(_STORY_LINES))
        except (ApiError, httpx.HTTPError) as e:
            text = f"(no log: {e})"
        parts += [f"=== log of {name}/{container['name']}", text]
    return parts

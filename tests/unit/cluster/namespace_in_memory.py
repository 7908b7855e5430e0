"""A namespace in memory: what `Cluster` offers, as far as what changes a cluster asks for it."""

import copy
from collections.abc import Callable
from typing import Any

from momalisa.cluster.kinds import Kind
from momalisa.cluster.manifests import ray_job
from momalisa.errors import ClusterConflictError, ClusterForbiddenError, ClusterNotFoundError, ClusterUnreachableError
from tests.unit.cluster.examples import GOLDEN

RAY_API = "/apis/ray.io/v1"
FIELDS = ray_job(GOLDEN["train"])["spec"].keys() | ray_job(GOLDEN["train-queued"])["spec"].keys()
SCHEMA = {"properties": {"spec": {"properties": {name: {} for name in FIELDS}}}}


class InMemory:
    context = "lab"
    namespace = "momalisa"
    server = "https://cluster.example"

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.denied: set[tuple[str, str]] = set()
        self.failing: dict[tuple[str, str], Exception] = {}
        self.paths: dict[str, Any] = {
            RAY_API: {"resources": [{"name": "rayjobs"}]},
            f"/openapi/v3{RAY_API}": {"components": {"schemas": {"io.ray.v1.RayJob": SCHEMA}}},
        }
        self.unknown_kinds: set[str] = set()
        self.served_paths: dict[str, str] = {}
        self.calls: list[tuple[str, str, str]] = []
        self.on_call: Callable[[str, str, str], None] = lambda verb, kind, name: None

    def put(self, what: Kind, name: str, /, **content: Any) -> dict[str, Any]:
        metadata = {"name": name, "namespace": self.namespace, "uid": f"{len(self.calls):08}-{name}"}
        content.setdefault("metadata", {})
        content["metadata"] = metadata | content["metadata"]
        self.objects[what.kind, name] = {**content, "apiVersion": what.api_version, "kind": what.kind}
        return self.objects[what.kind, name]

    def get(self, kind: Kind, name: str) -> dict[str, Any]:
        self._asked("get", kind, name)
        if (kind.kind, name) not in self.objects:
            raise ClusterNotFoundError(f"{kind.plural} {name} not found")
        return copy.deepcopy(self.objects[kind.kind, name])

    def find(self, kind: Kind, name: str) -> dict[str, Any] | None:
        try:
            return self.get(kind, name)
        except ClusterNotFoundError:
            return None

    def list(self, kind: Kind, *, labels: Any = None, fields: Any = None) -> list[dict[str, Any]]:
        self._asked("list", kind, "")
        found = [each for (name, _), each in self.objects.items() if name == kind.kind]
        wanted = (labels or {}).items()
        return [each for each in found if wanted <= (each["metadata"].get("labels") or {}).items()]

    def served(self, service: str, port: int, path: str, *, patience_s: float | None = None) -> str:
        if path not in self.served_paths:
            raise ClusterUnreachableError(f"nobody answers for {service}:{port}")
        return self.served_paths[path]

    def create(self, kind: Kind, manifest: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        name = manifest["metadata"]["name"]
        self._asked("dry-run" if dry_run else "create", kind, name)
        if (kind.kind, name) in self.objects:
            raise ClusterConflictError(f"{name} already exists")
        return manifest if dry_run else self.put(kind, name, **copy.deepcopy(manifest))

    def kind(self, api_version: str, name: str) -> Kind:
        self._asked("discover", Kind(api_version, name, f"{name.lower()}s"), name)
        if name in self.unknown_kinds:
            raise ClusterNotFoundError(f"the cluster does not know {name} ({api_version})")
        return Kind(api_version, name, f"{name.lower()}s")

    def would_apply(self, kind: Kind, manifest: dict[str, Any]) -> dict[str, Any]:
        self._asked("apply", kind, manifest["metadata"]["name"])
        return manifest

    def apply_as_helm(self, kind: Kind, manifest: dict[str, Any]) -> dict[str, Any]:
        self._asked("apply", kind, manifest["metadata"]["name"])
        there = self.objects[kind.kind, manifest["metadata"]["name"]]
        there["spec"] = manifest["spec"]
        there["metadata"]["annotations"] = manifest["metadata"].get("annotations")
        return there

    def patch(self, kind: Kind, name: str, patch: dict[str, Any], *, subresource: str = "") -> dict[str, Any]:
        self._asked("patch", kind, name)
        _merge(self.objects[kind.kind, name], patch)
        return self.objects[kind.kind, name]

    def delete(self, kind: Kind, name: str, *, grace_s: int | None = None) -> None:
        self._asked("delete", kind, name)
        self.objects.pop((kind.kind, name), None)

    def may(self, verb: str, kind: Kind, *, name: str = "", subresource: str = "") -> bool:
        return (verb, subresource or kind.kind) not in self.denied

    def version(self) -> str:
        if ("version", "") in self.failing:
            raise self.failing["version", ""]
        return "v1.34.4"

    def read_path(self, path: str) -> Any:
        if path not in self.paths:
            raise ClusterNotFoundError(path)
        return self.paths[path]

    def _asked(self, verb: str, kind: Kind, name: str) -> None:
        self.calls.append((verb, kind.kind, name))
        self.on_call(verb, kind.kind, name)
        if (verb, kind.kind) in self.denied:
            raise ClusterForbiddenError(f"you may not {verb} {kind.plural}")
        if (verb, kind.kind) in self.failing:
            raise self.failing[verb, kind.kind]


def _merge(target: dict[str, Any], patch: dict[str, Any]) -> None:
    for key, value in patch.items():
        if isinstance(value, dict):
            _merge(target.setdefault(key, {}), value)
        else:
            target[key] = value

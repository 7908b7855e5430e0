"""A Cloud Storage inside the cluster: the emulator of the other tests as a pod behind a Service."""

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.cluster.api import Api, Manifest
from tests.cluster.waiting import wait_for

_PORT = 4443
_NAME = "gcs"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterGcs:
    """url: for pods, by DNS. outside_url: for this machine; of the same server, with the same objects."""

    url: str
    outside_url: str

    @property
    def pod_environment(self) -> dict[str, str]:
        """What a pod needs in its environment to take this for Google's."""
        return {"STORAGE_EMULATOR_HOST": self.url, "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}

    @property
    def environment(self) -> dict[str, str]:
        """The same for a process of this machine."""
        return self.pod_environment | {"STORAGE_EMULATOR_HOST": self.outside_url}

    def create_bucket(self, name: str = "") -> str:
        """Makes a bucket, of a new name unless one is given; returns its URI."""
        name = name or f"test-{uuid.uuid4().hex[:12]}"
        self._ask("POST", "/storage/v1/b?project=test", {"name": name}).raise_for_status()
        return f"gs://{name}"

    def names(self, uri: str) -> list[str]:
        """All objects below a URI, as their names in its bucket."""
        bucket, _, prefix = uri.removeprefix("gs://").partition("/")
        found = self._ask("GET", f"/storage/v1/b/{bucket}/o?maxResults=5000&prefix={prefix}").raise_for_status().json()
        return [item["name"] for item in found.get("items", ())]

    def read(self, uri: str) -> bytes:
        """One object."""
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        path = f"/storage/v1/b/{bucket}/o/{name.replace('/', '%2F')}?alt=media"
        return self._ask("GET", path).raise_for_status().content

    def write(self, uri: str, data: bytes) -> None:
        """One object, made or replaced."""
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        query = httpx.QueryParams(uploadType="media", name=name)
        self._ask("POST", f"/upload/storage/v1/b/{bucket}/o?{query}", data=data).raise_for_status()

    def write_folder(self, uri: str, folder: Path) -> None:
        """All files of a folder, below a URI."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.write(f"{uri}/{path.relative_to(folder)}", path.read_bytes())

    def _ask(self, method: str, path: str, content: Any = None, *, data: bytes | None = None) -> httpx.Response:
        with httpx.Client(trust_env=False, timeout=30) as http:
            return http.request(method, self.outside_url + path, json=content, content=data)


def start_gcs(api: Api, namespace: str, image: str) -> ClusterGcs:
    """Starts it in a namespace (once) and waits until it answers. Reached from outside by its Service's address."""
    api.apply(_pod(image), namespace=namespace)
    service = api.apply(_service(), namespace=namespace)
    address = service["spec"]["clusterIP"]
    gcs = ClusterGcs(
        url=f"http://{_NAME}.{namespace}.svc.cluster.local:{_PORT}", outside_url=f"http://{address}:{_PORT}"
    )
    wait_for("the GCS emulator answers", lambda: _answers(gcs), deadline_s=60, api=api, namespace=namespace)
    return gcs


def _answers(gcs: ClusterGcs) -> bool:
    return httpx.get(f"{gcs.outside_url}/_internal/healthcheck", trust_env=False, timeout=2).is_success


def _pod(image: str) -> Manifest:
    security = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    container = {
        "name": "gcs",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["-scheme", "http", "-host", "0.0.0.0", "-port", str(_PORT), "-backend", "memory"],
        "ports": [{"containerPort": _PORT}],
        "readinessProbe": {"httpGet": {"path": "/_internal/healthcheck", "port": _PORT}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "4Gi"}},
        "securityContext": security,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    spec = {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": _NAME, "labels": {"app": _NAME}}, "spec": spec}


def _service() -> Manifest:
    spec = {"selector": {"app": _NAME}, "ports": [{"port": _PORT, "targetPort": _PORT}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": _NAME}, "spec": spec}

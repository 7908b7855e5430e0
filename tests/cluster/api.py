"""The API server's word, for tests and the harness itself: a small client that shares nothing with momalisa's own."""

import json
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml
from kubernetes import config
from kubernetes.client import Configuration

Manifest = dict[str, Any]

_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"
_CLUSTER_WIDE = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "Namespace",
    "Node",
    "PriorityClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}


class ApiError(Exception):
    """The API server said no. status: HTTP's; reason: Kubernetes' own word for it."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason


class Api:
    """A cluster as one user sees it, in a `with` block."""

    def __init__(self, kubeconfig: Path | str) -> None:
        self.kubeconfig = Path(kubeconfig)
        settings = Configuration()
        config.load_kube_config(  # type: ignore[no-untyped-call]
            str(kubeconfig), client_configuration=settings, persist_config=False
        )
        trust = ssl.create_default_context(cafile=settings.ssl_ca_cert)
        if settings.cert_file:
            trust.load_cert_chain(settings.cert_file, settings.key_file)
        token = settings.auth_settings().get("BearerToken", {}).get("value")
        self.server = settings.host
        self.authority = Path(settings.ssl_ca_cert).read_bytes() if settings.ssl_ca_cert else b""
        self._http = httpx.Client(
            base_url=settings.host,
            verify=trust,
            headers={"Authorization": token} if token else {},
            timeout=30,
            trust_env=False,
        )

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **query: str) -> Manifest:
        """An object or a list, by its path."""
        found: Manifest = self._ask("GET", path, query=query).json()
        return found

    def text(self, path: str, **query: str) -> str:
        """What is no JSON: logs, health."""
        return self._ask("GET", path, query=query).text

    def find(self, path: str) -> Manifest | None:
        """As `get`; None where there is none."""
        try:
            return self.get(path)
        except ApiError as e:
            if e.status == 404:
                return None
            raise

    def items(self, path: str, **query: str) -> list[Manifest]:
        """The objects of a list."""
        found: list[Manifest] = self.get(path, **query)["items"]
        return found

    def create(self, manifest: Manifest, *, namespace: str | None = None, **query: str) -> Manifest:
        """Makes it; `dryRun="All"` only asks."""
        made: Manifest = self._ask("POST", collection(manifest, namespace), manifest, query=query).json()
        return made

    def apply(self, manifest: Manifest, *, namespace: str | None = None) -> Manifest:
        """Makes it or changes it, as `kubectl apply --server-side` does."""
        path = f"{collection(manifest, namespace)}/{manifest['metadata']['name']}"
        query = {"fieldManager": "tests", "force": "true"}
        applied: Manifest = self._ask("PATCH", path, manifest, query=query, content_type=_APPLY).json()
        return applied

    def apply_file(self, path: Path, *, namespace: str | None = None) -> None:
        """All objects of a YAML file."""
        # KubeRay's CRDs have two megabytes, for which the loader in Python takes twenty seconds.
        for manifest in yaml.load_all(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if manifest:
                self.apply(manifest, namespace=namespace)

    def post(self, path: str, content: Manifest) -> Manifest:
        """To a subresource: eviction, token."""
        answer: Manifest = self._ask("POST", path, content).json()
        return answer

    def patch(self, path: str, patch: Mapping[str, Any]) -> Manifest:
        """A JSON merge patch."""
        patched: Manifest = self._ask("PATCH", path, patch, content_type=_MERGE).json()
        return patched

    def delete(self, path: str, *, grace_s: int | None = None) -> None:
        """Is there none: fine."""
        options = {"propagationPolicy": "Background"} | ({} if grace_s is None else {"gracePeriodSeconds": grace_s})
        try:
            self._ask("DELETE", path, options)
        except ApiError as e:
            if e.status != 404:
                raise

    def _ask(
        self,
        method: str,
        path: str,
        content: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> httpx.Response:
        body = None if content is None else json.dumps(content)
        headers = {"Content-Type": content_type} if body else {}
        answer = self._http.request(method, path, content=body, headers=headers, params=query)
        if answer.is_error:
            raise _error(answer)
        return answer


def collection(manifest: Manifest, namespace: str | None = None) -> str:
    """Where objects of its kind and namespace are."""
    version, kind = manifest["apiVersion"], manifest["kind"]
    root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    if kind in _CLUSTER_WIDE:
        return f"{root}/{_plural(kind)}"
    namespace = namespace or manifest["metadata"].get("namespace") or "default"
    return f"{root}/namespaces/{namespace}/{_plural(kind)}"


def path_to(manifest: Manifest, namespace: str | None = None) -> str:
    """Where the object itself is."""
    return f"{collection(manifest, namespace)}/{manifest['metadata']['name']}"


def condition(manifest: Manifest, kind: str) -> Manifest | None:
    """One of an object's conditions."""
    conditions: Iterable[Manifest] = manifest.get("status", {}).get("conditions", ())
    return next((found for found in conditions if found["type"] == kind), None)


def _plural(kind: str) -> str:
    name = kind.lower()
    if name.endswith("y"):
        return name[:-1] + "ies"
    return name if name == "endpoints" else name + ("es" if name.endswith("s") else "s")


def _error(answer: httpx.Response) -> ApiError:
    try:
        status = answer.json()
    except ValueError:
        return ApiError(answer.status_code, "", answer.text[:500])
    return ApiError(answer.status_code, status.get("reason", ""), status.get("message", ""))

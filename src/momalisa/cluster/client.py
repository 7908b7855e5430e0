"""The only module that talks to Kubernetes, through the official client's transport.

Every request has a time limit and statuses that are expected; whatever else is answered becomes a ClusterError. Reads,
and writes that may be repeated, are retried on connection errors, 429 (waiting as long as the server says) and 5xx; a
create only where the server certainly did nothing yet.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import kubernetes.config
import urllib3
import yaml
from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from kubernetes.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION, KubeConfigMerger
from kubernetes.stream.ws_client import portforward_call

from momalisa.cluster.answers import GoneError, TransientError, persistently, refusal
from momalisa.cluster.forwarding import forwarding
from momalisa.cluster.kinds import ACCESS_REVIEW, POD, SERVICE, Kind, Manifest, access_review
from momalisa.cluster.streams import changes, differences, lines, selectors
from momalisa.errors import ClusterConflictError, ClusterNotFoundError, ClusterUnreachableError, ConfigError

DEFAULT_NAMESPACE = "momalisa"
_PAGE = 500
_MAX_CONFLICTS = 5
_SILENCE_S = 90.0  # A stream that says nothing for longer is taken for broken: so would one whose server vanished.
_APPLY_PATCH, _HELM = "application/apply-patch+yaml", "helm"  # in whose name fields are kept that a chart left out
_MERGE_PATCH = "application/merge-patch+json"
_UNUSABLE = (ConfigException, yaml.YAMLError, OSError, UnicodeDecodeError, TypeError, AttributeError, KeyError)
"""What the official client raises for a kubeconfig that is missing, broken or of another form."""
Manifests = list[Manifest]  # `list` is a method below


class Cluster:
    """A namespace of a Kubernetes cluster. Safe in threads."""

    def __init__(
        self,
        api: ApiClient,
        *,
        context: str,
        namespace: str,
        timeout_s: float = 10.0,
        patience_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.context = context
        self.namespace = namespace
        self.server: str = api.configuration.host
        self._api = api
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._clock = clock
        self._sleep = sleep

    @classmethod
    def connect(
        cls,
        *,
        context: str | None = None,
        namespace: str | None = None,
        timeout_s: float = 10.0,
        patience_s: float = 30.0,
    ) -> "Cluster":
        """The cluster of a kubeconfig's context, else of the pod that this runs in; asks it nothing yet.

        The namespace is the one given, else the context's own, else `momalisa`. One request may take `timeout_s`, with
        its retries `patience_s`. Raises ConfigError where there is no kubeconfig or no such context.
        """
        configuration = Configuration()
        name, its_namespace = _load(configuration, context)
        configuration.retries = False  # ours are below
        configuration.keep_alive = True
        return cls(
            ApiClient(configuration),
            context=name,
            namespace=namespace or its_namespace or DEFAULT_NAMESPACE,
            timeout_s=timeout_s,
            patience_s=patience_s,
        )

    def get(self, kind: Kind, name: str) -> Manifest:
        """One object. Raises ClusterNotFoundError."""
        return self._json("get", kind, "GET", kind.path(self.namespace, name))

    def find(self, kind: Kind, name: str) -> Manifest | None:
        """One object, or None."""
        with suppress(ClusterNotFoundError):
            return self.get(kind, name)
        return None

    def list(
        self, kind: Kind, *, labels: Mapping[str, str] | None = None, fields: Mapping[str, str] | None = None
    ) -> Manifests:
        """Every object whose labels and fields have these values."""
        return self._list(kind, selectors(labels, fields))[0]

    def create(self, kind: Kind, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Creates an object, or finds out whether it could be. A field that the server does not know is refused.

        Raises ClusterConflictError where there is one, ClusterRejectedError.
        """
        query = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        path = kind.path(self.namespace)
        return self._json("create", kind, "POST", path, query=query, body=manifest, repeatable=dry_run)

    def kind(self, api_version: str, name: str) -> Kind:
        """Any kind, by the API server's own list. Raises ClusterNotFoundError for one that it does not know."""
        path = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        with suppress(ClusterNotFoundError):
            for each in self.read_path(path)["resources"]:
                if each["kind"] == name and "/" not in each["name"]:
                    return Kind(api_version, name, each["name"], is_namespaced=each["namespaced"])
        raise ClusterNotFoundError(f"the cluster of context {self.context} does not know {name} ({api_version})")

    def would_apply(self, kind: Kind, manifest: Manifest) -> Manifest:
        """What an object would be after `helm upgrade`, which nothing is changed by; there may be one already.

        Raises ClusterRejectedError where the server would not have it.
        """
        return self._apply_as_helm(kind, manifest, {"dryRun": "All"})

    def apply_as_helm(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Makes of an object what `helm upgrade` would, by server-side apply in helm's name: in another's, helm's next
        one would find a conflict. Raises ClusterRejectedError."""
        return self._apply_as_helm(kind, manifest, {})

    def _apply_as_helm(self, kind: Kind, manifest: Manifest, query: Mapping[str, str]) -> Manifest:
        metadata = manifest["metadata"]
        path = kind.path(metadata.get("namespace") or self.namespace, metadata["name"])
        query = {**query, "fieldManager": _HELM, "force": "true", "fieldValidation": "Strict"}
        return self._json("patch", kind, "PATCH", path, query=query, body=manifest, content_type=_APPLY_PATCH)

    def patch(self, kind: Kind, name: str, patch: Mapping[str, Any], *, subresource: str = "") -> Manifest:
        """Applies a JSON merge patch, again where somebody else wrote at the same moment."""
        path = kind.path(self.namespace, name, subresource)
        for last in [False] * (_MAX_CONFLICTS - 1) + [True]:
            try:
                return self._json("patch", kind, "PATCH", path, body=dict(patch), content_type=_MERGE_PATCH)
            except ClusterConflictError:
                if last:
                    raise
                self._sleep(0.2)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def delete(self, kind: Kind, name: str, *, grace_s: int | None = None) -> None:
        """Deletes an object and, in the background, what it owns; is there no more: fine."""
        query = {"propagationPolicy": "Background"}
        if grace_s is not None:
            query["gracePeriodSeconds"] = str(grace_s)
        with suppress(ClusterNotFoundError):
            self._json("delete", kind, "DELETE", kind.path(self.namespace, name), query=query)

    def may(self, verb: str, kind: Kind, *, name: str = "", subresource: str = "") -> bool:
        """Whether this user may do that, by the API server's own word (SelfSubjectAccessReview)."""
        review = access_review(verb, kind, self.namespace, name=name, subresource=subresource)
        answer = self._json("create", ACCESS_REVIEW, "POST", ACCESS_REVIEW.path(""), body=review)
        return bool(answer["status"]["allowed"])

    def logs(
        self,
        pod: str,
        *,
        container: str | None = None,
        since_time: str | None = None,
        follow: bool = False,
        timestamps: bool = False,
        tail_lines: int | None = None,
        patience_s: float | None = None,
    ) -> Iterator[str]:
        """A container's lines, without their newlines.

        Followed, they end when the container does, and also when the connection breaks or nothing was said for a while:
        the pod tells which. `since_time` is RFC 3339, `patience_s` this cluster's unless another is given.
        """
        asked = {"container": container, "sinceTime": since_time, "tailLines": tail_lines}
        asked |= {"follow": "true" if follow else None, "timestamps": "true" if timestamps else None}
        query = {name: str(value) for name, value in asked.items() if value is not None}
        path = POD.path(self.namespace, pod, "log")
        silence_s = patience_s or _SILENCE_S
        response = self._ask("get", POD, "GET", path, query=query, read_s=silence_s, patience_s=patience_s)
        try:
            for line in lines(response.stream()):
                yield line.decode(errors="replace")
        except urllib3.exceptions.HTTPError as e:
            if not follow:
                raise ClusterUnreachableError(f"the log of pod {pod} broke off ({e}): ask again") from e
        finally:
            response.close()

    def served(self, service: str, port: int, path: str, *, patience_s: float | None = None) -> str:
        """What a Service answers to GET, asked by the API server. Raises ClusterUnreachableError also where nobody is
        behind the Service."""
        place = SERVICE.path(self.namespace, f"http:{service}:{port}", "proxy")
        asked = self._ask("get", SERVICE, "GET", f"{place}/{path}", patience_s=patience_s)
        return asked.data.decode(errors="replace")

    def watch(
        self, kind: Kind, *, labels: Mapping[str, str] | None = None, timeout_s: float = 60
    ) -> Iterator[tuple[str, Manifest]]:
        """ADDED for every object that is there, then ADDED, MODIFIED and DELETED as it happens, until the time is over.

        After a broken connection and after 410 it lists again, and tells what changed meanwhile. Raises
        ClusterUnreachableError where the API server stays away for longer than this cluster's patience.
        """
        until = self._clock() + timeout_s
        known: dict[str, Manifest] = {}
        query = selectors(labels, None)
        while self._clock() < until:
            items, version = self._list(kind, query)
            yield from differences(known, items)
            if (left_s := until - self._clock()) >= 1:
                with suppress(GoneError, urllib3.exceptions.HTTPError):
                    yield from changes(known, self._events(kind, query, version, left_s))
                    continue
            self._sleep(min(1.0, max(0.0, left_s)))

    @contextmanager
    def forward(self, pod: str, port: int) -> Iterator[int]:
        """A port of this machine (on its loopback address alone) that leads to a pod's."""
        path = POD.path(self.namespace, pod, "portforward")

        def open_stream() -> Any:
            method, url, headers, _, _ = self._serialised("GET", path, {"ports": str(port)}, None, None)
            try:
                stream = portforward_call(self._api.configuration, method, url, headers=headers)  # type: ignore[no-untyped-call]
                return stream.socket(port)
            except ApiException as e:
                raise ClusterUnreachableError(f"no way to port {port} of pod {pod}: {e.reason}") from e

        with forwarding(open_stream) as local_port:
            yield local_port

    def version(self) -> str:
        """Kubernetes' version, such as v1.34.4."""
        return str(self.read_path("/version")["gitVersion"])

    def read_path(self, path: str) -> Manifest:
        """What the API server keeps at a path that belongs to no kind: discovery, schemas, versions."""
        return self._json("get", None, "GET", path)

    def _list(self, kind: Kind, query: dict[str, str]) -> tuple[Manifests, str]:
        """All objects, in pages, and the version that a watch goes on from."""
        items: Manifests = []
        query = {"limit": str(_PAGE), **query}
        while True:
            page = self._json("list", kind, "GET", kind.path(self.namespace), query=query)
            # In lists the server leaves these two out.
            items += [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in page["items"]]
            rest = page["metadata"].get("continue")
            if not rest:
                return items, page["metadata"].get("resourceVersion", "")
            query["continue"] = rest

    def _events(self, kind: Kind, query: dict[str, str], version: str, left_s: float) -> Iterator[bytes]:
        """The lines of a watch."""
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": str(int(left_s)), **query}
        read_s = left_s + self._timeout_s
        response = self._ask("watch", kind, "GET", kind.path(self.namespace), query=query, read_s=read_s)
        try:
            yield from lines(response.stream())
        finally:
            response.close()

    def _json(self, verb: str, kind: Kind | None, method: str, path: str, **asked: Any) -> Manifest:
        return dict(json.loads(self._ask(verb, kind, method, path, **asked).data))

    def _ask(
        self,
        verb: str,
        kind: Kind | None,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        repeatable: bool = True,
        read_s: float = 0.0,
        patience_s: float | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """The answer, its status below 300; retried until the patience is at its end.

        Its body is read already, but for streams: these give a `read_s`, the longest silence that is borne.
        """

        def attempt() -> urllib3.BaseHTTPResponse:
            # Serialised anew each time: tokens expire.
            request = self._serialised(method, path, query, body, content_type)
            return self._attempt(verb, kind, request, read_s)

        try:
            most_s = patience_s or self._patience_s
            return persistently(attempt, most_s, clock=self._clock, sleep=self._sleep, repeatable=repeatable)
        except TransientError as e:
            raise ClusterUnreachableError(
                f"no answer from the API server {self.server} (context {self.context}): {e}. "
                "Is the cluster up, the VPN on, `kubectl get --raw /readyz` answered?"
            ) from e

    def _attempt(self, verb: str, kind: Kind | None, request: Any, read_s: float) -> urllib3.BaseHTTPResponse:
        try:
            method, url, headers, content, _ = request
            answer = self._api.call_api(
                method, url, headers, content, _request_timeout=(self._timeout_s, read_s or self._timeout_s)
            )
            response: urllib3.BaseHTTPResponse = answer.response
            if response.status < 300 and read_s:
                return response
            _ = response.data  # Read here, where a connection that breaks meanwhile is tried again.
            if response.status < 300:
                return response
            raise refusal(response, verb, kind, self.namespace, self.context)
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as e:
            raise TransientError(str(e), was_ignored=True) from e
        except urllib3.exceptions.HTTPError as e:
            raise TransientError(str(e)) from e
        except ApiException as e:  # Of its own it raises only for TLS; statuses are ours to judge.
            raise ClusterUnreachableError(f"no secure connection to {self.server}: {e.reason}") from e

    def _serialised(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        content_type: str | None,
    ) -> Any:
        """What the transport is called with."""
        headers = {"Accept": "application/json, */*"} | ({"Content-Type": content_type} if body is not None else {})
        return self._api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )


def _load(configuration: Configuration, context: str | None) -> tuple[str, str | None]:
    """Fills in the client's configuration; gives the context's name and namespace."""
    try:
        return _load_kubeconfig(configuration, context)
    except _UNUSABLE as e:
        if context is not None or "KUBERNETES_SERVICE_HOST" not in os.environ:
            raise ConfigError(
                f"no usable kubeconfig ({e}): set KUBECONFIG, or make one with your provider's get-credentials command"
            ) from e
    try:
        kubernetes.config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except ConfigException as e:
        raise ConfigError(f"this pod may not speak to its cluster ({e}): mount a token, or set KUBECONFIG") from e
    return "in-cluster", None


def _load_kubeconfig(configuration: Configuration, context: str | None) -> tuple[str, str | None]:
    """The current context is asked for only where none is given: it need not be there."""
    file = os.environ.get("KUBECONFIG") or KUBE_CONFIG_DEFAULT_LOCATION
    merged = KubeConfigMerger(file).config  # type: ignore[no-untyped-call]
    if merged is None:
        raise ConfigException(f"there is no {file}")
    contexts = {str(each["name"]): each["context"] for each in (node.value for node in merged.value["contexts"])}
    chosen = context or merged.value.get("current-context")
    if not chosen:
        raise ConfigException(f"it has no current context: --context {' or '.join(contexts)}")
    if chosen not in contexts:
        raise ConfigError(f"no context {chosen!r} in the kubeconfig; there are {', '.join(contexts)}")
    kubernetes.config.load_kube_config(file, context=chosen, client_configuration=configuration)  # type: ignore[no-untyped-call]
    return chosen, contexts[chosen].get("namespace")

"""The kinds of objects that jobs have to do with, and where the API server keeps them."""

from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]
"""An object as kubectl would print it, with camelCase keys."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object of one API version."""

    api_version: str
    kind: str
    plural: str
    is_namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group; "" for the core one."""
        return self.api_version.rpartition("/")[0]

    @property
    def resource(self) -> str:
        """As in a Role and in messages: `rayjobs.ray.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """The URL's path of all of them in a namespace, of one, or of a part of one."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"
        folder = f"/namespaces/{namespace}" if self.is_namespaced else ""
        return "/".join([f"{root}{folder}/{self.plural}", *filter(None, (name, subresource))])


RAY_JOB = Kind("ray.io/v1", "RayJob", "rayjobs")
RAY_SERVICE = Kind("ray.io/v1", "RayService", "rayservices")
RAY_CLUSTER = Kind("ray.io/v1", "RayCluster", "rayclusters")
POD = Kind("v1", "Pod", "pods")
EVENT = Kind("v1", "Event", "events")
NODE = Kind("v1", "Node", "nodes", is_namespaced=False)
NAMESPACE = Kind("v1", "Namespace", "namespaces", is_namespaced=False)
RESOURCE_QUOTA = Kind("v1", "ResourceQuota", "resourcequotas")
LIMIT_RANGE = Kind("v1", "LimitRange", "limitranges")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
SECRET = Kind("v1", "Secret", "secrets")
SERVICE = Kind("v1", "Service", "services")
BATCH_JOB = Kind("batch/v1", "Job", "jobs")
PRIORITY_CLASS = Kind("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", is_namespaced=False)
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
LOCAL_QUEUE = Kind("kueue.x-k8s.io/v1beta1", "LocalQueue", "localqueues")
CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", is_namespaced=False)
ACCESS_REVIEW = Kind(
    "authorization.k8s.io/v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", is_namespaced=False
)


def access_review(verb: str, kind: Kind, namespace: str, *, name: str = "", subresource: str = "") -> Manifest:
    """The question whether oneself may do that."""
    asked = {"verb": verb, "group": kind.group, "resource": kind.plural, "name": name, "subresource": subresource}
    if kind.is_namespaced:
        asked["namespace"] = namespace
    return {
        "apiVersion": ACCESS_REVIEW.api_version,
        "kind": ACCESS_REVIEW.kind,
        "spec": {"resourceAttributes": {key: value for key, value in asked.items() if value}},
    }

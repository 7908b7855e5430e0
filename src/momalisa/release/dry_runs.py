"""What the API server would say to what a chart renders: dry runs, which change nothing."""

import copy
from collections.abc import Sequence
from typing import Protocol

from momalisa.cluster.kinds import RAY_SERVICE, Kind, Manifest
from momalisa.cluster.pods import name_of
from momalisa.cluster.troubles import shortened
from momalisa.errors import ClusterConflictError, ClusterForbiddenError, ClusterNotFoundError, ClusterRejectedError
from momalisa.release.refusals import Refusal

_PLAN_SUFFIX = "-plan"
_LONGEST_NAME = 47
_CORRECT = "correct the values that it is made from"
_OF_SERVICE = "API server's word on it"


class TrialCluster(Protocol):
    """What is asked of a cluster here; `client.Cluster` is one."""

    @property
    def namespace(self) -> str:
        """Whose objects are tried."""

    def create(self, kind: Kind, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Here only as a dry run."""

    def kind(self, api_version: str, name: str) -> Kind:
        """Raises ClusterNotFoundError for one that the cluster does not know."""

    def would_apply(self, kind: Kind, manifest: Manifest) -> Manifest:
        """A dry run, of an object that is there or is not."""


def try_service(cluster: TrialCluster, service: Manifest, unknown: dict[str, str]) -> tuple[Manifest, list[Refusal]]:
    """The RayService with what the API server adds to it, or why that would refuse it.

    Under another name, since there is one of its own already.
    """
    trial = copy.deepcopy(service)
    trial["metadata"] |= {
        "name": f"{name_of(service)[: _LONGEST_NAME - len(_PLAN_SUFFIX)]}{_PLAN_SUFFIX}",
        "namespace": cluster.namespace,
    }
    try:
        return {**service, "spec": cluster.create(RAY_SERVICE, trial, dry_run=True)["spec"]}, []
    except ClusterNotFoundError as e:
        if not _is_of_namespace(e):
            return service, [Refusal(f"the cluster knows no RayServices ({e})", "install KubeRay 1.6 with its CRDs")]
        unknown[_OF_SERVICE] = str(e)
    except ClusterRejectedError as e:
        if "exceeded quota" not in str(e):
            return service, [Refusal(f"the API server would refuse it: {shortened(str(e))}", _CORRECT)]
        unknown[_OF_SERVICE] = str(e)
    except (ClusterForbiddenError, ClusterConflictError) as e:
        unknown[_OF_SERVICE] = str(e)
    return service, []


def try_objects(cluster: TrialCluster, objects: Sequence[Manifest], unknown: dict[str, str]) -> list[Refusal]:
    """Which of the other objects the API server would refuse, and which kinds it does not know.

    helm would stop there, with the release half upgraded: what cannot be changed in an object is the usual reason.
    """
    refused = []
    for each in objects:
        what = f"{each['kind']} {name_of(each)}"
        try:
            kind = cluster.kind(each["apiVersion"], each["kind"])
        except ClusterNotFoundError as e:
            fix = "install what brings its CRD, or leave it out by its value"
            refused.append(Refusal(f"{what} cannot be made: {e}", fix))
            continue
        try:
            cluster.would_apply(kind, each)
        except ClusterRejectedError as e:
            refused.append(Refusal(f"the API server would refuse {what}: {shortened(str(e))}", _CORRECT))
        except (ClusterForbiddenError, ClusterConflictError, ClusterNotFoundError) as e:
            unknown[f"API server's word on {what}"] = str(e)
    return refused


def _is_of_namespace(e: ClusterNotFoundError) -> bool:
    """A namespace that helm is to make with the release."""
    return str(e).startswith("namespaces ")

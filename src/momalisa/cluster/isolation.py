"""A job's own network: pure, from a RayJob to the NetworkPolicy that comes with it.

Ray needs every port among a job's pods, and a NetworkPolicy cannot say "pods with the same label as this one": a policy
for all jobs would let each reach every other's Ray. So each job brings its own, which its RayJob owns and takes along.
It selects by the run's label, not by the RayCluster's name, since KubeRay builds a new RayCluster at each retry.
"""

from typing import Any

RUN_LABEL = "momalisa.dev/run"
AUTOSCALED_LABEL = "momalisa.dev/autoscaled"
"""On the head of a job that scales itself, as "true": it opens the way to the API server."""
_RAY_NODE = {"ray.io/is-ray-node": "yes"}
_DASHBOARD_PORT = 8265
_NUM_UID_CHARACTERS = 8


def network_policy(rayjob: dict[str, Any]) -> dict[str, Any]:
    """The NetworkPolicy of a RayJob as the API server returned it (its uid is needed).

    The job's Ray nodes reach each other on every port, and its submitter the dashboard. All else (DNS, buckets, the
    operator, metrics) is the namespace's: k8s/base/network.yaml. Pod templates must carry the label `momalisa.dev/run`.
    """
    metadata = rayjob["metadata"]
    run = metadata["name"]
    nodes = {"podSelector": {"matchLabels": {RUN_LABEL: run, **_RAY_NODE}}}
    anyone_of_the_run = {"podSelector": {"matchLabels": {RUN_LABEL: run}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            # With the uid: a job of the same name as one just deleted must not find the policy that goes with that.
            "name": f"{run}-{metadata['uid'][:_NUM_UID_CHARACTERS]}",
            "namespace": metadata["namespace"],
            "labels": {"app.kubernetes.io/managed-by": "momalisa", RUN_LABEL: run},
            "ownerReferences": [
                {"apiVersion": rayjob["apiVersion"], "kind": "RayJob", "name": run, "uid": metadata["uid"]}
            ],
        },
        "spec": {
            "podSelector": nodes["podSelector"],
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"from": [nodes]},
                {"from": [anyone_of_the_run], "ports": [{"protocol": "TCP", "port": _DASHBOARD_PORT}]},
            ],
            "egress": [{"to": [nodes]}],
        },
    }

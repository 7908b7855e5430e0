"""What cannot be, or would end in an upgrade that is stuck: found before it is begun. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from momalisa.cluster.kinds import Manifest
from momalisa.cluster.pods import GPU, condition
from momalisa.cluster.rules import cluster_pod_specs, cluster_problems, name_problems, unsafe
from momalisa.cluster.troubles import shortened
from momalisa.config import from_dict
from momalisa.errors import ConfigError
from momalisa.release.facts import CLUSTER_SPEC
from momalisa.release.room import Surroundings
from momalisa.service.structure import ConductorLife, GatewayLife, Structure

_OURS = "serve.app:build_app"
_LIVES: Mapping[str, type[Any]] = {"conductor": ConductorLife, "gateway": GatewayLife}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that cannot be."""

    what: str
    fix: str


def refusals(running: Manifest | None, goal: Manifest, serve: Mapping[str, Any], around: Surroundings) -> list[Refusal]:
    """All of them, so that all is told at once; those of too little room are `plan.py`'s."""
    return [
        *_of_kuberay(goal),
        *_of_service(goal),
        *_of_running(running, goal, around),
        *_of_pods(goal, around),
        *_of_serve(goal, serve),
    ]


def _of_kuberay(goal: Manifest) -> Iterator[Refusal]:
    for problem in [*name_problems(goal), *cluster_problems(goal["spec"][CLUSTER_SPEC])]:
        yield Refusal(f"KubeRay would refuse it: {problem}", "correct the values that it is made from")


def _of_service(goal: Manifest) -> Iterator[Refusal]:
    spec = goal["spec"]
    kind = (spec.get("upgradeStrategy") or {}).get("type")
    if kind == "NewClusterWithIncrementalUpgrade":
        yield Refusal(
            "upgradeStrategy NewClusterWithIncrementalUpgrade is behind a gate that is off: KubeRay would build no "
            "cluster at all",
            "take NewCluster",
        )
    if spec[CLUSTER_SPEC].get("suspend"):
        yield Refusal("suspend deletes every pod: nothing would serve", "leave it out; renderers can go to 0")


def _of_running(running: Manifest | None, goal: Manifest, around: Surroundings) -> Iterator[Refusal]:
    if around.helm_status is not None and around.helm_status.startswith("pending-"):
        yield Refusal(
            f"helm left the release {around.helm_status}: it would refuse another operation",
            "wait for whoever upgrades it; or, where nobody does, helm rollback",
        )
    if running is None:
        return
    if condition(running, "Ready").get("reason") == "InitializingTimeout":
        yield Refusal("KubeRay gave this RayService up for good and looks at it no more", "delete it, then install it")
    for where, old, new in (
        ("managedBy", running["spec"].get("managedBy"), goal["spec"].get("managedBy")),
        ("rayClusterConfig.managedBy", *(each["spec"][CLUSTER_SPEC].get("managedBy") for each in (running, goal))),
    ):
        if old != new:
            yield Refusal(f"{where} cannot change from {old} to {new}", "delete the RayService, then install it")


def _of_pods(goal: Manifest, around: Surroundings) -> Iterator[Refusal]:
    if around.enforced == "restricted":
        for problem in unsafe(cluster_pod_specs(goal["spec"][CLUSTER_SPEC])):
            yield Refusal(f"Pod Security would refuse a pod: {problem}", "correct the values that it is made from")


def _of_serve(goal: Manifest, serve: Mapping[str, Any]) -> Iterator[Refusal]:
    """By this version's own schema: the image's may be another one."""
    for application in serve.get("applications") or []:
        if application["import_path"] != _OURS:
            continue
        arguments = application.get("args") or {}
        yield from _unreadable("args", Structure, arguments)
        for deployment in application.get("deployments") or []:
            life = _LIVES.get(str(deployment.get("name")))
            if life is not None and deployment.get("user_config") is not None:
                yield from _unreadable(f"{deployment['name']}.user_config", life, deployment["user_config"])
        yield from _without_gpus(goal, arguments)


def _unreadable(where: str, kind: type[Any], given: Mapping[str, Any]) -> Iterator[Refusal]:
    try:
        from_dict(kind, given)
    except (ConfigError, TypeError) as e:
        yield Refusal(f"the service would not take {where}: {shortened(str(e))}", "correct the values it is made from")


def _without_gpus(goal: Manifest, arguments: Mapping[str, Any]) -> Iterator[Refusal]:
    hungry = [name for name, scale in arguments.items() if isinstance(scale, Mapping) and scale.get("num_gpus")]
    containers = [each for _, pod in cluster_pod_specs(goal["spec"][CLUSTER_SPEC]) for each in pod["containers"]]
    has = any(((each.get("resources") or {}).get("limits") or {}).get(GPU) for each in containers)
    if hungry and not has:
        yield Refusal(f"{', '.join(hungry)} would wait for a GPU that no pod has", f"give a worker group {GPU}")

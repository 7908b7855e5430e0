"""What a new manifest changes of a running RayService, and how heavy each change is: pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from momalisa.cluster.kinds import Manifest
from momalisa.cluster.pods import name_of
from momalisa.errors import ConfigError
from momalisa.release.changes import Change, Weight
from momalisa.release.cluster_specs import added_groups, differences, hashed, muted
from momalisa.release.facts import CLUSTER_SPEC, SERVE_CONFIG, ReleaseFacts
from momalisa.release.go_structs import written
from momalisa.release.serve_changes import parsed, serve_changes

_ONE_STRATEGY = (None, "NewCluster")
_SERVICE = "serveService"
_COMPARED_APART = {CLUSTER_SPEC, SERVE_CONFIG}


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What a new manifest is compared with."""

    service: Manifest
    """The RayService, as it is wanted so far."""
    cluster: Mapping[str, Any]
    """The spec of the RayCluster that KubeRay compares with: of the pending one, else of the active one."""
    is_pending: bool = False
    """Whether an upgrade is under way."""
    is_serving: bool = True
    deployments: Mapping[str, list[str]] | None = None
    """Those that run, by application."""

    @classmethod
    def of(cls, facts: ReleaseFacts) -> "Running | None":
        """By the facts; None where there is no release yet."""
        if facts.service is None:
            return None
        cluster = facts.cluster(facts.pending or facts.active)
        applications = facts.applications() or facts.applications(pending=True)
        return cls(
            service=facts.service,
            cluster=facts.spec[CLUSTER_SPEC] if cluster is None else cluster["spec"],
            is_pending=bool(facts.pending),
            is_serving=bool(facts.active),
            deployments={name: list(each.get("serveDeploymentStatuses") or {}) for name, each in applications.items()},
        )


def service_changes(running: Running | None, goal: Manifest) -> list[Change]:
    """The changes, the heaviest first. Raises ConfigError for a goal whose serveConfigV2 cannot be read."""
    wanted = parsed(goal["spec"].get(SERVE_CONFIG) or "")
    if running is None:
        return [Change(weight=Weight.FIRST_CLUSTER, path=f"RayService {name_of(goal)}", words="it is not there yet")]
    cluster = list(_cluster_changes(running, goal))
    builds = any(change.weight in (Weight.SECOND_CLUSTER, Weight.THIRD_CLUSTER) for change in cluster)
    serve = serve_changes(_served(running), wanted, running.deployments or {})
    if builds or running.is_pending:
        serve = [_on_new_cluster_alone(change) for change in serve]
    found = [*cluster, *serve, *_other_changes(running.service, goal)]
    return sorted(found, key=lambda change: -change.weight)


def object_changes(old: Sequence[Manifest], new: Sequence[Manifest]) -> list[Change]:
    """What becomes of the other objects of the chart."""
    before, after = _by_name(old), _by_name(new)
    changes = []
    for name in [*before, *(name for name in after if name not in before)]:
        words = "removed" if name not in after else "added" if name not in before else ""
        if words:
            changes.append(Change(weight=Weight.APPLIED, path=name, words=words))
        elif places := [path for path, _, _ in differences(_content(before[name]), _content(after[name]))]:
            is_file = name.startswith(("ConfigMap", "Secret")) and any(path.startswith("data") for path in places)
            files = "; pods see changed files within some minutes" if is_file else ""
            where = ", ".join(places[:3]) + (", …" if len(places) > 3 else "")
            changes.append(Change(weight=Weight.APPLIED, path=name, words=f"changed at {where}{files}"))
    return changes


def _cluster_changes(running: Running, goal: Manifest) -> Iterator[Change]:
    wanted = goal["spec"][CLUSTER_SPEC]
    groups = added_groups(running.cluster, wanted)
    if groups is None:
        yield from _other_cluster(running, goal)
    for group in groups or []:
        words = (
            "with it, the replicas, limits and tolerations of all groups are applied, and what the autoscaler set "
            "begins anew at `replicas`"
        )
        yield Change(
            weight=Weight.GROUP_ADDED, path=f"{CLUSTER_SPEC}.workerGroupSpecs[{group}]", words=words, new="a group"
        )
    words = "the other cluster has it" if groups is None else "applied with the new group" if groups else ""
    for path, old, new in differences(muted(running.service["spec"][CLUSTER_SPEC]), muted(wanted)):
        if not (groups and path in {f"workerGroupSpecs[{group}]" for group in groups}):
            path = f"{CLUSTER_SPEC}.{path}"
            yield Change(weight=Weight.IGNORED, path=path, words=words, old=old, new=new)


def _other_cluster(running: Running, goal: Manifest) -> Iterator[Change]:
    """KubeRay builds another cluster, or, where it may not, does nothing at all."""
    strategy = (goal["spec"].get("upgradeStrategy") or {}).get("type")
    weight, words = Weight.SECOND_CLUSTER, ""
    if strategy not in _ONE_STRATEGY:
        weight, words = Weight.IGNORED, f"with upgradeStrategy {strategy} KubeRay builds no other cluster"
    elif running.is_pending and running.is_serving:
        weight, words = Weight.THIRD_CLUSTER, "compared with the pending cluster"
    elif running.is_pending:
        words = "the first cluster is not up yet, and is given up for another one"
    for path, old, new in differences(hashed(running.cluster), hashed(goal["spec"][CLUSTER_SPEC])):
        yield Change(weight=weight, path=f"{CLUSTER_SPEC}.{path}", words=words, old=old, new=new)


def _other_changes(service: Manifest, goal: Manifest) -> Iterator[Change]:
    def rest(manifest: Manifest) -> dict[str, Any]:
        spec = written(manifest["spec"], "RayServiceSpec")
        return {key: value for key, value in spec.items() if key not in _COMPARED_APART}

    old, new = rest(service), rest(goal)
    for key in {**old, **new}:
        weight = Weight.IGNORED if key == _SERVICE else Weight.APPLIED
        for path, before, after in differences(old.get(key), new.get(key), key):
            words = _of_service(path) if key == _SERVICE else ""
            yield Change(weight=weight, path=path, words=words, old=before, new=after)
    for kind in ("labels", "annotations"):
        told, wanted = (each["metadata"].get(kind) or {} for each in (service, goal))
        for key in wanted:
            if told.get(key) != wanted[key]:
                words = "on the RayService at once, on its RayClusters from the next one on"
                yield Change(
                    weight=Weight.APPLIED,
                    path=f"metadata.{kind}.{key}",
                    words=words,
                    old=told.get(key),
                    new=wanted[key],
                )


def _of_service(path: str) -> str:
    if path.startswith((f"{_SERVICE}.metadata.labels", f"{_SERVICE}.metadata.annotations")):
        return (
            "KubeRay sets it when it makes the Service and never again: kubectl label or annotate the one that is there"
        )
    return "KubeRay writes the Service's spec anew when traffic switches to another cluster"


def _served(running: Running) -> dict[str, Any]:
    try:
        return parsed(running.service["spec"].get(SERVE_CONFIG) or "")
    except ConfigError:
        return {}  # what runs came from an earlier one; of this none came


def _on_new_cluster_alone(change: Change) -> Change:
    words = f"{change.words}; " if change.words and change.weight is not Weight.RESTARTED else ""
    return replace(
        change,
        weight=min(change.weight, Weight.APPLIED),
        words=f"{words}on the other cluster alone: the one that serves keeps what it has",
    )


def _by_name(manifests: Sequence[Manifest]) -> dict[str, Manifest]:
    return {f"{each['kind']} {name_of(each)}": each for each in manifests if each["kind"] != "RayService"}


def _content(manifest: Manifest) -> dict[str, Any]:
    """Without the labels that every new version of a chart changes."""
    metadata = manifest["metadata"]
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key not in _OF_VERSIONS}
    return {**manifest, "metadata": {**metadata, "labels": labels}}


_OF_VERSIONS = ("helm.sh/chart", "app.kubernetes.io/version")

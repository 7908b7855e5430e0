"""A plan from the chart and the cluster: renders, asks the API server what it would make of it, and looks around."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from momalisa.cluster.facts import look
from momalisa.cluster.kinds import LIMIT_RANGE, NAMESPACE, NODE, POD, RAY_SERVICE, RESOURCE_QUOTA, Manifest
from momalisa.cluster.pods import name_of
from momalisa.cluster.troubles import shortened
from momalisa.errors import ClusterForbiddenError, ClusterNotFoundError, ConfigError
from momalisa.release.attribution import attributed, service_in
from momalisa.release.dry_runs import TrialCluster, try_objects, try_service
from momalisa.release.facts import HELM_RELEASE, gather
from momalisa.release.going_back import ClusterWriter
from momalisa.release.helm import Helm, KeptRelease, Values, history, in_force
from momalisa.release.plan import Plan, make_plan
from momalisa.release.refusals import Refusal
from momalisa.release.room import Surroundings

_ENFORCE = "pod-security.kubernetes.io/enforce"


class PlanCluster(TrialCluster, ClusterWriter, Protocol):
    """What is asked of a cluster here; `client.Cluster` is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to run: a chart with values, or what was rendered of it elsewhere."""

    chart: str = ""
    files: tuple[str, ...] = ()
    set_flags: tuple[str, ...] = ()
    """Helm's own, word by word: `--set`, `a.b=c`, `--set-json`, …"""
    rendered: tuple[Manifest, ...] | None = None


def plan_upgrade(cluster: PlanCluster, release: str, wanted: Wanted, helm: Helm | None) -> Plan:
    """The plan of an upgrade of a helm release. Raises ConfigError for what cannot be rendered, ClusterError."""
    unknown: dict[str, str] = {}
    revisions = look(lambda: history(cluster, release), unknown, "helm's release (its values, and other objects)") or []
    kept = in_force(revisions)
    values = None if wanted.rendered is not None else _values(_required(helm), wanted, kept)
    manifests = wanted.rendered if values is None else _required(helm).template(release, wanted.chart, values)
    assert manifests is not None
    service = service_in(manifests)
    steady = _steady(release, wanted, helm, values, manifests)
    before = _before(kept, manifests, steady) if kept else []
    goal, refused = try_service(cluster, service, unknown)
    refused += try_objects(cluster, [each for each in steady if each not in before and each != service], unknown)
    runs = find_service(cluster, release, name_of(service))
    refused += _renamed(runs, service)
    plan = make_plan(
        gather(cluster, runs),
        goal,
        _surroundings(cluster, revisions[0].status if revisions else None, unknown),
        objects=(before, steady) if kept else ((), ()),
        unknown=[f"{what}: {why}" for what, why in unknown.items()],
    )
    plan = replace(plan, refusals=(*refused, *plan.refusals))
    return (
        plan if values is None or kept is None else _with_causes(plan, release, wanted, _required(helm), values, kept)
    )


def find_service(cluster: PlanCluster, release: str, otherwise: str = "") -> str:
    """The name of a helm release's RayService, which need not be the release's.

    otherwise: what it is called where there is none; by default as the release.
    """
    if cluster.find(RAY_SERVICE, release) is not None:
        return release
    owned = []
    with suppress(ClusterNotFoundError, ClusterForbiddenError):
        services = cluster.list(RAY_SERVICE)
        owned = [name_of(each) for each in services if _owner_of(each) == release]
    return owned[0] if len(owned) == 1 else otherwise or release


def _owner_of(service: Manifest) -> str | None:
    return (service["metadata"].get("annotations") or {}).get(HELM_RELEASE)


def _renamed(runs: str, service: Manifest) -> list[Refusal]:
    if runs == name_of(service):
        return []
    return [
        Refusal(
            f"the RayService would be called {name_of(service)}, and helm would delete {runs}, which serves",
            "leave the names as they are; or install a second release, bring visitors there, and uninstall this one",
        )
    ]


def _values(helm: Helm, wanted: Wanted, kept: KeptRelease | None) -> Values:
    """As `helm upgrade` has it: with no values given, those of the release."""
    if not wanted.files and not wanted.set_flags and kept is not None:
        return helm.computed_values(wanted.chart, kept.values)
    return helm.computed_values(wanted.chart, wanted.files, wanted.set_flags)


def _surroundings(cluster: PlanCluster, helm_status: str | None, unknown: dict[str, str]) -> Surroundings:
    namespace = look(lambda: cluster.find(NAMESPACE, cluster.namespace), unknown, "namespace") or {}
    silently: dict[str, str] = {}  # the plan itself tells of these, where they matter
    return Surroundings(
        quotas=look(lambda: cluster.list(RESOURCE_QUOTA), silently, "quotas"),
        limits=look(lambda: cluster.list(LIMIT_RANGE), silently, "limits"),
        nodes=look(lambda: cluster.list(NODE), silently, "nodes"),
        pods=look(lambda: cluster.list(POD), silently, "pods") or [],
        enforced=((namespace.get("metadata") or {}).get("labels") or {}).get(_ENFORCE),
        helm_status=helm_status,
    )


def _steady(
    release: str, wanted: Wanted, helm: Helm | None, values: Values | None, manifests: Sequence[Manifest]
) -> list[Manifest]:
    """The chart's objects but for those that are another at each rendering.

    Such are Secrets that helm makes once: at an upgrade it looks up what is there.
    """
    again = manifests if values is None else _required(helm).template(release, wanted.chart, values)
    return [each for each in manifests if each in again]


def _before(kept: KeptRelease, manifests: Sequence[Manifest], steady: Sequence[Manifest]) -> list[Manifest]:
    """What was there of the objects that are compared."""
    unsteady = {(each["kind"], name_of(each)) for each in manifests if each not in steady}
    return [each for each in kept.manifests if (each["kind"], name_of(each)) not in unsteady]


def _with_causes(plan: Plan, release: str, wanted: Wanted, helm: Helm, values: Values, kept: KeptRelease) -> Plan:
    old = helm.computed_values(wanted.chart, kept.values)
    now = helm.chart_name(wanted.chart)
    otherwise = (
        f"the chart ({kept.chart} → {now})" if kept.chart != now else "no value: what runs was changed otherwise"
    )

    def render(given: object) -> list[Manifest]:
        assert isinstance(given, dict)
        return helm.template(release, wanted.chart, given)

    try:
        changes = attributed(plan.changes, render, old, values, otherwise=otherwise)
    except ConfigError as e:  # the new chart takes the old values no more
        return replace(plan, notes=(*plan.notes, f"which values cause it is not known: {shortened(str(e))}"))
    return replace(plan, changes=tuple(changes))


def _required(helm: Helm | None) -> Helm:
    if helm is None:
        raise ConfigError("rendering a chart needs helm: name it by --helm, or give --manifest")
    return helm

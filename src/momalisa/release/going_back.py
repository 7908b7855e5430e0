"""Back to what serves still, without a third cluster.

"The revision before" is a guess: after a rollback that is the broken one. So the way back is chosen by what the active
cluster has.

Where an upgrade is stuck, KubeRay compares a spec that is taken back with the pending cluster alone: it differs, so
another one is built, of the very spec that the active cluster has, for which there may be no room either. The way out
is to have KubeRay forget that any cluster is pending, as soon as the active one is what is wanted: it then goes on with
that. `helm rollback` alone leaves it two seconds for that, so the spec goes back beforehand, with a strategy by which
KubeRay builds nothing. It would delete the other only after the delay that is meant for a cluster that has served, and
whose GPUs would be held as long: this one never did, so it is deleted here.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from momalisa.cluster.follow import Pace, Say
from momalisa.cluster.kinds import RAY_CLUSTER, RAY_SERVICE, Kind, Manifest
from momalisa.errors import ClusterConflictError, ClusterError, ClusterForbiddenError
from momalisa.release.causes import is_gone, is_taken_back
from momalisa.release.cluster_specs import is_same
from momalisa.release.facts import CLUSTER_SPEC, ReleaseFacts, ReleaseReader, gather
from momalisa.release.helm import KeptRelease

_ONCE_WELL = ("deployed", "superseded")
_ROLLBACK = re.compile(r"Rollback to (\d+)")
_MAX_TRIES = 5
_HELMS = "meta.helm.sh/"
"""Annotations that helm adds to what a chart renders."""


class ClusterWriter(ReleaseReader, Protocol):
    """What is asked of a cluster here; `client.Cluster` is one."""

    def patch(self, kind: Kind, name: str, patch: Mapping[str, Any], *, subresource: str = "") -> Manifest:
        """A JSON merge patch."""

    def apply_as_helm(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Server-side apply, in helm's name."""

    def delete(self, kind: Kind, name: str) -> None:
        """Is there none: fine."""


def way_back(facts: ReleaseFacts, revisions: Sequence[KeptRelease]) -> KeptRelease | None:
    """The revision that the active cluster is of: the newest before what is wanted, and other than that.

    Serve's configuration may be all that differs, and nobody keeps which one a cluster has: so going back twice goes
    further back, and never to what was gone back from.

    revisions: the newest first. None where there is none, of which `why_no_way` says why.
    """
    active = facts.cluster(facts.active)
    if active is None or not revisions:
        return None
    wanted, before = _content(revisions[0]), _origin(revisions)
    for kept in revisions:
        content = _content(kept) if kept.revision < before and kept.status in _ONCE_WELL else None
        if content is not None and content != wanted and is_same(active["spec"], content[0][CLUSTER_SPEC]):
            return kept
    return None


def why_no_way(facts: ReleaseFacts) -> str:
    """Why there is no way back."""
    history = f"(helm history {facts.release} has them: --revision N)"
    if not facts.active:
        return "no cluster served before: upgrade again with values that are mended"
    if is_gone(facts, facts.active):
        return f"the RayCluster {facts.active} is gone: wait for the next one, or choose a revision yourself {history}"
    if facts.cluster(facts.active) is None:
        return f"you may not look at RayClusters, so which revision {facts.active} is of is not known {history}"
    return f"helm keeps no other revision that {facts.active} is of: choose one yourself {history}"


def _origin(revisions: Sequence[KeptRelease]) -> int:
    """The revision that the newest one repeats, where it is a rollback, of a rollback, …"""
    by_number = {kept.revision: kept for kept in revisions}
    number = revisions[0].revision
    while (kept := by_number.get(number)) and (to := _ROLLBACK.match(kept.description)) and int(to[1]) < number:
        number = int(to[1])
    return number


def _content(kept: KeptRelease) -> tuple[dict[str, Any], Any] | None:
    """What KubeRay makes something of: the RayService's spec and its annotations."""
    service = _service_of(kept)
    return None if service is None else (service["spec"], service["metadata"].get("annotations"))


def _service_of(kept: KeptRelease) -> Manifest | None:
    services = [each for each in kept.manifests if each["kind"] == RAY_SERVICE.kind]
    return services[0] if len(services) == 1 else None


def take_back(
    cluster: ClusterWriter, facts: ReleaseFacts, revision: KeptRelease, *, say: Say, pace: Pace | None = None
) -> None:
    """Ends an upgrade whose spec `helm rollback` to a revision is about to take back, before KubeRay can build a third
    cluster for it. Does nothing where none is pending, or one may not do it: `drop_pending` then mends it afterwards.

    The active cluster is to be of the revision's spec.
    """
    before = _service_of(revision)
    if not facts.pending or facts.service is None or before is None:
        return
    annotations = facts.service["metadata"].get("annotations") or {}
    helms = {name: value for name, value in annotations.items() if name.startswith(_HELMS)}
    metadata = {**before["metadata"], "annotations": {**(before["metadata"].get("annotations") or {}), **helms}}
    before = {**before, "metadata": metadata}
    strategy = {**(before["spec"].get("upgradeStrategy") or {}), "type": "None"}
    try:
        cluster.apply_as_helm(RAY_SERVICE, {**before, "spec": {**before["spec"], "upgradeStrategy": strategy}})
    except ClusterError as e:
        say(f"KubeRay may build a third cluster for a moment, since the spec cannot go back beforehand ({e})")
        return
    try:
        drop_pending(cluster, facts.name, given_up=facts.pending, say=say, pace=pace)
    finally:
        cluster.apply_as_helm(RAY_SERVICE, before)


def drop_pending(cluster: ClusterWriter, name: str, *, say: Say, given_up: str = "", pace: Pace | None = None) -> bool:
    """Ends an upgrade whose spec was taken back; False where there is none, or it may not be ended.

    KubeRay may write at the same moment, so it is tried until it holds.

    given_up: the RayCluster that was pending before the spec was taken back. KubeRay has put another one in its place
    by now, and keeps it like one that has served; so it is deleted here too.
    """
    pace = pace or Pace()
    forgotten: list[str] = []
    for _ in range(_MAX_TRIES):
        facts = gather(cluster, name, clock=pace.now)
        if not is_taken_back(facts) or facts.traffic == facts.pending:  # KubeRay sends visitors there, and says it next
            break
        try:
            cluster.patch(RAY_SERVICE, name, _nothing_pending(facts), subresource="status")
        except ClusterForbiddenError as e:
            say(f"KubeRay builds a third cluster, since you may not tell it to forget {facts.pending} ({e})")
            break
        except ClusterConflictError:
            continue  # it has perhaps named another one
        forgotten.append(facts.pending)
        say(f"{facts.active} is of the wanted spec already: {facts.pending} goes, and no third cluster is built")
        pace.sleep(2 * pace.every_s)
    facts = gather(cluster, name, clock=pace.now)
    for _ in range(_MAX_TRIES):
        if not given_up or facts.pending != given_up or facts.traffic == given_up:
            break
        pace.sleep(pace.every_s)  # KubeRay has not looked at the spec yet
        facts = gather(cluster, name, clock=pace.now)
    for each in ({given_up, *forgotten} & {*facts.retiring}) - {facts.traffic}:
        _delete(cluster, each, say)
    return bool(forgotten) and not facts.pending


def _nothing_pending(facts: ReleaseFacts) -> dict[str, Any]:
    """Of the very state that was looked at: KubeRay may be about to name another one."""
    version = (facts.service or {})["metadata"].get("resourceVersion")
    held = {"metadata": {"resourceVersion": version}} if version else {}
    return {**held, "status": {"pendingServiceStatus": None}}


def _delete(cluster: ClusterWriter, name: str, say: Say) -> None:
    try:
        cluster.delete(RAY_CLUSTER, name)
    except ClusterForbiddenError as e:
        say(f"KubeRay deletes {name} only after its delay, since you may not ({e}): its pods hold what they hold")

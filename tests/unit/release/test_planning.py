"""A plan from a chart and a cluster: values are helm's, the release is what the cluster keeps."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from momalisa.cluster.kinds import NAMESPACE, NODE, RAY_CLUSTER, RAY_SERVICE, RESOURCE_QUOTA, SECRET
from momalisa.errors import ClusterError, ClusterNotFoundError, ClusterRejectedError, ConfigError
from momalisa.release.changes import Weight
from momalisa.release.helm import Helm, _with_nulls, history, in_force, manifests_of
from momalisa.release.planning import Wanted, find_service, plan_upgrade
from tests.unit.cluster.namespace_in_memory import InMemory
from tests.unit.release import fake_helm
from tests.unit.release.examples import NAME, ray_cluster
from tests.unit.release.examples import running as running_service
from tests.unit.release.test_plan import node, quota


@pytest.fixture
def chart(tmp_path: Path) -> tuple[Helm, str]:
    command, chart = fake_helm.install(tmp_path)
    return Helm(command, namespace="momalisa"), chart


@pytest.fixture
def cluster(chart: tuple[Helm, str]) -> InMemory:
    """The release as it came of the chart's own values."""
    helm, folder = chart
    service, *others = helm.template(NAME, folder, {})
    found = InMemory()
    live = running_service(service)
    found.put(RAY_SERVICE, NAME, metadata=live["metadata"], spec=live["spec"], status=live["status"])
    ours = ray_cluster(spec=service["spec"]["rayClusterConfig"])
    found.put(RAY_CLUSTER, ours["metadata"]["name"], **{key: ours[key] for key in ("metadata", "spec", "status")})
    found.put(NAMESPACE, "momalisa", metadata={"labels": {"pod-security.kubernetes.io/enforce": "restricted"}})
    found.put(NODE, "one", **{key: node(8)[key] for key in ("spec", "status")})
    keep(found, {}, [service, *others])
    return found


def keep(cluster: InMemory, values: dict[str, Any], manifests: list[Any], *, revision: int = 1, **more: Any) -> None:
    """As helm keeps a release."""
    content = {
        "version": revision,
        "info": {"status": "deployed"},
        "config": values,
        "manifest": "\n---\n".join(json.dumps(each) for each in manifests),
        "chart": {"metadata": {"name": "momalisa", "version": "0.1.0"}},
    } | more
    data = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(content).encode()))).decode()
    labels = {"owner": "helm", "name": NAME, "version": str(revision)}
    cluster.put(SECRET, f"sh.helm.release.v1.{NAME}.v{revision}", metadata={"labels": labels}, data={"release": data})


def wanted(chart: tuple[Helm, str], *assignments: str, **more: Any) -> Wanted:
    set_flags = tuple(word for each in assignments for word in ("--set", each))
    return Wanted(chart=chart[1], set_flags=set_flags, **more)


def test_no_value_no_change(cluster: InMemory, chart: tuple[Helm, str]) -> None:
    plan = plan_upgrade(cluster, NAME, wanted(chart), chart[0])
    assert (plan.weight, plan.changes, plan.refusals, plan.unknown) == (Weight.NOTHING, (), (), ())


def test_each_change_names_its_values(cluster: InMemory, chart: tuple[Helm, str], tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("image: {tag: '2'}\nlimits: {max_frames: 60}\nretention: {keep_days: null}\n")
    plan = plan_upgrade(cluster, NAME, wanted(chart, "workers.maxReplicas=20", files=(str(file),)), chart[0])
    assert plan.weight is Weight.SECOND_CLUSTER
    causes = {change.path.rpartition(".")[2]: change.values for change in plan.changes}
    assert causes == {
        "image": ("image.tag",),
        "max_frames": ("limits.max_frames",),
        "maxReplicas": ("workers.maxReplicas",),
        "ConfigMap keep": ("retention.keep_days",),
    }
    assert "image: momalisa:1 → momalisa:2; by image.tag" in plan.in_words()


def test_what_no_value_causes_is_the_charts(cluster: InMemory, tmp_path: Path) -> None:
    command, folder = fake_helm.install(tmp_path, version="0.2.0")
    Path(folder, "values.yaml").write_text(fake_helm.VALUES.replace('"1"', '"2"'))
    plan = plan_upgrade(cluster, NAME, Wanted(chart=folder), Helm(command))
    assert [change.values for change in plan.changes] == [("the chart (momalisa-0.1.0 → momalisa-0.2.0)",)]


def test_what_somebody_changed_by_hand_is_told(cluster: InMemory, chart: tuple[Helm, str]) -> None:
    cluster.objects["RayService", NAME]["spec"]["rayClusterDeletionDelaySeconds"] = 5
    plan = plan_upgrade(cluster, NAME, wanted(chart), chart[0])
    (change,) = plan.changes
    assert change.path == "rayClusterDeletionDelaySeconds"
    assert change.values == ("no value: what runs was changed otherwise",)


def test_a_manifest_needs_no_helm_and_names_no_values(cluster: InMemory, chart: tuple[Helm, str]) -> None:
    rendered = tuple(chart[0].template(NAME, chart[1], {"image": {"tag": "3"}}))
    plan = plan_upgrade(cluster, NAME, Wanted(rendered=rendered), None)
    assert plan.weight is Weight.SECOND_CLUSTER
    assert {change.values for change in plan.changes} == {()}


def test_a_first_install(chart: tuple[Helm, str]) -> None:
    plan = plan_upgrade(InMemory(), NAME, wanted(chart), chart[0])
    assert plan.weight is Weight.FIRST_CLUSTER


def test_the_api_servers_refusal_is_one(cluster: InMemory, chart: tuple[Helm, str]) -> None:
    cluster.failing["dry-run", "RayService"] = ClusterRejectedError("spec.x: unknown field")
    plan = plan_upgrade(cluster, NAME, wanted(chart), chart[0])
    assert "the API server would refuse it: spec.x: unknown field" in plan.refusals[0].what


def test_every_object_that_is_changed_or_added_is_tried_too(cluster: InMemory, chart: tuple[Helm, str]) -> None:
    cluster.failing["apply", "ConfigMap"] = ClusterRejectedError("ConfigMap keep: field is immutable when `immutable`")
    assert not plan_upgrade(cluster, NAME, wanted(chart), chart[0]).refusals  # it is as it was
    plan = plan_upgrade(cluster, NAME, wanted(chart, "retention.keep_days=7"), chart[0])
    assert [each.what for each in plan.refusals] == [
        "the API server would refuse ConfigMap keep: ConfigMap keep: field is immutable when `immutable`"
    ]
    cluster.failing.clear()
    cluster.unknown_kinds.add("ConfigMap")
    plan = plan_upgrade(cluster, NAME, wanted(chart, "retention.keep_days=7"), chart[0])
    assert "ConfigMap keep cannot be made: the cluster does not know ConfigMap (v1)" in plan.refusals[0].what
    cluster.denied.add(("list", "Secret"))  # what is there is not known, so all are tried
    assert "ConfigMap keep" in plan_upgrade(cluster, NAME, wanted(chart), chart[0]).refusals[0].what


def test_objects_that_may_not_be_tried_are_named(cluster: InMemory, chart: tuple[Helm, str]) -> None:
    cluster.denied.add(("apply", "ConfigMap"))
    plan = plan_upgrade(cluster, NAME, wanted(chart, "retention.keep_days=7"), chart[0])
    assert (plan.refusals, len(plan.unknown)) == ((), 1)
    assert plan.unknown[0].startswith("API server's word on ConfigMap keep: ")


def test_a_namespace_that_is_to_be_made_refuses_nothing(chart: tuple[Helm, str]) -> None:
    nowhere, absent = InMemory(), ClusterNotFoundError('namespaces "momalisa" not found')
    nowhere.denied.add(("list", "Node"))
    nowhere.failing |= {("dry-run", "RayService"): absent, ("apply", "ConfigMap"): absent}
    plan = plan_upgrade(nowhere, NAME, wanted(chart), chart[0])
    assert plan.refusals == ()
    assert [each.partition(":")[0] for each in plan.unknown[:2]] == [
        "API server's word on it",
        "API server's word on ConfigMap keep",
    ]


def test_a_quota_of_rayservices_is_in_the_trials_way_alone(cluster: InMemory, chart: tuple[Helm, str]) -> None:
    cluster.failing["dry-run", "RayService"] = ClusterRejectedError("exceeded quota: count/rayservices")
    plan = plan_upgrade(cluster, NAME, wanted(chart), chart[0])
    assert not plan.refusals
    assert "exceeded quota" in plan.unknown[0]


def test_a_user_who_may_see_nothing_else_gets_a_plan(cluster: InMemory, chart: tuple[Helm, str]) -> None:
    cluster.denied |= {("list", kind.kind) for kind in (SECRET, NODE, RESOURCE_QUOTA)} | {("dry-run", "RayService")}
    plan = plan_upgrade(cluster, NAME, wanted(chart, "image.tag=2"), chart[0])
    assert plan.weight is Weight.SECOND_CLUSTER
    assert [each.partition(":")[0] for each in plan.unknown] == [
        "helm's release (its values, and other objects)",
        "API server's word on it",
        "quotas",
        "nodes",
    ]


def test_quotas_are_looked_at(cluster: InMemory, chart: tuple[Helm, str]) -> None:
    full = quota(1, 1)
    cluster.put(RESOURCE_QUOTA, "gpus", spec=full["spec"], status=full["status"])
    plan = plan_upgrade(cluster, NAME, wanted(chart, "image.tag=2"), chart[0])
    assert "quota gpus" in plan.refusals[0].what


def test_revisions_are_in_order_and_a_newest_one_that_failed_is_not_in_force(cluster: InMemory) -> None:
    keep(cluster, {"image": {"tag": "9"}}, [], revision=10, info={"status": "failed", "description": "timed out"})
    kept = history(cluster, NAME)
    assert [(each.revision, each.status, each.description) for each in kept] == [
        (10, "failed", "timed out"),
        (1, "deployed", ""),
    ]
    assert kept[0].values == {"image": {"tag": "9"}}
    assert in_force(kept) is kept[1]
    assert in_force(kept[:1]) is kept[0]  # a first install that failed
    assert (history(cluster, "another"), in_force([])) == ([], None)


def test_after_a_revision_that_failed_the_values_are_those_before_it(
    cluster: InMemory, chart: tuple[Helm, str]
) -> None:
    failed = chart[0].template(NAME, chart[1], {"image": {"tag": "9"}, "retention": {"keep_days": 1}})
    keep(cluster, {"image": {"tag": "9"}, "retention": {"keep_days": 1}}, failed, revision=2, info={"status": "failed"})
    plan = plan_upgrade(cluster, NAME, Wanted(chart=chart[1]), chart[0])
    assert (plan.weight, plan.changes, plan.refusals) == (Weight.NOTHING, (), ())
    keep(cluster, {}, failed, revision=3, info={"status": "pending-upgrade"})
    plan = plan_upgrade(cluster, NAME, Wanted(chart=chart[1]), chart[0])
    assert "helm left the release pending-upgrade" in plan.refusals[0].what


def test_a_release_that_cannot_be_read_is_said(cluster: InMemory) -> None:
    labels = {"owner": "helm", "name": NAME, "version": "11"}
    cluster.put(SECRET, "eleven", metadata={"labels": labels}, data={"release": "bm8="})
    with pytest.raises(ClusterError, match="Secret eleven is no release of helm's"):
        history(cluster, NAME)


def test_the_rayservice_is_found_by_its_release(cluster: InMemory) -> None:
    assert find_service(cluster, NAME) == NAME
    cluster.objects.pop(("RayService", NAME))
    assert find_service(cluster, NAME) == NAME
    cluster.put(RAY_SERVICE, "walks-momalisa", metadata={"annotations": {"meta.helm.sh/release-name": NAME}})
    assert find_service(cluster, NAME) == "walks-momalisa"


def test_without_the_right_to_list_the_name_is_taken_at_its_word(cluster: InMemory) -> None:
    cluster.denied.add(("list", "RayService"))
    assert find_service(cluster, "another") == "another"


def test_another_name_would_be_another_service(cluster: InMemory, chart: tuple[Helm, str]) -> None:
    live = cluster.objects.pop(("RayService", NAME))
    annotations = {"meta.helm.sh/release-name": NAME}
    metadata = live["metadata"] | {"name": "others", "annotations": annotations}
    cluster.put(RAY_SERVICE, "others", metadata=metadata, spec=live["spec"], status=live["status"])
    plan = plan_upgrade(cluster, NAME, wanted(chart), chart[0])
    assert "would be called walks, and helm would delete others, which serves" in plan.refusals[0].what


def test_helm_says_why_it_refuses(chart: tuple[Helm, str]) -> None:
    with pytest.raises(ConfigError, match="helm template: values don't meet"):
        chart[0].template(NAME, chart[1], {"limits": {"max_frames": None}})
    with pytest.raises(ClusterError, match="release: not found"):
        chart[0].rollback("absent", 1)


def test_values_are_helms_own_merge(chart: tuple[Helm, str]) -> None:
    values = chart[0].computed_values(chart[1], {"retention": {"keep_days": None}, "more": 1}, ["--set", "image.tag=7"])
    assert values == {
        "image": {"tag": "7"},
        "limits": {"max_frames": 120},
        "retention": {"keep_days": None},
        "workers": {"maxReplicas": 8},
        "more": 1,
    }


@pytest.mark.parametrize(
    ("computed", "handed_on"),
    [
        ({"a": {"x": 1, "z": {"r": 2}}, "c": {}}, {"a": {"x": 1, "z": {"r": 2}}, "c": {}}),
        ({"a": {"x": 1}, "c": {}}, {"a": {"x": 1, "z": None}, "c": {}}),
        ({"a": {"z": {}}, "c": {}}, {"a": {"x": None, "z": {"r": None}}, "c": {}}),
        ({"c": {"n": 1}, "b": 2}, {"a": None, "c": {"n": 1}, "b": 2}),
    ],
)
def test_null_is_for_what_was_taken_away_alone(computed: Any, handed_on: Any) -> None:
    defaults = {"a": {"x": 1, "y": None, "z": {"q": None, "r": 2}}, "b": None, "c": {}}
    assert _with_nulls(defaults, computed) == handed_on


def test_rendering_needs_no_cluster_and_rolling_back_does(tmp_path: Path) -> None:
    command, chart = fake_helm.install(tmp_path)
    helm = Helm(command, context="lab", namespace="walks")
    helm.template(NAME, chart, {})
    helm.rollback(NAME, 3)
    template, rollback = (tmp_path / "calls").read_text().splitlines()
    assert "--kube-context" not in template
    assert rollback == f"rollback {NAME} 3 --namespace walks --kube-context lab"


def test_no_helm_is_said_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match="install Helm 4"):
        Helm("no-such-helm")


def test_hooks_and_comments_are_no_objects() -> None:
    hook = "kind: B\nmetadata: {name: b, annotations: {helm.sh/hook: test}}\n"
    text = f"# nothing\n---\nkind: A\nmetadata: {{name: a}}\n---\n{hook}"
    assert [each["kind"] for each in manifests_of(text)] == ["A"]
    with pytest.raises(ConfigError, match="no YAML"):
        manifests_of("a: [")

"""What builds a second Ray cluster, and what must not: by what KubeRay compares."""

import base64
import copy
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve._private.deploy_utils import get_app_code_version
from ray.serve.schema import ServeApplicationSchema

from momalisa.service.config import MIN_SECRET_BYTES
from tests.support import chart
from tests.support.chart import CHART, VALUE_SETS, Manifest, manifests, named

# Of KubeRay 1.6 (GenerateHashWithoutReplicasAndWorkersToDelete): what it leaves out of a group and of its pods.
_OF_A_GROUP = ("replicas", "minReplicas", "maxReplicas")
_OF_A_POD = ("tolerations", "schedulingGates")
SET = "gke-spot"
# What differs in place: value → what Ray Serve is told anew.
IN_PLACE = [
    "limits.max_frames=100",
    'models=[{"id":"another","uri":"gs://b/m"}]',
    "admission.max_works=7",
    "retention.keep_days=3",
    'moderation.languages=["en"]',
    "streams.retry_ms=100",
    "deployments.renderer.maxReplicas=40",
    "deployments.renderer.minReplicas=1",
    "deployments.gateway.maxReplicas=2",
    "deployments.gateway.numCpus=1",
]
# What touches no Ray cluster, and of Ray Serve nothing.
BESIDE = [
    "upgrade.deletionDelaySeconds=1000",
    "head.takesTraffic=false",
    'service.type="LoadBalancer"',
    'ingress={"enabled":true,"hosts":["a.example.org"]}',
    "httpRoute.enabled=false",
    "networkPolicy.enabled=false",
    "podDisruptionBudgets.head=0",
    'podMonitor.interval="10s"',
    "prometheusRule.maxQueueSeconds=5",
    "dashboard.enabled=false",
    "sweep.enabled=false",
    "tests.enabled=false",
    'serviceAccount.annotations={"a":"b"}',
    'extraObjects=[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}]',
    # KubeRay does not compare these:
    "workers.replicas=3",
    "workers.maxReplicas=30",
    'workers.tolerations=[{"operator":"Exists"}]',
]
ANEW = [
    'image.digest="sha256:' + "f" * 64 + '"',
    'extraEnv={"A":"b"}',
    'head.resources={"limits":{"cpu":"4"}}',
    'workers.nodeSelector={"a":"b"}',
    "autoscaling.idleTimeoutSeconds=5",
    'podLabels={"a":"b"}',
    'modelCache.size="1Gi"',
    'access.keys.existingSecret="another"',
    "terminationGracePeriodSeconds=300",
]
RESTARTS = [
    'bucket.uri="gs://another/walks"',
    "page.enabled=false",
    "application.max_models_per_renderer=2",
    "access.isOpen=true",
]


def compared(objects: tuple[Manifest, ...]) -> Manifest:
    """Of a RayService what KubeRay compares."""
    cluster: Manifest = copy.deepcopy(named(objects, "RayService")["spec"]["rayClusterConfig"])
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        for name in _OF_A_GROUP:
            group.pop(name, None)
        for name in _OF_A_POD:
            group["template"]["spec"].pop(name, None)
    return cluster


def served(objects: tuple[Manifest, ...]) -> tuple[str, Any]:
    """What Ray Serve is told: by what it decides to restart all, and all of it."""
    told = yaml.safe_load(named(objects, "RayService")["spec"]["serveConfigV2"])
    return get_app_code_version(ServeApplicationSchema.model_validate(told["applications"][0])), told


def without_secrets(objects: tuple[Manifest, ...]) -> list[Manifest]:
    """What signs sessions is random where Helm cannot look up what there is."""
    return [each for each in objects if each["kind"] != "Secret"]


def test_what_signs_sessions_is_long_and_random() -> None:
    values = ('bucket.uri="gs://b/p"',)
    secrets = [
        named([each for each in yaml.safe_load_all(chart.rendered("", *values)) if each], "Secret")["data"]["secrets"]
        for _ in range(2)
    ]
    assert secrets[0] != secrets[1]
    assert all(len(base64.b64decode(secret)) >= MIN_SECRET_BYTES for secret in secrets)


@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_nothing_differs_from_one_rendering_to_the_next(value_set: str) -> None:
    again = tuple(each for each in yaml.safe_load_all(chart.rendered(value_set)) if each)
    assert without_secrets(again) == without_secrets(manifests(value_set))


def test_a_new_chart_is_no_new_cluster_where_the_image_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [named(manifests(value_set), "RayService")["spec"] for value_set in VALUE_SETS]
    copied = tmp_path / "momalisa"
    shutil.copytree(CHART, copied)
    text = (copied / "Chart.yaml").read_text()
    text = re.sub(r"^version: .*", "version: 9.9.9", text, flags=re.MULTILINE)
    (copied / "Chart.yaml").write_text(re.sub(r"^appVersion: .*", 'appVersion: "8.8.8"', text, flags=re.MULTILINE))
    monkeypatch.setattr(chart, "CHART", copied)
    for value_set, spec in zip(VALUE_SETS, before, strict=True):
        rendered = chart.rendered(value_set)
        assert "momalisa-9.9.9" in rendered
        assert named([each for each in yaml.safe_load_all(rendered) if each], "RayService")["spec"] == spec
    # Where nothing says which image it is the chart's own.
    assert "momalisa:8.8.8" in chart.rendered("", 'bucket.uri="gs://b/p"')


@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_no_checksum_and_no_chart_s_version_is_in_what_is_compared(value_set: str) -> None:
    assert not re.search(r"checksum|helm\.sh|app\.kubernetes\.io/version", json.dumps(compared(manifests(value_set))))


@pytest.mark.parametrize("change", IN_PLACE)
def test_in_place(change: str) -> None:
    before, after = manifests(SET), manifests(SET, change)
    assert compared(after) == compared(before)
    assert served(after)[0] == served(before)[0]
    assert served(after)[1] != served(before)[1]


@pytest.mark.parametrize("change", BESIDE)
def test_beside(change: str) -> None:
    before, after = manifests(SET), manifests(SET, change)
    assert compared(after) == compared(before)
    assert served(after) == served(before)
    assert after != before


@pytest.mark.parametrize("change", RESTARTS)
def test_all_deployments_start_anew(change: str) -> None:
    before, after = manifests(SET), manifests(SET, change)
    assert compared(after) == compared(before)
    assert served(after)[0] != served(before)[0]


@pytest.mark.parametrize("change", ANEW)
def test_a_second_cluster(change: str) -> None:
    assert compared(manifests(SET, change)) != compared(manifests(SET))


def test_a_group_at_the_end_changes_no_other() -> None:
    groups = [{"name": "a", "gpus": 1}, {"name": "b", "gpus": 2}]
    two = compared(manifests(SET, f"rendererGroups={json.dumps(groups)}"))
    one = compared(manifests(SET, f"rendererGroups={json.dumps(groups[:1])}"))
    two["workerGroupSpecs"] = two["workerGroupSpecs"][:-1]
    assert two == one

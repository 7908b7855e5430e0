"""Every value of the chart, changed alone: the plan's class of it is what the headings of values.yaml promise.

python -m tests.unit.helm.test_classes     # the class of each value, as a table
"""

import copy
import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest
import yaml

from momalisa.cluster.kinds import Manifest
from momalisa.release.attribution import service_in
from momalisa.release.changes import Change, Weight, heaviest
from momalisa.release.comparing import Running, object_changes, service_changes
from momalisa.release.helm import Helm
from tests.support import chart, kuberay
from tests.support.chart import CHART, RELEASE

DEPLOYMENTS = ["gateway", "conductor", "text_encoder", "renderer", "assembler"]
MOST = {
    "builds a second Ray cluster": Weight.SECOND_CLUSTER,
    "restarts all deployments": Weight.RESTARTED,
    "is taken in place": Weight.RESTARTED,
    "touches no Ray cluster": Weight.IGNORED,
}
OTHERS: dict[str, Any] = {
    "image.registry": "elsewhere.example",
    "image.pullPolicy": "Always",
    "image.digest": f"sha256:{'a' * 64}",
    "bucket.uri": "gs://elsewhere/walks",
    "modelCache.type": "ephemeral",
    "priorityClass.preemptionPolicy": "PreemptLowerPriority",
    "application.log_encoding": "TEXT",
    "application.drawing": {"dtype": "bfloat16"},
    "application.encoding": {"dtype": "float16"},
    "application.leading": {"renew_s": 3},
    "moderation.when_unreachable": "allow",
    "moderation.endpoint": "https://judge.example",
    "retention.keep_days": 30,
    "upgrade.strategy": "None",
    "service.type": "NodePort",
    "ingress.className": "nginx",
    "ingress.hosts": ["other.example.org"],
    "ingress.tls": [{"hosts": ["walks.example.org"], "secretName": "tls"}],
    "httpRoute.hosts": ["other.example.org"],
    "networkPolicy.operator": [{"podSelector": {}}],
    "networkPolicy.prometheus": [{"podSelector": {}}],
    "networkPolicy.dns": [{"podSelector": {}}],
    "networkPolicy.apiServer": [{"ipBlock": {"cidr": "10.0.0.1/32"}}],
    "networkPolicy.apiServerPorts": [6443],
    "podDisruptionBudgets.head": 0,
    "prometheusRule.maxErrorShare": 0.2,
    "prometheusRule.maxFailedShare": 0.2,
    "sweep.schedule": "1 1 * * *",
    "prometheusRule.runbookUrl": "https://runbook.example",
    "tracing.endpoint": "http://collector:4318",
    "tracing.samplingRatio": 0.2,
    "gcsFaultTolerance.redisAddress": "redis.example:6379",
    "gcsFaultTolerance.networkPeers": [{"ipBlock": {"cidr": "10.0.0.1/32"}}],
    "extraEnv": {"A": "1"},
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "tmp", "mountPath": "/more"}],
    "deployments.renderer.numGpus": 0.5,
    "podDisruptionBudgets.workers": 0,
    "models": [{"id": "moma", "uri": "gs://museum/moma"}],
    "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more"}}],
}

# What some values need beside them, to be taken and to do anything at all.
_ALL_FIGURES_OFF = {name: {"enabled": False} for name in ("podMonitor", "serviceMonitor", "prometheusRule")}
NEEDS: dict[str, dict[str, Any]] = {
    "image.registry": {"global": {"imageRegistry": ""}, "image": {"registry": "registry.example"}},
    "image.tag": {"image": {"digest": ""}},
    "bucket.secretKey": {"bucket": {"existingSecret": "key"}},
    "access.visitors": {"tests": {"enabled": False}},
    "autoscaling.enabled": {"rendererGroups": [{"name": "l4", "gpus": 1, "replicas": 1}]},
    "gcsFaultTolerance": {"gcsFaultTolerance": {"enabled": True, "redisAddress": "a:1", "existingSecret": "redis"}},
    "modelCache.type": {"modelCache": {"type": "emptyDir", "storageClassName": ""}},
    "priorityClass.name": {"priorityClass": {"create": False, "name": "own"}},
    "tracing": {"tracing": {"enabled": True, "endpoint": "http://traces:4318"}},
    "application.serves_metrics": _ALL_FIGURES_OFF,
    "podMonitor.enabled": _ALL_FIGURES_OFF,
    "serviceMonitor.enabled": _ALL_FIGURES_OFF,
    "deployments.renderer.numCpus": {"rendererGroups": []},
    "networkPolicy.gke": {"serviceAccount": {"annotations": {}}},
    "ingress": {"ingress": {"enabled": True, "hosts": ["walks.example.org"]}},
    "httpRoute.gateway.create": {"httpRoute": {"parentRefs": [{"name": "own"}]}},
}
# `helm test` runs a hook, which is no part of a release.
DOES_NOTHING = {"tests.walk", "tests.timeoutSeconds", "tests.existingSecret", "tests.secretKey"}


pytestmark = pytest.mark.skipif(
    chart.helm() is None, reason="there is no helm: install one, or build it by `python -m tests.cluster.binaries`"
)


def sections() -> dict[str, str]:
    """The heading of values.yaml that each topmost value is below; "" above the first one."""
    found, heading = {}, ""
    for line in (CHART / "values.yaml").read_text().splitlines():
        if match := re.match(r"# --- (.*) ---$", line):
            heading = match.group(1)
        elif match := re.match(r"([A-Za-z_]+):", line):
            found[match.group(1)] = heading
    return found


def most_of(heading: str) -> Weight:
    """What its values do at most."""
    return next(weight for words, weight in MOST.items() if words in heading)


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and value and path not in OTHERS and not any("." in each for each in value):
            yield from leaves(value, f"{path}.")
        else:
            yield path, value


def other(path: str, value: Any) -> Any:
    """Another value of the same kind."""
    if path in OTHERS:
        return OTHERS[path]
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, str):
        number = re.match(r"\d+", value)
        return value.replace(number.group(), str(int(number.group()) + 1), 1) if number else f"{value}x"
    if isinstance(value, list):
        if path == "rendererGroups":
            return [*value, {"name": "appended", "gpus": 1}]
        if path.endswith("olerations"):
            return [{"key": "a", "operator": "Exists"}]
        return value[:-1] if len(value) > 1 else [{"name": "another"}]
    return {"a": "b"}


def changed(values: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    found = copy.deepcopy(dict(values))
    *above, last = path.split(".")
    target = found
    for key in above:
        target = target[key]
    target[last] = value
    return found


class Found(NamedTuple):
    """What a value does that is changed alone."""

    before: Manifest
    after: Manifest
    changes: list[Change]


def found_of_each() -> dict[str, Found]:
    """By the value's path."""
    helm = Helm(chart.helm(), namespace=chart.NAMESPACE)
    values = _merged(chart.defaults(), yaml.safe_load(chart.values_file("gke-spot").read_text()))
    rendered: dict[str, list[Manifest]] = {}
    found = {}
    for path, _ in leaves(values):
        base = _merged(values, NEEDS.get(path) or NEEDS.get(path.partition(".")[0], {}))
        key = json.dumps(base)
        if key not in rendered:
            rendered[key] = helm.template(RELEASE, str(CHART), base)
        before = rendered[key]
        after = helm.template(RELEASE, str(CHART), changed(base, path, other(path, _at(base, path))))
        service = service_in(before)
        running = Running(
            service=service, cluster=service["spec"]["rayClusterConfig"], deployments={"momalisa": DEPLOYMENTS}
        )
        objects = [each for each in object_changes(before, after) if not each.path.startswith("Secret ")]
        found[path] = Found(service, service_in(after), [*service_changes(running, service_in(after)), *objects])
    return found


def _at(values: Any, path: str) -> Any:
    for key in path.split("."):
        values = values[key]
    return values


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(old[key], value) if isinstance(value, dict) and value and isinstance(old.get(key), dict) else value
        for key, value in new.items()
    }
    return {**old, **both}


@pytest.fixture(scope="module")
def found() -> dict[str, Found]:
    return found_of_each()


def test_no_value_does_more_than_its_heading_says(found: dict[str, Found]) -> None:
    below = sections()
    assert len(set(below.values())) == len(MOST) + 1
    wrong = {
        path: heaviest(each.changes).flag
        for path, each in found.items()
        if (heading := below[path.partition(".")[0]]) and heaviest(each.changes) > most_of(heading)
    }
    assert not wrong


def test_sizes_restart_one_deployment_at_most(found: dict[str, Found]) -> None:
    for path, each in found.items():
        if path.startswith("deployments."):
            restarts = [change.words for change in each.changes if change.weight is Weight.RESTARTED]
            assert all("every" not in words for words in restarts), path
            assert bool(restarts) is path.endswith(("numCpus", "numGpus")), path


def test_every_value_does_something(found: dict[str, Found]) -> None:
    assert {path for path, each in found.items() if not each.changes} == DOES_NOTHING
    weights = {heaviest(each.changes) for each in found.values()}
    assert weights == set(Weight) - {Weight.FIRST_CLUSTER, Weight.THIRD_CLUSTER}
    assert heaviest(found["rendererGroups"].changes) is Weight.GROUP_ADDED


@pytest.mark.skipif(not kuberay.is_built(), reason=kuberay.TO_BUILD)
def test_kuberay_does_what_the_plan_says(found: dict[str, Found]) -> None:
    by_base: dict[str, dict[str, Found]] = {}
    for path, each in found.items():
        by_base.setdefault(json.dumps(each.before), {})[path] = each
    for base, those in by_base.items():
        goals = {path: each.after["spec"]["rayClusterConfig"] for path, each in those.items()}
        verdicts = kuberay.assert_agrees(json.loads(base)["spec"]["rayClusterConfig"], goals)
        for path, each in those.items():
            weight = heaviest(each.changes)
            builds, adds = weight is Weight.SECOND_CLUSTER, weight is Weight.GROUP_ADDED
            assert verdicts[path] == ("another" if builds else "updated" if adds else "nothing"), path


if __name__ == "__main__":
    for path, each in found_of_each().items():
        sys.stdout.write(f"{path:50} {heaviest(each.changes).flag}\n")

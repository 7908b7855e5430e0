"""Manifests as files, for people to read; `UPDATE_GOLDEN=1 pytest tests/unit/cluster` writes them anew."""

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from momalisa.cluster.config import JobConfig, PodResources
from momalisa.cluster.isolation import RUN_LABEL
from momalisa.cluster.manifests import CONFIG_ANNOTATION, ray_job
from momalisa.cluster.rules import kuberay_problems, pod_security_problems, pod_specs
from momalisa.config import from_dict
from tests.unit.cluster.examples import GOLDEN, config

FOLDER = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", GOLDEN)
def test_manifests_are_those_in_the_files(name: str) -> None:
    file = FOLDER / f"{name}.yaml"
    manifest = ray_job(GOLDEN[name])
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(yaml.safe_dump(manifest, sort_keys=False, width=120))
    assert yaml.safe_load(file.read_text()) == manifest


@pytest.mark.parametrize("name", GOLDEN)
def test_nobody_would_refuse_them(name: str) -> None:
    manifest = ray_job(GOLDEN[name])
    assert kuberay_problems(manifest) == []
    assert pod_security_problems(manifest) == []


@pytest.mark.parametrize("name", GOLDEN)
def test_the_config_can_be_read_back(name: str) -> None:
    stored = json.loads(ray_job(GOLDEN[name])["metadata"]["annotations"][CONFIG_ANNOTATION])
    assert from_dict(JobConfig, stored) == GOLDEN[name]


def test_arguments_reach_the_job_as_they_are() -> None:
    job = GOLDEN["prepare"]
    # The submitter's shell takes the quotes away once; `ray job submit` joins the words as shlex does, for the head's.
    words = shlex.split(shlex.join(shlex.split(ray_job(job)["spec"]["entrypoint"])))
    assert words[-2:] == list(job.arguments)


def seconds_of_clusters(**changes: Any) -> set[int]:
    rules = ray_job(config(**changes))["spec"]["deletionStrategy"]["deletionRules"]
    return {rule["condition"]["ttlSeconds"] for rule in rules if rule["policy"] == "DeleteCluster"}


def test_no_idle_cluster_holds_gpus() -> None:
    assert seconds_of_clusters(autoscale=True) == {0}  # its autoscaler keeps two workers
    assert seconds_of_clusters(autoscale=True, min_workers=None) == {300}  # here none
    assert seconds_of_clusters() == {300}  # here KubeRay deletes them


def test_gpus_come_from_the_workers_alone() -> None:
    pods = dict(pod_specs(ray_job(config(worker=PodResources(cpus=1, memory_gib=2, gpus=2)))))
    limits = {where: pod["containers"][0]["resources"]["limits"].get("nvidia.com/gpu") for where, pod in pods.items()}
    assert limits == {"headGroupSpec": None, "workerGroupSpecs[workers]": "2", "submitterPodTemplate": None}
    without = dict(pod_specs(ray_job(config(worker=PodResources(cpus=1, memory_gib=2)))))
    assert "nodeSelector" not in without["workerGroupSpecs[workers]"]


def test_a_small_machine_may_promise_more_cpus_than_it_has() -> None:
    pods = dict(pod_specs(ray_job(config(cpu_overcommit=10, worker=PodResources(cpus=1, memory_gib=2)))))
    resources = pods["workerGroupSpecs[workers]"]["containers"][0]["resources"]
    assert (resources["requests"]["cpu"], resources["limits"]["cpu"]) == ("100m", "1")


def test_every_pod_says_whose_it_is() -> None:
    spec = ray_job(config())["spec"]
    cluster = spec["rayClusterSpec"]
    templates = [group["template"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]
    for template in [*templates, spec["submitterPodTemplate"]]:
        assert template["metadata"]["labels"][RUN_LABEL] == "watercolours"
        assert template["spec"]["automountServiceAccountToken"] is False


def test_only_the_autoscaler_has_a_token() -> None:
    head = dict(pod_specs(ray_job(config(autoscale=True))))["headGroupSpec"]
    mounted = {each["name"]: [mount["name"] for mount in each["volumeMounts"]] for each in head["containers"]}
    assert "kubernetes-api" in mounted["autoscaler"]
    assert "kubernetes-api" not in mounted["head"]

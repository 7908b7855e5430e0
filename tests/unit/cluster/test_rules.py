"""Each rule refuses what it is there for, and says so."""

from collections.abc import Callable
from typing import Any

import pytest

from momalisa.cluster.manifests import ray_job
from momalisa.cluster.rules import kuberay_problems, pod_security_problems
from tests.unit.cluster.examples import config

Change = Callable[[dict[str, Any]], Any]


def spec_with(**fields: Any) -> Change:
    return lambda job: job["spec"].update(fields)


def cluster_with(**fields: Any) -> Change:
    return lambda job: job["spec"]["rayClusterSpec"].update(fields)


def head(job: dict[str, Any]) -> Any:
    return job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]


def rules(*pairs: tuple[str, dict[str, Any]]) -> Change:
    written = [{"policy": policy, "condition": condition} for policy, condition in pairs]
    return spec_with(deletionStrategy={"deletionRules": written})


KUBERAY: dict[str, tuple[Change, str]] = {
    "long": (lambda job: job["metadata"].update(name="a" * 48), "48 characters"),
    "name": (lambda job: job["metadata"].update(name="1st"), "DNS-1035"),
    "suspend": (spec_with(suspend=True), "suspend needs shutdownAfterJobFinishes"),
    "ttl": (spec_with(ttlSecondsAfterFinished=5), "needs shutdownAfterJobFinishes"),
    "negative ttl": (spec_with(ttlSecondsAfterFinished=-5), "0 or more"),
    "both": (spec_with(shutdownAfterJobFinishes=True), "exclude each other"),
    "legacy": (lambda job: job["spec"]["deletionStrategy"].update(onSuccess={}), "onSuccess"),
    "empty": (spec_with(deletionStrategy={}), "is empty"),
    "no condition": (rules(("DeleteSelf", {})), "exactly one"),
    "twice": (rules(*[("DeleteSelf", {"jobStatus": "FAILED"})] * 2), "twice"),
    "order": (
        rules(("DeleteWorkers", {"jobStatus": "FAILED", "ttlSeconds": 9}), ("DeleteSelf", {"jobStatus": "FAILED"})),
        "workers must go no later",
    ),
    "negative rule": (rules(("DeleteSelf", {"jobStatus": "FAILED", "ttlSeconds": -1})), "0 or more"),
    "scaling": (cluster_with(enableInTreeAutoscaling=True), "DeleteWorkers is forbidden with autoscaling"),
    "deadline": (spec_with(activeDeadlineSeconds=0), "activeDeadlineSeconds must be above 0"),
    "start": (spec_with(preRunningDeadlineSeconds=0), "preRunningDeadlineSeconds must be above 0"),
    "backoff": (spec_with(backoffLimit=-1), "backoffLimit must be"),
    "selector": (spec_with(clusterSelector={"ray.io/cluster": "x"}), "forbid a backoffLimit"),
    "suspended selector": (
        spec_with(clusterSelector={"ray.io/cluster": "x"}, suspend=True),
        "cannot be suspended",
    ),
    "interactive": (spec_with(submissionMode="InteractiveMode"), "forbid a backoffLimit"),
    "sidecar": (spec_with(submissionMode="SidecarMode"), "SidecarMode forbids submitterPodTemplate"),
    "nothing": (lambda job: job["spec"].pop("rayClusterSpec"), "neither rayClusterSpec"),
    "gate": (cluster_with(tlsOptions={}), "behind a gate"),
    "no version": (cluster_with(rayVersion=""), "needs rayVersion"),
    "old": (cluster_with(rayVersion="2.51.1"), "2.52"),
    "v2": (
        lambda job: (
            cluster_with(enableInTreeAutoscaling=True, autoscalerOptions={"version": "v2"})(job),
            head(job).update(restartPolicy="Always"),
        ),
        "autoscaler v2 needs restartPolicy Never",
    ),
    "switch": (
        lambda job: head(job)["containers"][0]["env"].append({"name": "RAY_enable_autoscaler_v2", "value": "1"}),
        "autoscalerOptions.version says it",
    ),
    "redis": (
        lambda job: head(job)["containers"][0]["env"].append({"name": "RAY_REDIS_ADDRESS", "value": "r"}),
        "gcsFaultToleranceOptions",
    ),
    "no container": (lambda job: head(job).update(containers=[]), "has no container"),
    "labels": (
        lambda job: job["spec"]["rayClusterSpec"]["headGroupSpec"].update(rayStartParams={"labels": "a=b"}),
        "beside rayStartParams",
    ),
    "suspended group": (
        lambda job: (
            cluster_with(enableInTreeAutoscaling=True)(job),
            job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0].update(suspend=True),
        ),
        "cannot be suspended with autoscaling",
    ),
}


@pytest.mark.parametrize("name", KUBERAY)
def test_kuberay_would_refuse(name: str) -> None:
    change, words = KUBERAY[name]
    job = ray_job(config())
    change(job)
    assert any(words in problem for problem in kuberay_problems(job)), kuberay_problems(job)


def container_with(**fields: Any) -> Change:
    return lambda job: head(job)["containers"][0].update(fields)


def security_with(**fields: Any) -> Change:
    return lambda job: head(job)["containers"][0]["securityContext"].update(fields)


POD_SECURITY: dict[str, tuple[Change, str]] = {
    "no submitter": (
        lambda job: job["spec"].pop("submitterPodTemplate"),
        "ray-job-submitter: set securityContext.allow",
    ),
    "sidecar": (spec_with(submissionMode="SidecarMode"), "ray-job-submitter: set securityContext.allow"),
    "autoscaler": (cluster_with(enableInTreeAutoscaling=True), "container autoscaler: set securityContext.allow"),
    "host network": (lambda job: head(job).update(hostNetwork=True), "hostNetwork is forbidden"),
    "host path": (lambda job: head(job)["volumes"].append({"name": "x", "hostPath": {}}), "forbidden kind hostPath"),
    "sysctl": (
        lambda job: head(job)["securityContext"].update(sysctls=[{"name": "kernel.x", "value": "1"}]),
        "sysctl kernel.x",
    ),
    "privileged": (security_with(privileged=True), "privileged is forbidden"),
    "capabilities": (security_with(capabilities={"add": ["SYS_ADMIN"]}), "capabilities SYS_ADMIN"),
    "no drop": (security_with(capabilities={}), "drop to [ALL]"),
    "root": (lambda job: head(job)["securityContext"].update(runAsUser=0), "runAsUser 0"),
    "may be root": (lambda job: head(job)["securityContext"].pop("runAsNonRoot"), "runAsNonRoot to true"),
    "is root after all": (security_with(runAsNonRoot=False), "runAsNonRoot to true"),
    "no seccomp": (lambda job: head(job)["securityContext"].pop("seccompProfile"), "RuntimeDefault"),
    "unconfined": (security_with(seccompProfile={"type": "Unconfined"}), "RuntimeDefault or Localhost"),
    "proc": (security_with(procMount="Unmasked"), "procMount"),
    "port": (container_with(ports=[{"containerPort": 1, "hostPort": 1}]), "hostPort"),
    "app armor": (security_with(appArmorProfile={"type": "Unconfined"}), "appArmorProfile"),
    "selinux": (security_with(seLinuxOptions={"user": "x"}), "seLinuxOptions"),
    "windows": (security_with(windowsOptions={"hostProcess": True}), "hostProcess"),
    "worker": (
        lambda job: job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"].update(hostPID=True),
        "workerGroupSpecs[workers]: hostPID",
    ),
}


@pytest.mark.parametrize("name", POD_SECURITY)
def test_pod_security_would_refuse(name: str) -> None:
    change, words = POD_SECURITY[name]
    job = ray_job(config())
    change(job)
    assert any(words in problem for problem in pod_security_problems(job)), pod_security_problems(job)

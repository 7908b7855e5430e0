"""What would refuse a RayJob later, found out now: KubeRay's own validation, and Pod Security `restricted`.

Pure functions on manifests. A server-side dry run checks neither: KubeRay validates after creation (and
`ValidationFailed` is final), Pod Security when pods are made.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from momalisa.cluster.config import MAX_NAME
from momalisa.cluster.kinds import Manifest

_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_FEWEST_SECONDS_FIRST = ("DeleteWorkers", "DeleteCluster", "DeleteSelf")
_TOKEN_SINCE = (2, 52)
_V2_SWITCH = "RAY_enable_autoscaler_v2"
_GATED = ("networkPolicy", "tlsOptions", "historyServerOptions")
_ALLOWED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_SECCOMP = ("RuntimeDefault", "Localhost")
_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}
_SELINUX_TYPES = ("container_t", "container_init_t", "container_kvm_t", "container_engine_t", "")


def kuberay_problems(job: Manifest) -> list[str]:
    """Why KubeRay would call this RayJob invalid, each with its fix; empty where it would not."""
    cluster = job["spec"].get("rayClusterSpec") or {}
    return [*name_problems(job), *_lifetime(job["spec"]), *_mode(job["spec"]), *cluster_problems(cluster)]


def pod_security_problems(job: Manifest) -> list[str]:
    """Why a namespace with Pod Security `restricted` would refuse this job's pods."""
    return unsafe(pod_specs(job))


def unsafe(pods: Iterable[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """What of these pods Pod Security `restricted` forbids."""
    return [problem for where, pod in pods for problem in _pod_problems(where, pod)]


def pod_specs(job: Manifest) -> list[tuple[str, dict[str, Any]]]:
    """The pods that a RayJob brings forth, as KubeRay will make them, each with where it is written down."""
    spec = job["spec"]
    pods = cluster_pod_specs(spec.get("rayClusterSpec") or {})
    mode = spec.get("submissionMode", "K8sJobMode")
    if mode == "SidecarMode":  # Its container takes no security context at all.
        head = pods[0][1]
        head["containers"] = [*head["containers"], {"name": "ray-job-submitter"}]
    if mode == "K8sJobMode":
        # Without a template KubeRay makes one whose container has no security context.
        bare = {"spec": {"containers": [{"name": "ray-job-submitter"}]}}
        pods.append(("submitterPodTemplate", (spec.get("submitterPodTemplate") or bare)["spec"]))
    return pods


def cluster_pod_specs(cluster: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The pods of a RayCluster's spec, the head first, each with where it is written down."""
    head = dict(cluster["headGroupSpec"]["template"]["spec"])
    if cluster.get("enableInTreeAutoscaling"):
        options = cluster.get("autoscalerOptions") or {}
        head["containers"] = [*head["containers"], {"name": "autoscaler", **options}]
    groups = cluster.get("workerGroupSpecs") or []
    workers = [(f"workerGroupSpecs[{group['groupName']}]", group["template"]["spec"]) for group in groups]
    return [("headGroupSpec", head), *workers]


def name_problems(job: Manifest) -> Iterator[str]:
    """Of a RayJob's or RayService's name, which the names of all that comes of it begin with."""
    name = job["metadata"]["name"]
    if len(name) > MAX_NAME:
        yield f"the name {name} has {len(name)} characters, of which KubeRay takes {MAX_NAME}: a shorter --name"
    if not _DNS_1035.fullmatch(name):
        yield f"the name {name} is no DNS-1035 label: lower-case letters, digits and '-', beginning with a letter"


def _lifetime(spec: Mapping[str, Any]) -> Iterator[str]:
    shuts_down = spec.get("shutdownAfterJobFinishes", False)
    strategy = spec.get("deletionStrategy")
    if spec.get("suspend") and not shuts_down:
        yield "suspend needs shutdownAfterJobFinishes: set it, or drop --queue"
    if spec.get("ttlSecondsAfterFinished", 0) < 0:
        yield "ttlSecondsAfterFinished must be 0 or more"
    if spec.get("ttlSecondsAfterFinished", 0) > 0 and not shuts_down:
        yield "ttlSecondsAfterFinished needs shutdownAfterJobFinishes: set it"
    if strategy is not None:
        yield from _strategy_problems(spec, strategy, bool(shuts_down))
    for limit in ("activeDeadlineSeconds", "preRunningDeadlineSeconds"):
        if limit in spec and spec[limit] <= 0:
            yield f"{limit} must be above 0"
    if spec.get("backoffLimit", 0) < 0:
        yield "backoffLimit must be 0 or more"


def _strategy_problems(spec: Mapping[str, Any], strategy: Mapping[str, Any], shuts_down: bool) -> Iterator[str]:
    rules = strategy.get("deletionRules") or []
    legacy = [name for name in ("onSuccess", "onFailure") if name in strategy]
    if rules and shuts_down:
        yield "deletionRules and shutdownAfterJobFinishes exclude each other: drop one"
    if rules and legacy:
        yield f"deletionRules and {' and '.join(legacy)} exclude each other: drop the latter"
    if not rules and len(legacy) < 2:
        yield "deletionStrategy is empty: give deletionRules"
    scaling = (spec.get("rayClusterSpec") or {}).get("enableInTreeAutoscaling")
    ttls: dict[tuple[str, str], dict[str, int]] = {}
    for number, rule in enumerate(rules):
        condition, policy = rule["condition"], rule["policy"]
        stated = [name for name in ("jobStatus", "jobDeploymentStatus") if name in condition]
        if len(stated) != 1:
            yield f"deletionRules[{number}] needs exactly one of jobStatus and jobDeploymentStatus"
            continue
        if condition.get("ttlSeconds", 0) < 0:
            yield f"deletionRules[{number}].ttlSeconds must be 0 or more"
        if policy == "DeleteWorkers" and scaling:
            yield f"deletionRules[{number}]: DeleteWorkers is forbidden with autoscaling"
        if spec.get("clusterSelector") and policy in ("DeleteWorkers", "DeleteCluster"):
            yield f"deletionRules[{number}]: {policy} is forbidden with clusterSelector"
        of_condition = ttls.setdefault((stated[0], condition[stated[0]]), {})
        if policy in of_condition:
            yield f"deletionRules[{number}]: {policy} for {condition[stated[0]]} is there twice"
        of_condition[policy] = condition.get("ttlSeconds", 0)
    for (_, status), of_condition in ttls.items():
        order = [of_condition[policy] for policy in _FEWEST_SECONDS_FIRST if policy in of_condition]
        if order != sorted(order):
            yield f"for {status}, workers must go no later than the cluster, and that no later than the job"


def _mode(spec: Mapping[str, Any]) -> Iterator[str]:
    mode = spec.get("submissionMode", "K8sJobMode")
    selector = spec.get("clusterSelector")
    if selector and spec.get("suspend"):
        yield "a job that runs in another's cluster (clusterSelector) cannot be suspended"
    if not selector and not spec.get("rayClusterSpec"):
        yield "there is neither rayClusterSpec nor clusterSelector: give the former"
    if mode == "SidecarMode":
        for name in ("submitterPodTemplate", "submitterConfig", "clusterSelector"):
            if spec.get(name):
                yield f"SidecarMode forbids {name}: use K8sJobMode"
    if spec.get("backoffLimit", 0) > 0 and (selector or mode == "InteractiveMode"):
        yield "InteractiveMode and clusterSelector forbid a backoffLimit above 0"


def cluster_problems(cluster: Mapping[str, Any]) -> Iterator[str]:
    """Of a RayCluster's spec, whichever object it is written down in."""
    for name in _GATED:
        if name in cluster:
            yield f"{name} is behind a gate that is off: remove it"
    groups = [("headGroupSpec", cluster["headGroupSpec"])] if "headGroupSpec" in cluster else []
    groups += [(f"workerGroupSpecs[{group['groupName']}]", group) for group in cluster.get("workerGroupSpecs") or []]
    scaling, options = cluster.get("enableInTreeAutoscaling", False), cluster.get("autoscalerOptions") or {}
    for where, group in groups:
        pod = group["template"]["spec"]
        if not pod.get("containers"):
            yield f"{where} has no container"
        if "labels" in group.get("rayStartParams", {}):
            yield f"{where}: labels belong beside rayStartParams, not in it"
        if scaling and group.get("suspend"):
            yield f"{where}: a worker group cannot be suspended with autoscaling"
        if scaling and options.get("version") == "v2" and pod.get("restartPolicy", "Never") != "Never":
            yield f"{where}: autoscaler v2 needs restartPolicy Never"
        names = {variable["name"] for each in pod.get("containers", []) for variable in each.get("env", [])}
        if where == "headGroupSpec" and _V2_SWITCH in names:
            yield f"{_V2_SWITCH} is set: autoscalerOptions.version says it"
        if "RAY_REDIS_ADDRESS" in names:
            yield "RAY_REDIS_ADDRESS is set without gcsFaultToleranceOptions: use these"
    if (cluster.get("authOptions") or {}).get("mode") == "token":
        yield from _token_problems(str(cluster.get("rayVersion", "")))


def _token_problems(ray_version: str) -> Iterator[str]:
    match = re.match(r"v?(\d+)\.(\d+)", ray_version)
    if match is None:
        yield f"token authentication needs rayVersion, which is {ray_version!r}"
    elif (int(match.group(1)), int(match.group(2))) < _TOKEN_SINCE:
        yield f"token authentication needs Ray 2.52 or newer, and the image is said to have {ray_version}"


def _pod_problems(where: str, pod: Mapping[str, Any]) -> Iterator[str]:
    security = pod.get("securityContext") or {}
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield f"{where}: {name} is forbidden"
    for volume in pod.get("volumes") or []:
        for kind in volume.keys() - {"name"} - _ALLOWED_VOLUMES:
            yield f"{where}: volume {volume['name']} is of the forbidden kind {kind}"
    for sysctl in security.get("sysctls") or []:
        if sysctl["name"] not in _SYSCTLS:
            yield f"{where}: sysctl {sysctl['name']} is forbidden"
    yield from _shared_problems(where, security)
    for containers in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod.get(containers) or []:
            yield from _container_problems(f"{where}, container {container['name']}", container, security)


def _container_problems(where: str, container: Mapping[str, Any], pod: Mapping[str, Any]) -> Iterator[str]:
    own = container.get("securityContext") or {}
    capabilities = own.get("capabilities") or {}
    if own.get("privileged"):
        yield f"{where}: privileged is forbidden"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{where}: set securityContext.allowPrivilegeEscalation to false"
    if "ALL" not in (capabilities.get("drop") or []):
        yield f"{where}: set securityContext.capabilities.drop to [ALL]"
    if added := set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
        yield f"{where}: capabilities {', '.join(sorted(added))} are forbidden"
    if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield f"{where}: set securityContext.runAsNonRoot to true"
    if (own.get("seccompProfile") or pod.get("seccompProfile") or {}).get("type") not in _SECCOMP:
        yield f"{where}: set securityContext.seccompProfile.type to RuntimeDefault"
    if own.get("procMount", "Default") != "Default":
        yield f"{where}: procMount must be Default"
    if any(port.get("hostPort") for port in container.get("ports") or []):
        yield f"{where}: hostPort is forbidden"
    yield from _shared_problems(where, own)


def _shared_problems(where: str, security: Mapping[str, Any]) -> Iterator[str]:
    """What neither a pod's nor a container's security context may say."""
    if security.get("runAsUser") == 0:
        yield f"{where}: runAsUser 0 is root, which is forbidden"
    if "seccompProfile" in security and security["seccompProfile"].get("type") not in _SECCOMP:
        yield f"{where}: seccompProfile.type must be RuntimeDefault or Localhost"
    if (security.get("appArmorProfile") or {}).get("type", "RuntimeDefault") not in _SECCOMP:
        yield f"{where}: appArmorProfile.type must be RuntimeDefault or Localhost"
    selinux = security.get("seLinuxOptions") or {}
    if selinux.get("type", "") not in _SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield f"{where}: seLinuxOptions may name no user, no role and only a container's type"
    if (security.get("windowsOptions") or {}).get("hostProcess"):
        yield f"{where}: hostProcess is forbidden"

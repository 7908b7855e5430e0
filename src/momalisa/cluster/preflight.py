"""Everything that can be known before anything is created. All of it is looked at, so that all is told at once.

What this user may not look at is said to be unknown, never to be well: the verdict tells it from the pods' events.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from momalisa.cluster.capacity import COUNT_OF_JOBS, grows, job_pods, limit_problems, node_problem, quota_problems
from momalisa.cluster.client import Cluster
from momalisa.cluster.config import JobConfig
from momalisa.cluster.kinds import (
    EVENT,
    LIMIT_RANGE,
    LOCAL_QUEUE,
    NAMESPACE,
    NETWORK_POLICY,
    NODE,
    POD,
    PRIORITY_CLASS,
    RAY_JOB,
    RESOURCE_QUOTA,
    SECRET,
    SERVICE_ACCOUNT,
    Kind,
    Manifest,
)
from momalisa.cluster.manifests import ray_job
from momalisa.cluster.rules import kuberay_problems, pod_security_problems
from momalisa.cluster.storage_checks import storage_findings
from momalisa.errors import (
    ClusterConflictError,
    ClusterError,
    ClusterForbiddenError,
    ClusterNotFoundError,
    ClusterUnreachableError,
)

Outcome = Literal["ok", "unknown", "failed"]
_ENFORCE = "pod-security.kubernetes.io/enforce"
_OLDEST = "1.6"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    outcome: Outcome
    words: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class _Asked:
    cluster: Cluster
    config: JobConfig
    job: Manifest


_Check = Callable[[_Asked], Iterator[Finding]]


def preflight(cluster: Cluster, config: JobConfig) -> list[Finding]:
    """Every check's findings, in an order for reading."""
    asked = _Asked(cluster, config, ray_job(config))
    findings = [finding for name, check in _OFFLINE.items() for finding in _run(name, check, asked)]
    reached = list(_run("API server", _api_server, asked))
    findings += reached
    if any(finding.outcome == "failed" for finding in reached):
        return [*findings, *(Finding(name, "unknown", "the API server was not reached") for name in _ONLINE)]
    return findings + [finding for name, check in _ONLINE.items() for finding in _run(name, check, asked)]


def has_failed(findings: list[Finding]) -> bool:
    """Whether something must be mended first."""
    return any(finding.outcome == "failed" for finding in findings)


def _run(name: str, check: _Check, asked: _Asked) -> Iterator[Finding]:
    try:
        for finding in check(asked):
            yield Finding(name, finding.outcome, finding.words, finding.fix)
    except ClusterForbiddenError as e:
        yield Finding(name, "unknown", str(e).partition(": ")[0])
    except ClusterUnreachableError as e:
        yield Finding(name, "unknown", str(e))
    except ClusterError as e:
        yield Finding(name, "failed", str(e))


def _ok(words: str = "") -> Finding:
    return Finding("", "ok", words)


def _unknown(words: str) -> Finding:
    return Finding("", "unknown", words)


def _failed(words: str, fix: str) -> Finding:
    return Finding("", "failed", words, fix)


def _kuberay_rules(asked: _Asked) -> Iterator[Finding]:
    problems = kuberay_problems(asked.job)
    for problem in problems:
        what, _, fix = problem.partition(": ")
        yield _failed(what, fix)
    if not problems:
        yield _ok("KubeRay's own validation has nothing against it")


def _storage(asked: _Asked) -> Iterator[Finding]:
    for outcome, words, fix in storage_findings(asked.config):
        yield Finding("", outcome, words, fix)


def _api_server(asked: _Asked) -> Iterator[Finding]:
    try:
        version = asked.cluster.version()
    except ClusterUnreachableError as e:
        yield _failed(str(e), "see that the cluster is up and reachable from here, or choose another --context")
        return
    yield _ok(f"Kubernetes {version} at {asked.cluster.server}")


_NEEDED = (("create", RAY_JOB, ""), ("get", RAY_JOB, ""))
_USEFUL = (
    ("watch", RAY_JOB, ""),
    ("patch", RAY_JOB, ""),
    ("delete", RAY_JOB, ""),
    ("list", POD, ""),
    ("get", POD, "log"),
    ("list", EVENT, ""),
    ("create", NETWORK_POLICY, ""),
)


def _rights(asked: _Asked) -> Iterator[Finding]:
    def lacking(rights: tuple[tuple[str, Kind, str], ...]) -> list[str]:
        return [
            f"{verb} {kind.resource}{f'/{part}' if part else ''}"
            for verb, kind, part in rights
            if not asked.cluster.may(verb, kind, subresource=part)
        ]

    fix = f"ask for the Role `submitter` in namespace {asked.cluster.namespace} (k8s/base/roles.yaml)"
    if needed := lacking(_NEEDED):
        yield _failed(f"you may not {', '.join(needed)}", fix)
    if useful := lacking(_USEFUL):
        yield _unknown(
            f"you may not {', '.join(useful)}, so following, cancelling or isolating will be incomplete: {fix}"
        )
    if not needed and not useful:
        yield _ok(f"you may submit, follow and cancel in namespace {asked.cluster.namespace}")


def _kuberay(asked: _Asked) -> Iterator[Finding]:
    """By discovery, which everybody may read; the CRD itself is an administrator's."""
    fix = f"install KubeRay {_OLDEST} or newer, with its CRDs (Helm does not upgrade these)"
    try:
        resources = asked.cluster.read_path(f"/apis/{RAY_JOB.api_version}")["resources"]
    except ClusterNotFoundError:
        yield _failed(f"the cluster does not know {RAY_JOB.api_version}", fix)
        return
    if RAY_JOB.plural not in {resource["name"] for resource in resources}:
        yield _failed("the cluster knows no RayJobs", fix)
        return
    schemas = asked.cluster.read_path(f"/openapi/v3/apis/{RAY_JOB.api_version}")["components"]["schemas"]
    spec: Manifest = next((s["properties"]["spec"] for n, s in schemas.items() if n.endswith(".RayJob")), {})
    missing = asked.job["spec"].keys() - spec.get("properties", {}).keys()
    if missing:
        yield _failed(f"this KubeRay's RayJob has no {', '.join(sorted(missing))}", fix)
    else:
        yield _ok(f"RayJob {RAY_JOB.api_version}, of KubeRay {_OLDEST} or newer; whether its operator runs is not told")


def _dry_run(asked: _Asked) -> Iterator[Finding]:
    try:
        asked.cluster.create(RAY_JOB, asked.job, dry_run=True)
    except ClusterConflictError:
        name = asked.config.name
        yield _failed(f"there is a RayJob {name} already", f"momalisa jobs retry {name}, or another --name")
    except ClusterForbiddenError as e:
        yield _failed(str(e), "ask for the Role `submitter`")
    except ClusterError as e:
        is_uncounted = "status unknown for quota" in str(e)  # it counts a kind anew every 5 minutes by default
        fix = "wait until Kubernetes has counted that quota: some minutes after KubeRay's CRDs were installed"
        yield _failed(f"the API server would refuse it: {e}", fix if is_uncounted else "change what it names")
    else:
        yield _ok("the API server would take it, and so would its admission policies")


def _quota(asked: _Asked) -> Iterator[Finding]:
    quotas = asked.cluster.list(RESOURCE_QUOTA)
    problems = [problem for quota in quotas for problem in quota_problems(quota, asked.job)]
    for problem in problems:
        yield _failed(problem, _quota_fix(problem, asked.config))
    if not problems:
        yield _ok(f"it fits into {len(quotas)} quota{'s' if len(quotas) != 1 else ''}")


def _quota_fix(problem: str, config: JobConfig) -> str:
    if problem.startswith(COUNT_OF_JOBS):
        return "momalisa jobs list, then momalisa jobs delete NAME … of those that have ended"
    return f"{'' if config.queue else 'wait until other jobs end, '}--num-workers fewer, or ask for more"


def _limits(asked: _Asked) -> Iterator[Finding]:
    ranges = asked.cluster.list(LIMIT_RANGE)
    problems = [problem for each in ranges for problem in limit_problems(each, asked.job)]
    for problem in problems:
        yield _failed(problem, "--set resources.…, --memory-gib or --head-memory-gib otherwise")
    if not problems:
        yield _ok(f"it keeps to {len(ranges)} LimitRange{'s' if len(ranges) != 1 else ''}")


def _pod_security(asked: _Asked) -> Iterator[Finding]:
    problems = pod_security_problems(asked.job)
    for problem in problems:
        yield _failed(problem, "this is momalisa's own manifest: report it")
    if problems:
        return
    labels = asked.cluster.get(NAMESPACE, asked.cluster.namespace)["metadata"].get("labels") or {}
    enforced = labels.get(_ENFORCE, "privileged")
    yield _ok(f"every pod satisfies `restricted`; the namespace enforces `{enforced}`")


def _service_accounts(asked: _Asked) -> Iterator[Finding]:
    for name in sorted({pod["serviceAccountName"] for _, pod, _ in job_pods(asked.job)}):
        if asked.cluster.find(SERVICE_ACCOUNT, name) is None:
            yield _failed(f"there is no ServiceAccount {name}", "kubectl apply -k k8s/base, or --service-account")
        else:
            yield _ok(f"ServiceAccount {name} is there")


def _secrets(asked: _Asked) -> Iterator[Finding]:
    for name in sorted({source.partition("/")[0] for source in asked.config.secret_env.values()}):
        if asked.cluster.find(SECRET, name) is None:
            yield _failed(f"there is no Secret {name}", "create it, or drop its --secret-env")
        else:
            yield _ok(f"Secret {name} is there")


def _queue(asked: _Asked) -> Iterator[Finding]:
    queue = asked.config.queue
    if queue is None:
        yield _ok("none asked for")
        return
    try:
        known = asked.cluster.read_path(f"/apis/{LOCAL_QUEUE.api_version}")
    except ClusterNotFoundError:
        known = {}
    if not known:
        yield _unknown("the cluster has no Kueue, so nobody knows whether anything admits what is labelled for a queue")
    elif asked.cluster.find(LOCAL_QUEUE, queue) is None:
        yield _failed(f"there is no LocalQueue {queue}", "another --queue, or ask for one in this namespace")
    else:
        yield _ok(f"LocalQueue {queue} is there")


def _priority(asked: _Asked) -> Iterator[Finding]:
    name = asked.config.priority_class
    if name is None:
        yield _ok("none asked for")
    elif asked.cluster.find(PRIORITY_CLASS, name) is None:
        yield _failed(f"there is no PriorityClass {name}", "another --priority-class, or none")
    else:
        yield _ok(f"PriorityClass {name} is there")


def _nodes(asked: _Asked) -> Iterator[Finding]:
    nodes = asked.cluster.list(NODE)
    comes_and_goes = grows(nodes)
    well = True
    for where, pod, _ in job_pods(asked.job):
        reasons = {node["metadata"]["name"]: node_problem(node, pod) for node in nodes}
        if None in reasons.values():
            continue
        well = False
        why = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:3]) or "there are no nodes"
        if comes_and_goes:
            yield _unknown(f"{where}: no node of now could hold one, perhaps a new one of its pool ({why})")
        else:
            yield _failed(f"{where}: no node could hold one, were it empty ({why})", "ask for less, or add a node")
    if well:
        yield _ok("each kind of pod has a node that could hold it, were that empty")


def _image(asked: _Asked) -> Iterator[Finding]:
    yield _unknown(f"nodes will pull {asked.config.image}; whether they can is not to be seen from here")


_OFFLINE: dict[str, _Check] = {"KubeRay's rules": _kuberay_rules, "storage": _storage}
_ONLINE: dict[str, _Check] = {
    "rights": _rights,
    "KubeRay": _kuberay,
    "dry run": _dry_run,
    "quota": _quota,
    "limits": _limits,
    "Pod Security": _pod_security,
    "ServiceAccount": _service_accounts,
    "Secrets": _secrets,
    "queue": _queue,
    "priority": _priority,
    "nodes": _nodes,
    "image": _image,
}

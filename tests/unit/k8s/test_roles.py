"""Who may do what, computed from the Roles and RoleBindings."""

from typing import Any

import pytest

from tests.support.kustomized import built, of_kind
from tests.support.rbac import may, subjects

NAMESPACE = "momalisa"
SUBMITTER = "ServiceAccount:momalisa/momalisa-submitter"
READER = "ServiceAccount:momalisa/momalisa-reader"
DASHBOARD = "Group:momalisa-dashboard"
JOBS = ["ServiceAccount:momalisa/momalisa-job", "ServiceAccount:momalisa/momalisa-autoscaled"]
READ = ("get", "list", "watch")
CHANGE = ("create", "update", "patch", "delete", "deletecollection")
# resource, API group
READABLE = (
    ("rayjobs", "ray.io"),
    ("rayclusters", "ray.io"),
    ("jobs", "batch"),
    ("pods", ""),
    ("events", ""),
    ("events", "events.k8s.io"),
    ("resourcequotas", ""),
    ("limitranges", ""),
    ("serviceaccounts", ""),
    ("localqueues", "kueue.x-k8s.io"),
    ("workloads", "kueue.x-k8s.io"),
)
FORBIDDEN = (
    ("secrets", ""),
    ("configmaps", ""),
    ("nodes", ""),
    ("pods/exec", ""),
    ("pods/attach", ""),
    ("pods/proxy", ""),
    ("services/proxy", ""),
    ("pods/ephemeralcontainers", ""),
    ("serviceaccounts/token", ""),
    ("persistentvolumeclaims", ""),
    ("deployments", "apps"),
    ("roles", "rbac.authorization.k8s.io"),
    ("rolebindings", "rbac.authorization.k8s.io"),
    ("rayservices", "ray.io"),
)


def _may(subject: str, verb: str, resource: str, group: str = "", namespace: str | None = NAMESPACE) -> bool:
    return may(built("base"), subject, verb, resource, group=group, namespace=namespace)


@pytest.mark.parametrize("subject", [SUBMITTER, READER, "Group:momalisa-submitters", "Group:momalisa-readers"])
def test_submitters_and_readers_see_what_a_verdict_needs(subject: str) -> None:
    assert all(_may(subject, verb, *readable) for verb in READ for readable in READABLE)
    assert _may(subject, "get", "pods/log")
    assert _may(subject, "get", "namespaces")  # in a Role: their own


def test_a_submitter_changes_its_jobs_and_brings_their_networks() -> None:
    assert all(_may(SUBMITTER, verb, "rayjobs", "ray.io") for verb in ("create", "patch", "delete"))
    assert _may(SUBMITTER, "create", "networkpolicies", "networking.k8s.io")
    assert not any(_may(SUBMITTER, verb, "networkpolicies", "networking.k8s.io") for verb in CHANGE if verb != "create")


@pytest.mark.parametrize("subject", [SUBMITTER, READER])
def test_nothing_else_is_changed(subject: str) -> None:
    readable = READABLE if subject == READER else [kind for kind in READABLE if kind[0] != "rayjobs"]
    assert not any(_may(subject, verb, *kind) for verb in CHANGE for kind in readable)
    assert not _may(READER, "create", "networkpolicies", "networking.k8s.io")


def test_nobody_sees_secrets_or_runs_commands_or_touches_roles() -> None:
    everybody = subjects(built("base"))
    assert everybody >= {SUBMITTER, READER, DASHBOARD}
    allowed = [
        (subject, verb, *kind)
        for subject in everybody
        for verb in (*READ, *CHANGE, "escalate", "bind", "impersonate")
        for kind in FORBIDDEN
        if _may(subject, verb, *kind)
    ]
    assert not allowed


def test_the_dashboard_is_a_role_apart() -> None:
    assert all(_may(DASHBOARD, verb, "pods/portforward") for verb in ("get", "create"))
    assert not any(_may(who, verb, "pods/portforward") for who in (SUBMITTER, READER) for verb in ("get", "create"))
    assert not _may(DASHBOARD, "get", "pods/log")


@pytest.mark.parametrize("subject", [SUBMITTER, READER, DASHBOARD])
def test_nothing_in_other_namespaces_or_of_the_whole_cluster(subject: str) -> None:
    kinds = (*READABLE, *FORBIDDEN, ("pods/log", ""), ("pods/portforward", ""), ("namespaces", ""))
    for namespace in ("default", "kube-system", None):
        assert not any(_may(subject, verb, *kind, namespace=namespace) for verb in (*READ, *CHANGE) for kind in kinds)


def test_a_job_itself_may_do_nothing() -> None:
    assert not subjects(built("base")) & set(JOBS)


def test_no_rule_has_a_wildcard() -> None:
    rules = [rule for role in of_kind(built("base"), "Role") for rule in role["rules"]]
    assert not any("*" in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]] for rule in rules)


def test_no_account_mounts_its_token() -> None:
    accounts: list[dict[str, Any]] = of_kind(built("base"), "ServiceAccount")
    assert {account["metadata"]["name"] for account in accounts} == {
        "momalisa-job",
        "momalisa-autoscaled",
        "momalisa-submitter",
        "momalisa-reader",
    }
    assert all(account["automountServiceAccountToken"] is False for account in accounts)

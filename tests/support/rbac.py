"""What Roles and RoleBindings allow: RBAC's semantics, on manifests."""

from collections.abc import Mapping, Sequence
from typing import Any

Manifest = Mapping[str, Any]


def may(
    manifests: Sequence[Manifest],
    subject: str,
    verb: str,
    resource: str,
    *,
    group: str = "",
    namespace: str | None,
    name: str = "",
) -> bool:
    """Whether a subject ("Group:momalisa-readers", "ServiceAccount:momalisa/momalisa-reader") may do this.

    `resource` is plural, with its subresource ("pods/log"); with no namespace the request is for the whole cluster.
    """
    return any(
        _grants(rule, verb, resource, group, name)
        for binding in manifests
        if binding["kind"] in ("RoleBinding", "ClusterRoleBinding")
        and _is_for(binding, subject)
        and (binding["kind"] == "ClusterRoleBinding" or binding["metadata"]["namespace"] == namespace)
        for rule in _role(manifests, binding)["rules"]
    )


def subjects(manifests: Sequence[Manifest]) -> set[str]:
    """Everybody to whom a role is bound."""
    return {
        _called(subject)
        for manifest in manifests
        if manifest["kind"] in ("RoleBinding", "ClusterRoleBinding")
        for subject in manifest["subjects"]
    }


def _is_for(binding: Manifest, subject: str) -> bool:
    return any(_called(bound) == subject for bound in binding["subjects"])


def _called(subject: Manifest) -> str:
    prefix = f"{subject['namespace']}/" if subject["kind"] == "ServiceAccount" else ""
    return f"{subject['kind']}:{prefix}{subject['name']}"


def _role(manifests: Sequence[Manifest], binding: Manifest) -> Manifest:
    kind, name = binding["roleRef"]["kind"], binding["roleRef"]["name"]
    return next(
        role
        for role in manifests
        if role["kind"] == kind
        and role["metadata"]["name"] == name
        and (kind == "ClusterRole" or role["metadata"]["namespace"] == binding["metadata"]["namespace"])
    )


def _grants(rule: Manifest, verb: str, resource: str, group: str, name: str) -> bool:
    names = rule.get("resourceNames", ())
    return (
        not {verb, "*"}.isdisjoint(rule["verbs"])
        and not {resource, "*"}.isdisjoint(rule["resources"])
        and not {group, "*"}.isdisjoint(rule["apiGroups"])
        and (not names or name in names)
    )

"""Users with few rights: a ServiceAccount's token in a kubeconfig, on any cluster."""

from pathlib import Path
from typing import Any

from tests.cluster.api import Api
from tests.cluster.identities import write_kubeconfig

_RBAC = "rbac.authorization.k8s.io"
_TOKEN_S = 6 * 3600


def kubeconfig_of(api: Api, namespace: str, account: str, folder: Path) -> Path:
    """Writes `folder`/ACCOUNT.kubeconfig. The account is made where it is missing; its roles are not."""
    home = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    if api.find(f"{home}/{account}") is None:
        made = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}}
        api.create(made, namespace=namespace)
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": _TOKEN_S},
    }
    token = api.post(f"{home}/{account}/token", request)["status"]["token"]
    path = folder / f"{account}.kubeconfig"
    context = f"{account}@{namespace}"
    return write_kubeconfig(
        path, server=api.server, authority=api.authority, token=token, namespace=namespace, context=context
    )


def grant(api: Api, namespace: str, account: str, rules: list[dict[str, Any]]) -> None:
    """A Role with `rules`, bound to a ServiceAccount of the same namespace."""
    about = {"apiVersion": f"{_RBAC}/v1", "metadata": {"name": account, "namespace": namespace}}
    api.apply(about | {"kind": "Role", "rules": rules})
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    reference = {"apiGroup": _RBAC, "kind": "Role", "name": account}
    api.apply(about | {"kind": "RoleBinding", "roleRef": reference, "subjects": [subject]})

"""Who is who in the test cluster: a certificate authority, the API server's certificate, tokens and kubeconfigs."""

import base64
import json
import secrets
import subprocess
from pathlib import Path

from tests.cluster.network import GATEWAY, KUBERNETES_SERVICE

SERVER = f"https://{GATEWAY}:6443"
NODE = "node1"
_USERS = {  # name of the kubeconfig -> user, groups
    "admin": ("admin", "system:masters"),
    "coredns": ("system:coredns", ""),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-proxy": ("system:kube-proxy", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
    "ray-operator": ("kuberay-operator", ""),
}
_NAMES = ("DNS:localhost", "DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc")
_ADDRESSES = ("IP:127.0.0.1", f"IP:{KUBERNETES_SERVICE}", f"IP:{GATEWAY}")


def make_identities(folder: Path) -> None:
    """Certificates, keys and tokens in `folder`/pki, and `folder`/NAME.kubeconfig for each user; new ones each time."""
    pki = folder / "pki"
    pki.mkdir(parents=True, exist_ok=True)
    pki.chmod(0o700)
    _make_authority(pki)
    _make_server_certificate(pki)
    _openssl("genrsa", "-out", "sa.key", "2048", cwd=pki)
    _openssl("rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub", cwd=pki)
    tokens = {name: secrets.token_hex(24) for name in _USERS}
    rows = [f'{tokens[name]},{user},{name},"{groups}"' for name, (user, groups) in _USERS.items()]
    (pki / "tokens.csv").write_text("\n".join(rows) + "\n")
    authority = (pki / "ca.crt").read_bytes()
    for name, token in tokens.items():
        write_kubeconfig(folder / f"{name}.kubeconfig", server=SERVER, authority=authority, token=token)


def write_kubeconfig(
    path: Path, *, server: str, authority: bytes, token: str, namespace: str = "default", context: str = "momalisa-test"
) -> Path:
    """A kubeconfig (JSON is YAML) that only its owner may read."""
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(authority).decode()}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "contexts": [{"name": context, "context": {"cluster": "test", "user": "user", "namespace": namespace}}],
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "user", "user": {"token": token}}],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(document, indent=1))
    return path


def _make_authority(pki: Path) -> None:
    _openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=momalisa-test"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", "ca.key", "-out", "ca.crt"),
        cwd=pki,
    )


def _make_server_certificate(pki: Path) -> None:
    """Also what the API server shows to the kubelet, hence its group."""
    extensions = [f"subjectAltName={','.join((*_NAMES, *_ADDRESSES))}", "extendedKeyUsage=serverAuth,clientAuth"]
    (pki / "api.ext").write_text("\n".join(extensions))
    subject = "/O=system:masters/CN=kube-apiserver"
    _openssl(
        *("req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", "api.key", "-out", "api.csr"), cwd=pki
    )
    _openssl(
        *("x509", "-req", "-in", "api.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30"),
        *("-extfile", "api.ext", "-out", "api.crt"),
        cwd=pki,
    )


def _openssl(*arguments: str, cwd: Path) -> None:
    subprocess.run(["openssl", *arguments], cwd=cwd, capture_output=True, check=True)

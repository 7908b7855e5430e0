"""The daemons of the test cluster: pure functions from folders to command lines and files of settings."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.identities import NODE, SERVER
from tests.cluster.network import BRIDGE, GATEWAY, PODS, SERVICES

REGISTRY = "127.0.0.1:16500"
_ETCD = "http://127.0.0.1:16379"
_ETCD_PEER = "http://127.0.0.1:16380"
PAUSE_IMAGE = "localhost/pause:3"
NAMES = (
    "registry",
    "containerd",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "coredns",
    "kubelet",
    "kube-proxy",
    "ray-operator",
)
CGROUP = "/momalisa-test"
_HEALTH_PORTS = {"kubelet": 16248, "kube-proxy": 16249, "kube-proxy-health": 16256, "ray-operator": 16082}


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """programs: the binaries. state: what a cluster writes, gone with it. store: images, which stay."""

    programs: Path
    state: Path
    store: Path

    @property
    def containerd_socket(self) -> Path:
        return self.state / "containerd.sock"

    def kubeconfig(self, user: str) -> Path:
        return self.state / f"{user}.kubeconfig"

    def program(self, name: str) -> str:
        return str(self.programs / name)


def settings(folders: Folders) -> dict[str, str]:
    """The daemons' own files by name, to be written to the state's folder."""
    return {
        "Corefile": _corefile(folders),
        "cni.d/10-pods.conflist": json.dumps(_cni(folders), indent=1),
        "containerd.toml": _containerd(folders),
        "kubelet.yaml": json.dumps(_kubelet(folders), indent=1),
        "registry.yaml": json.dumps(_registry(folders), indent=1),
    }


def storage(folders: Folders) -> dict[str, list[str]]:
    """Where images come from, and what runs them."""
    return {
        "registry": [folders.program("docker-registry"), "serve", str(folders.state / "registry.yaml")],
        "containerd": [folders.program("containerd"), "--config", str(folders.state / "containerd.toml")],
    }


def control_plane(folders: Folders) -> dict[str, list[str]]:
    """In the order in which they start; each waits for those before it by itself."""
    return {"etcd": _etcd(folders), "kube-apiserver": _api_server(folders)}


def controllers(folders: Folders) -> dict[str, list[str]]:
    """To start once the CRDs are served.

    The controller of quotas learns of new kinds every 30 s, and counts them in a quota that is there every 5 minutes.
    """
    leader = ["--leader-elect=false", "--bind-address=127.0.0.1"]
    return {
        "kube-controller-manager": [
            folders.program("kube-controller-manager"),
            *leader,
            f"--kubeconfig={folders.kubeconfig('kube-controller-manager')}",
            f"--service-account-private-key-file={folders.state}/pki/sa.key",
            f"--root-ca-file={folders.state}/pki/ca.crt",
            "--use-service-account-credentials",
            f"--flex-volume-plugin-dir={folders.state}/volume-plugins",
            "--secure-port=16257",
        ],
        "kube-scheduler": [
            folders.program("kube-scheduler"),
            *leader,
            f"--kubeconfig={folders.kubeconfig('kube-scheduler')}",
            "--secure-port=16259",
        ],
    }


def node(folders: Folders) -> dict[str, list[str]]:
    """What makes this machine a node, once the API server answers."""
    return {
        "coredns": [folders.program("coredns"), "-conf", str(folders.state / "Corefile")],
        "kubelet": [
            folders.program("kubelet"),
            f"--config={folders.state}/kubelet.yaml",
            f"--kubeconfig={folders.kubeconfig('kubelet')}",
            f"--hostname-override={NODE}",
            f"--node-ip={GATEWAY}",
            f"--root-dir={folders.state}/kubelet",
            f"--cert-dir={folders.state}/kubelet-pki",
        ],
        "kube-proxy": [
            folders.program("kube-proxy"),
            f"--kubeconfig={folders.kubeconfig('kube-proxy')}",
            f"--hostname-override={NODE}",
            f"--cluster-cidr={PODS}",
            "--proxy-mode=iptables",
            "--masquerade-all",  # answers come back this way even where the bridge does not show them to iptables
            "--iptables-localhost-nodeports=false",
            f"--nodeport-addresses={GATEWAY}/32",
            f"--metrics-bind-address=127.0.0.1:{_HEALTH_PORTS['kube-proxy']}",
            f"--healthz-bind-address=127.0.0.1:{_HEALTH_PORTS['kube-proxy-health']}",
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0s",
            "--conntrack-tcp-timeout-close-wait=0s",
        ],
    }


def operator(folders: Folders) -> list[str]:
    """KubeRay's. It runs on the machine, so it reaches Ray's heads through the API server."""
    return [
        folders.program("ray-operator"),
        f"--kubeconfig={folders.kubeconfig('ray-operator')}",
        "--enable-leader-election=false",
        "--use-kubernetes-proxy",
        "--metrics-addr=0",
        f"--health-probe-bind-address=127.0.0.1:{_HEALTH_PORTS['ray-operator']}",
    ]


def _etcd(folders: Folders) -> list[str]:
    return [
        folders.program("etcd"),
        f"--data-dir={folders.state}/etcd",
        f"--listen-client-urls={_ETCD}",
        f"--advertise-client-urls={_ETCD}",
        f"--listen-peer-urls={_ETCD_PEER}",
        f"--initial-advertise-peer-urls={_ETCD_PEER}",
        f"--initial-cluster=default={_ETCD_PEER}",
        "--unsafe-no-fsync",  # nothing here is to outlive the machine
    ]


def _api_server(folders: Folders) -> list[str]:
    pki = folders.state / "pki"
    return [
        folders.program("kube-apiserver"),
        f"--etcd-servers={_ETCD}",
        # On the pods' bridge, so that they reach it through the `kubernetes` Service, and nobody outside does.
        f"--bind-address={GATEWAY}",
        f"--advertise-address={GATEWAY}",
        "--secure-port=6443",
        f"--service-cluster-ip-range={SERVICES}",
        f"--tls-cert-file={pki}/api.crt",
        f"--tls-private-key-file={pki}/api.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--token-auth-file={pki}/tokens.csv",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",  # beside the usual: Pod Security, quota, policies, limits
        "--allow-privileged",
        "--anonymous-auth=false",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/sa.pub",
        f"--service-account-signing-key-file={pki}/sa.key",
        f"--kubelet-client-certificate={pki}/api.crt",
        f"--kubelet-client-key={pki}/api.key",
        "--kubelet-preferred-address-types=InternalIP",
    ]


def _containerd(folders: Folders) -> str:
    return f"""version = 2
root = "{folders.store}/containerd"
state = "{folders.state}/containerd"
[grpc]
  address = "{folders.containerd_socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folders.state}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{folders.programs}/cni"
    conf_dir = "{folders.state}/cni.d"
"""


def _cni(folders: Folders) -> dict[str, Any]:
    """No masquerading: pods reach each other and this machine, and nothing else."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": PODS, "gateway": GATEWAY}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": f"{folders.state}/ipam",
    }
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "hairpinMode": True, "ipam": addresses}
    return {"cniVersion": "0.4.0", "name": "momalisa-pods", "plugins": [bridge]}


def _kubelet(folders: Folders) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": GATEWAY,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": _HEALTH_PORTS["kubelet"],
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{folders.state}/pki/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": CGROUP,
        "failSwapOn": False,
        "failCgroupV1": False,
        "containerRuntimeEndpoint": f"unix://{folders.containerd_socket}",
        "podLogsDir": f"{folders.state}/pods",
        "volumePluginDir": f"{folders.state}/volume-plugins",
        "makeIPTablesUtilChains": False,
        "clusterDNS": [GATEWAY],
        "clusterDomain": "cluster.local",
        # Short of disk, a kubelet ends pods and deletes images: as late as can be.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "200Mi", "imagefs.available": "200Mi"},
        "evictionPressureTransitionPeriod": "10s",
        "imageGCHighThresholdPercent": 100,
        "nodeStatusUpdateFrequency": "5s",
        "maxPods": 110,
    }


def _corefile(folders: Folders) -> str:
    return f""".:53 {{
  bind {GATEWAY}
  errors
  kubernetes cluster.local in-addr.arpa {{
    endpoint {SERVER}
    kubeconfig {folders.kubeconfig("coredns")}
  }}
  forward . /etc/resolv.conf
  cache 2
}}
"""


def _registry(folders: Folders) -> dict[str, Any]:
    return {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": f"{folders.store}/registry"}, "delete": {"enabled": True}},
        "http": {"addr": REGISTRY},
    }

"""The programs of a Kubernetes with KubeRay: built from Go modules and unpacked from Debian packages, once.

They lie in the cache folder, below a name made of their versions. Debian's daemons are unpacked instead of installed,
so that none of them starts by itself.

python -m tests.cluster.binaries     # only what the tests of the chart need, which need no cluster
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from momalisa.caches import cache_folder
from tests.support.debian import CannotUnpackError, unpack

KUBERNETES = "v1.34.4"
KUBERAY = "v1.6.1"
COREDNS = "v1.12.4"
HELM = "v4.3.1"
_DAEMONS = ("etcd-server", "containerd", "runc", "containernetworking-plugins", "docker-registry")
_TOOLS = {  # Debian package -> a program that shows that it is there
    "buildah": "buildah",
    "conntrack": "conntrack",
    "debootstrap": "debootstrap",
    "ethtool": "ethtool",
    "iproute2": "ip",
    "iptables": "iptables",
    "openssl": "openssl",
    "socat": "socat",
}
_KUBERNETES_PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)
_MODULES = Path(__file__).parent / "tools"
_HASHING = Path(__file__).parent / "hashing"  # not among the others: another cluster's programs are not built for it
_REAL_HOME = Path(os.environ.get("HOME", "~")).expanduser()  # tests move HOME; Go's own caches must not move with it


class CannotBuildError(Exception):
    """Something that the cluster needs cannot be had on this machine."""


def programs_folder() -> Path:
    """Where the programs lie, by name; builds what is missing (some eight minutes on two cores, once)."""
    folder = cache_folder("cluster") / f"bin-{_key()}"
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        install_tools()
        _unpack_daemons(folder)
        _build_kubernetes(folder)
        _build_operator(folder)
        if not (folder / "coredns").exists():
            _go_install(f"github.com/coredns/coredns@{COREDNS}", folder / "coredns")
        if not (folder / "helm").exists():
            _go_install(f"helm.sh/helm/v4/cmd/helm@{HELM}", folder / "helm")
        _go_build(_MODULES / "pause", [".=pause"], folder)
    return folder


def chart_folder() -> Path:
    """Where that lies which the tests of the chart need, once it is built: `helm`, `hashing`, KubeRay's CRD."""
    module = b"".join(path.read_bytes() for path in sorted(_HASHING.iterdir()))
    return cache_folder("cluster") / f"chart-{KUBERAY}-{HELM}-{hashlib.sha256(module).hexdigest()[:8]}"


def build_for_chart() -> Path:
    """Builds what of them is missing (a few minutes on two cores, once)."""
    folder = chart_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        _go_build(_HASHING, [".=hashing"], folder)
        crd = "ray.io_rayservices.yaml"
        (folder / crd).write_bytes((_operators_config(_HASHING) / "crd" / "bases" / crd).read_bytes())
        if not (folder / "helm").exists():
            _go_install(f"helm.sh/helm/v4/cmd/helm@{HELM}", folder / "helm")
    return folder


def environment(folder: Path) -> dict[str, str]:
    """What daemons find each other by: containerd looks for its shim and for runc on the path."""
    return {"PATH": f"{folder}:{os.environ['PATH']}:/usr/sbin:/sbin"}


def install_tools() -> None:
    """Debian's packages that are no daemons, where they are missing."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    missing = [package for package, program in _TOOLS.items() if shutil.which(program, path=path) is None]
    if missing:
        _run("apt-get", "update", "-q")
        command = ("apt-get", "install", "-yq", "--no-install-recommends", *missing)
        _run(*command, env={"DEBIAN_FRONTEND": "noninteractive"})


def _key() -> str:
    modules = b"".join(path.read_bytes() for path in sorted(_MODULES.glob("*/*")))
    return f"{KUBERNETES}-{KUBERAY}-{COREDNS}-{hashlib.sha256(modules).hexdigest()[:8]}"


def _unpack_daemons(folder: Path) -> None:
    if (folder / "docker-registry").exists():
        return
    with tempfile.TemporaryDirectory(dir=folder) as name:
        try:
            root = unpack(_DAEMONS, Path(name))
        except CannotUnpackError as e:
            raise CannotBuildError(str(e)) from e
        (root / "usr/lib/cni").rename(folder / "cni")
        programs = [path for path in root.glob("usr/*bin/*") if path.is_file()]
        for program in sorted(programs, key=lambda path: path.name == "docker-registry"):
            program.rename(folder / program.name)


def _build_kubernetes(folder: Path) -> None:
    # Without a version of its own, the server calls itself v0.0.0-master, and clients' checks of it fail.
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    facts = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor}
    flags = " ".join(f"-X k8s.io/component-base/version.{name}={fact}" for name, fact in facts.items())
    _go_build(
        _MODULES / "kube",
        [f"k8s.io/kubernetes/cmd/{program}={program}" for program in _KUBERNETES_PROGRAMS],
        folder,
        flags,
    )


def _build_operator(folder: Path) -> None:
    """The operator, and beside it the CRDs and the ClusterRole that its own module says it needs (`kuberay/*.yaml`)."""
    if (folder / "kuberay").exists():
        return
    _go_build(_MODULES / "operator", ["github.com/ray-project/kuberay/ray-operator=ray-operator"], folder)
    source = _operators_config(_MODULES / "operator")
    unfinished = folder / ".kuberay"
    unfinished.mkdir(exist_ok=True)
    for manifest in (*source.glob("crd/bases/*.yaml"), source / "rbac" / "role.yaml"):
        (unfinished / manifest.name).write_bytes(manifest.read_bytes())
    unfinished.rename(folder / "kuberay")


def _operators_config(module: Path) -> Path:
    arguments = ("list", "-m", "-f", "{{.Dir}}", "github.com/ray-project/kuberay/ray-operator")
    return Path(_go(*arguments, cwd=module).strip()) / "config"


def _go_build(module: Path, targets: list[str], folder: Path, flags: str = "") -> None:
    """Builds PACKAGE=PROGRAM of a module; a program appears under its name only when it is whole."""
    for target in targets:
        package, _, program = target.partition("=")
        if (folder / program).exists():
            continue
        unfinished = folder / f".{program}"
        link = f"-s -w {flags}".strip()
        arguments = ("build", "-trimpath", "-buildvcs=false", "-ldflags", link, "-o", str(unfinished), package)
        _go(*arguments, cwd=module)
        unfinished.rename(folder / program)


def _go_install(package: str, program: Path) -> None:
    with tempfile.TemporaryDirectory(dir=program.parent) as workshop:
        _go("install", "-trimpath", "-ldflags", "-s -w", package, env={"GOBIN": workshop}, cwd=program.parent)
        (Path(workshop) / program.name).rename(program)


def _go(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        raise CannotBuildError("Kubernetes is built with Go: install Go 1.25 or newer, or set KUBECONFIG to a cluster")
    static = {"CGO_ENABLED": "0", "HOME": str(_REAL_HOME)}
    return _run(go, *arguments, cwd=cwd, env=static | (env or {}))


def _run(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=os.environ | (env or {}), capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotBuildError(f"{' '.join(command[:4])} … failed:\n{done.stderr[-2000:]}")
    return done.stdout


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    try:
        print(build_for_chart())
    except CannotBuildError as e:
        sys.exit(f"error: {e}")

"""The programs of a Kubernetes with KubeRay: built from Go modules and unpacked from Debian packages, once.

They lie in the cache folder, below a name made of their versions. Debian's daemons are unpacked instead of installed,
so that none of them starts by itself.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from momalisa.caches import cache_folder

KUBERNETES = "v1.34.4"
KUBERAY = "v1.6.1"
COREDNS = "v1.12.4"
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
        _go_build("pause", [".=pause"], folder)
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
        workshop = Path(name)
        workshop.chmod(0o755)  # apt downloads as a user of its own
        _run("apt-get", "update", "-q")
        _run("apt-get", "download", *_DAEMONS, cwd=workshop)
        for package in workshop.glob("*.deb"):
            _run("dpkg-deb", "-x", str(package), str(workshop / "root"))
        (workshop / "root/usr/lib/cni").rename(folder / "cni")
        programs = [path for path in (workshop / "root").glob("usr/*bin/*") if path.is_file()]
        for program in sorted(programs, key=lambda path: path.name == "docker-registry"):
            program.rename(folder / program.name)


def _build_kubernetes(folder: Path) -> None:
    # Without a version of its own, the server calls itself v0.0.0-master, and clients' checks of it fail.
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    facts = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor}
    flags = " ".join(f"-X k8s.io/component-base/version.{name}={fact}" for name, fact in facts.items())
    _go_build("kube", [f"k8s.io/kubernetes/cmd/{program}={program}" for program in _KUBERNETES_PROGRAMS], folder, flags)


def _build_operator(folder: Path) -> None:
    """The operator, and beside it the CRDs and the ClusterRole that its own module says it needs (`kuberay/*.yaml`)."""
    if (folder / "kuberay").exists():
        return
    _go_build("operator", ["github.com/ray-project/kuberay/ray-operator=ray-operator"], folder)
    arguments = ("list", "-m", "-f", "{{.Dir}}", "github.com/ray-project/kuberay/ray-operator")
    source = Path(_go(*arguments, cwd=_MODULES / "operator").strip()) / "config"
    unfinished = folder / ".kuberay"
    unfinished.mkdir(exist_ok=True)
    for manifest in (*source.glob("crd/bases/*.yaml"), source / "rbac" / "role.yaml"):
        (unfinished / manifest.name).write_bytes(manifest.read_bytes())
    unfinished.rename(folder / "kuberay")


def _go_build(module: str, targets: list[str], folder: Path, flags: str = "") -> None:
    """Builds PACKAGE=PROGRAM of a module in tools/; a program appears under its name only when it is whole."""
    for target in targets:
        package, _, program = target.partition("=")
        if (folder / program).exists():
            continue
        unfinished = folder / f".{program}"
        link = f"-s -w {flags}".strip()
        arguments = ("build", "-trimpath", "-buildvcs=false", "-ldflags", link, "-o", str(unfinished), package)
        _go(*arguments, cwd=_MODULES / module)
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

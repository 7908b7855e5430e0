"""A real one-node Kubernetes with KubeRay on this machine: up, down, status.

One cluster per machine and cache folder. What it writes lies in `cluster/state`, gone with the next start; images lie
in `cluster/store` and stay, so that only a first start is long.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from momalisa.caches import cache_folder
from tests.cluster import daemons, leftovers, network
from tests.cluster.api import Api, ApiError, condition
from tests.cluster.binaries import CannotBuildError, environment, programs_folder
from tests.cluster.daemons import Folders
from tests.cluster.identities import NODE, make_identities
from tests.cluster.images import GCS_IMAGE, MOMALISA_IMAGE, ROOT, ImageError, Images
from tests.cluster.processes import Processes

GPU = "nvidia.com/gpu"
_OPERATOR = "ray-operator"
_START_TIMEOUT_S = 120.0
_NOT_YET = (ApiError, httpx.HTTPError, ImageError, OSError)


class ClusterFailedError(Exception):
    """The cluster, or a part of it, did not start."""


class LocalCluster:
    """The cluster of this machine. Every step finds out for itself what is done already."""

    def __init__(self) -> None:
        root = cache_folder("cluster")
        self._root = root
        self._notes = root / "machine"  # how the machine was before
        for folder in (root / "store", self._notes):
            folder.mkdir(parents=True, exist_ok=True)
        programs = root / "programs"
        self.folders = Folders(programs=programs, state=root / "state", store=root / "store")
        self.processes = Processes(folder=self.folders.state)
        self.images = Images(self.folders)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, while the cluster is up."""
        return self.folders.kubeconfig("admin")

    def up(self, *, num_gpus: int = 4, tell: Callable[[str], None] = print) -> None:
        """Starts what does not run. A cluster that is whole is left as it is, but for its pretended GPUs."""
        if os.geteuid() != 0:
            raise CannotBuildError("a cluster of one's own needs root: run as root, or set KUBECONFIG to a cluster")
        with self._locked():
            if not self.is_whole():
                with _timed("programs", tell):
                    self._choose_programs(programs_folder())
                with _timed("cluster", tell):
                    self._down()
                    self._start_from_nothing()
            with Api(self.kubeconfig) as api:
                pretend_gpus(api, num_gpus)

    def load(self, source: Path = ROOT, image: str = MOMALISA_IMAGE, *, tell: Callable[[str], None] = print) -> None:
        """Builds the images (momalisa's from a checkout, by default this one) and hands them to the node."""
        with self._locked():
            with _timed("images, built", tell):
                self.images.build_small()
                self.images.build(source, image)
            with _timed("images, handed over", tell):
                for name in (GCS_IMAGE, image):
                    self.images.hand_over(name)
            self.images.make_room()

    def down(self) -> None:
        """Ends what `up` started, and nothing else; programs and images stay for the next time."""
        with self._locked():
            self._down()

    def is_whole(self) -> bool:
        """Whether everything that should run runs, and the node is ready."""
        if not all(self.processes.is_running(name) for name in daemons.NAMES):
            return False
        try:
            with Api(self.kubeconfig) as api:
                return is_ready(api)
        except _NOT_YET:
            return False

    def status(self) -> dict[str, Any]:
        """For people: processes, the node, its images, and what of all this the machine shows."""
        running = {name: self.processes.is_running(name) for name in daemons.NAMES}
        found: dict[str, Any] = {"processes": running}
        if all(running.values()):
            with Api(self.kubeconfig) as api:
                node = api.get(f"/api/v1/nodes/{NODE}")
            found |= {"allocatable": node["status"]["allocatable"], "images": self.images.on_node()}
            found["kubeconfig"] = str(self.kubeconfig)
        return found | {"traces": leftovers.traces(self.folders)}

    def stop(self, name: str) -> None:
        """Ends one daemon for a drill: `start_again` brings it back as it was."""
        self.processes.stop(name, keep_note=True)

    def start_again(self, name: str) -> None:
        """After `stop`."""
        self.processes.start_again(name)

    def _choose_programs(self, programs: Path) -> None:
        """A fixed name leads to the programs of this version, so that `down` needs to build nothing."""
        self.folders.programs.unlink(missing_ok=True)
        self.folders.programs.symlink_to(programs)

    def _start_from_nothing(self) -> None:
        folders = self.folders
        shutil.rmtree(folders.state, ignore_errors=True)
        for name, text in daemons.settings(folders).items():
            path = folders.state / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        make_identities(folders.state)
        leftovers.prepare(self._notes / "folders")
        network.set_up(self._notes / "settings.json")
        for name, command in (daemons.storage(folders) | daemons.control_plane(folders)).items():
            self._start(name, command)
        self._hand_over_pause()
        with Api(self.kubeconfig) as api:
            self._wait("kube-apiserver", lambda: api.text("/readyz") == "ok")
            for name, command in daemons.node(folders).items():
                self._start(name, command)
            self._set_up_kuberay(api)
            for name, command in daemons.controllers(folders).items():
                self._start(name, command)
            self._start(_OPERATOR, daemons.operator(folders))
            self._wait("kubelet", lambda: is_ready(api))

    def _hand_over_pause(self) -> None:
        self.images.build_small()
        self._wait("containerd", lambda: bool(self.images.ctr("version")))
        self._wait("registry", lambda: httpx.get(f"http://{daemons.REGISTRY}/v2/", trust_env=False).is_success)
        self.images.hand_over(daemons.PAUSE_IMAGE)

    def _set_up_kuberay(self, api: Api) -> None:
        """Its kinds, and the rights that it asks for itself, no more; and CoreDNS' rights."""
        manifests = sorted((self.folders.programs / "kuberay").glob("*.yaml"))
        self._wait("kube-apiserver", lambda: bool(api.get("/apis/rbac.authorization.k8s.io/v1")))
        for manifest in manifests:
            api.apply_file(manifest)
        role = yaml.safe_load((self.folders.programs / "kuberay" / "role.yaml").read_text())
        api.apply(_binding(role["metadata"]["name"], "kuberay-operator"))
        api.apply(_COREDNS_ROLE)
        api.apply(_binding("coredns", "system:coredns"))
        self._wait("kube-apiserver", lambda: _crds_are_served(api))

    def _start(self, name: str, command: list[str]) -> None:
        self.processes.start(name, command, environment(self.folders.programs))

    def _wait(self, name: str, is_done: Callable[[], bool]) -> None:
        """Until `is_done`; the daemon `name` is the one whose log tells why not."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        last: Exception | None = None
        while time.monotonic() < deadline and self.processes.is_running(name):
            try:
                if is_done():
                    return
            except _NOT_YET as e:
                last = e
            time.sleep(0.1)
        log = self.processes.last_lines(name)
        raise ClusterFailedError(f"{name} is not ready ({last}); its log ends:\n{log}") from last

    def _down(self) -> None:
        for name in (_OPERATOR, "kubelet"):  # or they would make anew what is taken away
            self.processes.stop(name)
        leftovers.remove_containers(self.images)
        for name in reversed(self.processes.names()):
            self.processes.stop(name)
        leftovers.remove(self.folders, self._notes / "folders")
        network.tear_down(self._notes / "settings.json")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._root / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def pretend_gpus(api: Api, number: int) -> None:
    """Gives the node GPUs that are not there: scheduler, quotas and Ray count them as they count real ones."""
    path = f"/api/v1/nodes/{NODE}"
    if api.get(path)["status"]["allocatable"].get(GPU) != str(number):
        api.patch(f"{path}/status", {"status": {"capacity": {GPU: str(number)}, "allocatable": {GPU: str(number)}}})


def is_ready(api: Api) -> bool:
    """Whether the node takes pods."""
    node = api.find(f"/api/v1/nodes/{NODE}")
    ready = condition(node, "Ready") if node else None
    return ready is not None and ready["status"] == "True"


def _crds_are_served(api: Api) -> bool:
    served = {resource["name"] for resource in api.get("/apis/ray.io/v1")["resources"]}
    return {"rayclusters", "rayjobs", "rayservices"} <= served


_COREDNS_ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "coredns"},
    "rules": [
        {"apiGroups": [""], "resources": ["namespaces", "pods", "services"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ],
}


def _binding(role: str, user: str) -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": role},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }


@contextmanager
def _timed(what: str, tell: Callable[[str], None]) -> Iterator[None]:
    began = time.monotonic()
    yield
    tell(f"{what}: {time.monotonic() - began:.0f} s")

"""What containers, kubelet and containerd leave on a machine outside their own folders, and how it goes away."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.cluster import network
from tests.cluster.daemons import CGROUP, Folders
from tests.cluster.images import ImageError, Images

_CGROUPS = Path("/sys/fs/cgroup")
_NETWORKS = Path("/run/netns")
# Paths that are not to be set: removed at the end where they were not there at the start.
_OUTSIDE = ("/run/containerd", "/run/netns", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers")
_GONE_TIMEOUT_S = 10.0


def prepare(notes: Path) -> None:
    """Notes which folders outside are not there yet, and makes the cgroup below which all pods live."""
    notes.write_text("\n".join(path for path in _OUTSIDE if not Path(path).exists()))
    for root in _cgroup_roots():
        (root / CGROUP.strip("/")).mkdir(exist_ok=True)


def remove_containers(images: Images) -> None:
    """Ends all that runs in pods. With containerd running it also forgets them."""
    for process in _pod_processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    _wait_until(lambda: not list(_pod_processes()))
    with contextlib.suppress(ImageError, FileNotFoundError):
        for container in images.ctr("containers", "list", "--quiet").split():
            with contextlib.suppress(ImageError):
                images.ctr("tasks", "delete", "--force", container)
            images.ctr("containers", "delete", container)


def remove(folders: Folders, notes: Path) -> None:
    """Shims, pods' networks, mounts, cgroups and folders outside. containerd must have ended."""
    for process in _shims(folders):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    _wait_until(lambda: not list(_shims(folders)))
    for space in _pod_networks():
        _run("umount", str(space))
        space.unlink()
    for mount in _mounts(folders):
        _run("umount", "--lazy", mount)
    for root in _cgroup_roots():
        _remove_cgroups(root / CGROUP.strip("/"))
    for result in Path("/var/lib/cni/results").glob("momalisa-pods-*"):
        result.unlink()
    if notes.exists():
        for path in notes.read_text().split():
            shutil.rmtree(path, ignore_errors=True)
        notes.unlink()


def traces(folders: Folders) -> list[str]:
    """What there is of it at the moment; nothing after `down`."""
    found = [f"process {process}" for process in (*_pod_processes(), *_shims(folders))]
    found += [f"network namespace {space}" for space in _pod_networks()]
    found += [f"mount {mount}" for mount in _mounts(folders)]
    cgroups = (root / CGROUP.strip("/") for root in _cgroup_roots())
    return found + [f"cgroup {cgroup}" for cgroup in cgroups if cgroup.exists()] + network.traces()


def _pod_processes() -> Iterator[int]:
    for root in _cgroup_roots():
        for processes in (root / CGROUP.strip("/")).rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                yield from map(int, processes.read_text().split())


def _shims(folders: Folders) -> Iterator[int]:
    """The shims of our containerd, known by its socket."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().split(b"\0")
            if b"shim" in command[0] and os.fsencode(folders.containerd_socket) in command:
                yield int(folder.name)


def _pod_networks() -> list[Path]:
    """Network namespaces with an address of ours."""
    prefix = network.GATEWAY.rpartition(".")[0].rpartition(".")[0] + "."
    found = []
    for space in _NETWORKS.glob("cni-*"):
        addresses = _run("nsenter", f"--net={space}", "ip", "-brief", "-4", "address")
        if f" {prefix}" in addresses:
            found.append(space)
    return found


def _mounts(folders: Folders) -> list[str]:
    """Below our folders, the innermost first."""
    roots = tuple(f"{folder}/" for folder in (folders.state, folders.store))
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted((point for point in points if point.startswith(roots)), reverse=True)


def _cgroup_roots() -> list[Path]:
    """One with version 2, one for each controller with version 1."""
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS]
    return [root for root in _CGROUPS.iterdir() if (root / "cgroup.procs").exists() and not root.is_symlink()]


def _remove_cgroups(folder: Path) -> None:
    for child in sorted(folder.rglob("*"), reverse=True):
        if child.is_dir():
            child.rmdir()
    with contextlib.suppress(FileNotFoundError):
        folder.rmdir()


def _wait_until(is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _GONE_TIMEOUT_S
    while not is_done() and time.monotonic() < deadline:
        time.sleep(0.05)


def _run(*command: str) -> str:
    env = os.environ | {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False).stdout

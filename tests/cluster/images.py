"""Images of the test cluster: built with buildah, handed over by a registry on the loopback, layer by layer.

Only layers that changed move: a change of code reaches the node in seconds. What lets this machine reach a package
registry (certificates, pip's settings) is lent to the build as read-only mounts, so none of it stays in an image.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.cluster.binaries import environment
from tests.cluster.daemons import PAUSE_IMAGE, REGISTRY, Folders
from tests.support.gcs_emulator import emulator_binary

MOMALISA_IMAGE = "localhost/momalisa:test"
GCS_IMAGE = "localhost/fake-gcs-server:test"
_BASE_IMAGE = "localhost/debian-python:bookworm"
ROOT = Path(__file__).parents[2]
_ROOM_BYTES = 30e9
_LENT = ("/etc/ssl/certs", "/usr/share/ca-certificates", "/etc/pip.conf")


class ImageError(Exception):
    """An image could not be built or handed over."""


class Images:
    """Builds into `folders.store`, and hands over to the node that runs from `folders`."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders

    def build(self, source: Path = ROOT, image: str = MOMALISA_IMAGE) -> None:
        """The image of momalisa from a checkout, after its k8s/Dockerfile."""
        self._make_base()
        versions = image_versions(source)
        arguments = [f"--build-arg={name}={value}" for name, value in {"BASE_IMAGE": _BASE_IMAGE, **versions}.items()]
        lent = [f"--volume={path}:{path}:ro" for path in _LENT if Path(path).exists()]
        self._buildah(
            *(
                "build",
                "--layers",
                "--force-rm",
                "--pull-never",
                "--isolation=chroot",
                "--network=host",
                *lent,
                *arguments,
            ),
            *("--file", str(source / "k8s" / "Dockerfile"), "--tag", image, str(source)),
        )

    def build_small(self) -> None:
        """The GCS emulator's image, and the pause container's."""
        self._make_base()
        if not self._has(PAUSE_IMAGE):
            self._make_image(PAUSE_IMAGE, "scratch", Path(self._folders.program("pause")))
        if not self._has(GCS_IMAGE):
            self._make_image(GCS_IMAGE, _BASE_IMAGE, emulator_binary())

    def hand_over(self, image: str) -> None:
        """From buildah's store to the node's, through the registry."""
        name = image.partition("/")[2]
        # zstd at its quickest: packing 6 GB with gzip takes minutes.
        packed = ("--compression-format=zstd", "--compression-level=1", "--tls-verify=false")
        self._buildah("push", "--quiet", *packed, image, f"docker://{REGISTRY}/{name}")
        self.ctr("images", "pull", "--plain-http", f"{REGISTRY}/{name}")
        self.ctr("images", "tag", "--force", f"{REGISTRY}/{name}", image)

    def make_room(self) -> None:
        """Where the disk is nearly full: forgets what no image of a name needs, here and in the registry."""
        if shutil.disk_usage(self._folders.store).free > _ROOM_BYTES:
            return
        self._buildah("rmi", "--prune", "--force")
        settings = str(self._folders.state / "registry.yaml")
        self._run(self._folders.program("docker-registry"), "garbage-collect", "--delete-untagged", settings)

    def on_node(self) -> list[str]:
        """Names of the images that the node has."""
        return [name for name in self.ctr("images", "list", "--quiet").split() if not name.startswith("sha256:")]

    def ctr(self, *arguments: str) -> str:
        """What containerd's own client says."""
        socket = str(self._folders.containerd_socket)
        return self._run(self._folders.program("ctr"), "--address", socket, "--namespace", "k8s.io", *arguments)

    def _make_base(self) -> None:
        """A Debian with Python, as python:3.11-slim is one."""
        if self._has(_BASE_IMAGE):
            return
        with tempfile.TemporaryDirectory(dir=self._folders.store) as workshop:
            root = Path(workshop) / "root"
            packages = "ca-certificates,python3,python3-venv"
            self._run("debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", str(root))
            for litter in ("var/cache/apt/archives", "var/lib/apt/lists", "var/log"):
                shutil.rmtree(root / litter)
                (root / litter).mkdir()
            for lent in ("etc/resolv.conf", "etc/hostname"):
                (root / lent).unlink(missing_ok=True)
            container = self._buildah("from", "scratch").strip()
            mounted = self._buildah("mount", container).strip()
            self._run("cp", "--archive", f"{root}/.", mounted)
            self._buildah("umount", container)
            self._buildah("commit", "--rm", "--quiet", container, _BASE_IMAGE)

    def _make_image(self, image: str, base: str, program: Path) -> None:
        """One program on a base, run by user 1000."""
        container = self._buildah("from", "--pull-never", base).strip()
        name = re.sub(r"-v[\d.]+$", "", program.name)
        self._buildah("copy", "--quiet", "--chmod", "755", container, str(program), f"/{name}")
        self._buildah("config", "--entrypoint", f'["/{name}"]', "--cmd", "", "--user", "1000:1000", container)
        self._buildah("commit", "--rm", "--quiet", container, image)

    def _has(self, image: str) -> bool:
        return bool(self._buildah("images", "--quiet", "--filter", f"reference={image}").strip())

    def _buildah(self, *arguments: str) -> str:
        store = self._folders.store / "buildah"
        return self._run("buildah", "--root", str(store / "root"), "--runroot", str(store / "run"), *arguments)

    def _run(self, *command: str) -> str:
        log = self._folders.store / "images.log"
        env = os.environ | environment(self._folders.programs) | {"TMPDIR": str(self._folders.store)}
        with log.open("ab") as errors:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, env=env, text=True, check=False)
            errors.write(done.stdout.encode())
        if done.returncode:
            raise ImageError(f"{' '.join(command[:6])} … failed, see {log}:\n{_end_of(log)}")
        return done.stdout


def image_versions(source: Path = ROOT) -> dict[str, str]:
    """The build arguments that the Dockerfile's labels want, as the checkout itself says."""
    ray = re.search(r"^ray==(\S+)", (source / "requirements.lock").read_text(), re.MULTILINE)
    momalisa = re.search(r'^__version__ = "(.+)"', (source / "src/momalisa/__init__.py").read_text(), re.MULTILINE)
    assert ray, "requirements.lock pins no ray"
    assert momalisa, "momalisa/__init__.py has no __version__"
    return {"RAY_VERSION": ray[1], "MOMALISA_VERSION": momalisa[1]}


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-25:])

"""Manifests as `kubectl kustomize` makes them; without kubectl, a base as its files say."""

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from momalisa.caches import cache_folder

K8S = Path(__file__).parents[2] / "k8s"


def kubectl() -> str | None:
    """This machine's own, or the one that was built for the cluster of the tests."""
    return shutil.which("kubectl") or shutil.which("kubectl", path=cache_folder("cluster") / "programs")


@cache
def built(folder: str) -> tuple[dict[str, Any], ...]:
    """What `kubectl apply -k k8s/FOLDER` would apply. Don't change what you get: it is built once."""
    program = kubectl()
    if program is None:
        return tuple(_loaded(K8S / folder))
    command = [program, "kustomize", str(K8S / folder)]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return tuple(yaml.safe_load_all(text))


def of_kind(manifests: tuple[dict[str, Any], ...], kind: str) -> list[dict[str, Any]]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def named(manifests: tuple[dict[str, Any], ...], kind: str, name: str) -> dict[str, Any]:
    return next(manifest for manifest in of_kind(manifests, kind) if manifest["metadata"]["name"] == name)


def _loaded(folder: Path) -> list[dict[str, Any]]:
    """Bases have no patches: their files, in their namespace."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    if "patches" in kustomization:
        raise FileNotFoundError(f"kubectl is needed to build {folder}: it has patches")
    manifests = []
    for name in kustomization["resources"]:
        manifests += list(yaml.safe_load_all((folder / name).read_text()))
    if namespace := kustomization.get("namespace"):
        for manifest in manifests:
            if manifest["kind"] != "Namespace":
                manifest["metadata"]["namespace"] = namespace
            for subject in manifest.get("subjects", ()):
                if subject["kind"] == "ServiceAccount":
                    subject["namespace"] = namespace
    return manifests

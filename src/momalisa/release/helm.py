"""The helm command, and what it keeps of a release in the cluster."""

import base64
import binascii
import gzip
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from momalisa.cluster.facts import ClusterReader
from momalisa.cluster.kinds import SECRET, Manifest
from momalisa.errors import ClusterError, ConfigError

_TIMEOUT_S = 120.0
_PROBE = "kind: Values\nmetadata: {}\nvalues: {{ .Values | toJson }}\n"
_HOOK = "helm.sh/hook"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, and not everywhere
Values = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRelease:
    """A revision as helm keeps it."""

    revision: int
    status: str
    """`deployed`, `failed`, `pending-upgrade`, `superseded`, …"""
    description: str = ""
    """`Upgrade complete`, `Rollback to 3`, or why it failed."""
    chart: str
    """`momalisa-0.1.0`."""
    values: Values
    """Those that were given, without the chart's own."""
    manifests: tuple[Manifest, ...]
    """Without hooks."""

    @property
    def is_unfinished(self) -> bool:
        """Whether helm would refuse to touch it, since somebody else seems to be at it."""
        return self.status.startswith("pending-")


def history(cluster: ClusterReader, name: str) -> list[KeptRelease]:
    """The revisions that helm keeps, the newest first. Raises ClusterError, ClusterForbiddenError."""
    found = cluster.list(SECRET, labels={"owner": "helm", "name": name})
    return sorted((_kept(secret, name) for secret in found), key=lambda kept: -kept.revision)


def in_force(revisions: Sequence[KeptRelease]) -> KeptRelease | None:
    """What helm's next upgrade starts from: a newest revision that failed is not it, unless none was ever deployed."""
    deployed = (kept for kept in revisions if kept.status == "deployed")
    return next(deployed, revisions[0] if revisions else None)


def manifests_of(text: str) -> list[Manifest]:
    """The objects of a rendered chart, hooks and tests left out. Raises ConfigError."""
    try:
        documents = list(yaml.load_all(text, _LOADER))
    except yaml.YAMLError as e:
        raise ConfigError(f"what the chart renders is no YAML: {e}") from e
    found = [each for each in documents if isinstance(each, dict) and "kind" in each]
    return [each for each in found if _HOOK not in (each["metadata"].get("annotations") or {})]


class Helm:
    """The command. Values go to it in files of a folder that nobody else may read."""

    def __init__(self, binary: str | None = None, *, context: str | None = None, namespace: str | None = None) -> None:
        found = shutil.which(binary or "helm")
        if found is None:
            raise ConfigError(
                f"there is no {binary or 'helm'}: install Helm 4, or name it: --helm PATH; "
                "`plan --manifest` does without, on what helm template rendered elsewhere"
            )
        self._binary, self._context, self._namespace = found, context, namespace

    def template(self, name: str, chart: str, values: Values) -> list[Manifest]:
        """What a chart renders to with these values. Raises ConfigError in helm's words."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "values.yaml"
            file.write_text(json.dumps(values))
            return manifests_of(self._run("template", name, chart, "--is-upgrade", "--values", str(file)))

    def computed_values(self, chart: str, given: Sequence[str] | Values, flags: Sequence[str] = ()) -> Values:
        """All values of a chart, with those given in place: files or the values themselves, and flags (`--set`, …).

        Helm's own rules for that are many, so helm does it: it renders a chart that prints its values, and has this
        one's. A value that was taken away is None. Raises ConfigError.
        """
        defaults = self._run("show", "values", chart)
        with tempfile.TemporaryDirectory() as folder:
            files = given
            if isinstance(given, dict):
                Path(folder, "given.yaml").write_text(json.dumps(given))
                files = [str(Path(folder, "given.yaml"))]
            probe = Path(folder, "probe")
            (probe / "templates").mkdir(parents=True)
            (probe / "Chart.yaml").write_text("{apiVersion: v2, name: probe, version: 0.0.0}\n")
            (probe / "templates" / "values.yaml").write_text(_PROBE)
            (probe / "values.yaml").write_text(defaults)
            named = [word for file in files for word in ("--values", file)]
            (printed,) = manifests_of(self._run("template", "probe", str(probe), *named, *flags))
            return _with_nulls(yaml.safe_load(defaults) or {}, printed["values"] or {})

    def chart_name(self, chart: str) -> str:
        """`momalisa-0.2.0`."""
        metadata = yaml.safe_load(self._run("show", "chart", chart))
        return f"{metadata['name']}-{metadata['version']}"

    def rollback(self, name: str, revision: int) -> None:
        """Raises ClusterError in helm's words."""
        try:
            self._run("rollback", name, str(revision), with_cluster=True)
        except ConfigError as e:
            raise ClusterError(f"the release was not rolled back: {e}") from e

    def _run(self, *arguments: str, with_cluster: bool = False) -> str:
        flags = ["--namespace", self._namespace] if self._namespace else []
        flags += ["--kube-context", self._context] if self._context and with_cluster else []
        environment = os.environ if with_cluster else {**os.environ, "KUBECONFIG": os.devnull}
        try:
            done = subprocess.run(
                [self._binary, *arguments, *flags],
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                env=environment,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as e:
            raise ConfigError(f"helm {arguments[0]} did not end well: {e}") from e
        if done.returncode != 0:
            raise ConfigError(f"helm {arguments[0]}: {done.stderr.strip().removeprefix('Error: ')}")
        return done.stdout


def _with_nulls(defaults: Values, computed: Values) -> Values:
    """What the defaults have and the computed values have not was taken away, which only null says to helm again.

    Where the default is null nothing was: helm renders such a key as if it were not there, but hands on a null given.
    So a null is there for what somebody took away, and for nothing else: the chart's schema may require the rest.
    """
    both = {key: computed.get(key) for key in {**defaults, **computed} if key in computed or defaults[key] is not None}
    return {
        key: _with_nulls(defaults[key], value)
        if isinstance(value, dict) and isinstance(defaults.get(key), dict)
        else value
        for key, value in both.items()
    }


def _kept(secret: Manifest, name: str) -> KeptRelease:
    try:
        kept = json.loads(_unpacked(secret["data"]["release"]))
        metadata = kept["chart"]["metadata"]
        return KeptRelease(
            revision=int(kept["version"]),
            status=str(kept["info"]["status"]),
            description=str(kept["info"].get("description", "")),
            chart=f"{metadata['name']}-{metadata['version']}",
            values=kept.get("config") or {},
            manifests=tuple(manifests_of(kept.get("manifest", ""))),
        )
    except (KeyError, TypeError, ValueError, binascii.Error, gzip.BadGzipFile, EOFError) as e:
        raise ClusterError(
            f"Secret {secret['metadata']['name']} is no release of helm's ({e!r}): helm history {name}"
        ) from e


def _unpacked(data: str) -> bytes:
    """Kubernetes' base64 of helm's base64 of gzip."""
    packed = base64.b64decode(base64.b64decode(data))
    return gzip.decompress(packed) if packed.startswith(b"\x1f\x8b") else packed

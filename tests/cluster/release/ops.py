"""Somebody who runs the service: `helm` and `momalisa release` as processes, with all rights in one namespace alone."""

import copy
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from momalisa.caches import cache_folder
from tests.cluster.api import Api, Manifest
from tests.cluster.gcs import ClusterGcs
from tests.cluster.handles import Namespace
from tests.cluster.images import ROOT
from tests.cluster.person import Person, Said
from tests.cluster.users import grant

RELEASE = "walks"
SERVICE = f"{RELEASE}-momalisa"
CHART = ROOT / "helm" / "momalisa"
_ONE_MACHINE = CHART / "ci" / "one-machine-values.yaml"
_PROGRAM = (sys.executable, "-m", "momalisa.cli", "release")
_ACCOUNT = "ops"
_QUICK_S = 90.0
_READY_S = 300.0

Values = dict[str, Any]


class Ops(Person):
    """Has one release, and a bucket for it."""

    def __init__(self, namespace: Namespace, gcs: ClusterGcs, bucket: str, folder: Path) -> None:
        everything = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
        kubeconfig = namespace.kubeconfig_of(_ACCOUNT)
        grant(namespace.api, namespace.name, _ACCOUNT, everything)
        super().__init__(namespace, gcs, folder, kubeconfig)
        self.env["PATH"] = f"{cache_folder('cluster') / 'programs'}:{self.env['PATH']}"
        self._helm_folder = folder / "helm"
        for name in ("CACHE", "CONFIG", "DATA"):
            self.env[f"HELM_{name}_HOME"] = str(self._helm_folder / name.lower())
        self.values = _values(namespace, gcs, bucket)

    def upgrade(self, **changes: Any) -> Said:
        """`helm upgrade --install` with the values so far and `changes`, which stay: `limits={"max_frames": 9}`."""
        self.values = _merged(self.values, changes)
        return self.helm("upgrade", "--install", RELEASE, str(CHART), "--values", str(self.values_file()))

    def values_file(self, **changes: Any) -> Path:
        """A file of what the values are, and `changes`."""
        path = self.folder / "values.yaml"
        path.write_text(yaml.safe_dump(_merged(self.values, changes)))
        return path

    def helm(self, *words: str, timeout_s: float = _QUICK_S) -> Said:
        """`helm WORDS`; it must end well."""
        said = self.run(["helm", *words], timeout_s=timeout_s)
        assert said.code == 0, said.all
        return said

    def release(self, verb: str, *words: str, timeout_s: float = _READY_S) -> Said:
        """`momalisa release VERB walks WORDS`, to its end."""
        return self.run([*_PROGRAM, verb, RELEASE, *words], timeout_s=timeout_s)

    def plan(self, **changes: Any) -> Manifest:
        """What `momalisa release plan` says of `changes`, for programs."""
        values = str(self.values_file(**changes))
        said = self.release("plan", "--chart", str(CHART), "--values", values, "--json")
        assert said.out.startswith("{"), said.all
        plan: Manifest = json.loads(said.out)
        return plan

    def until_serving(self, *words: str, timeout_s: float = _READY_S) -> Said:
        """`momalisa release wait`; it must end well."""
        said = self.release("wait", "--timeout", f"{timeout_s:.0f}s", *words, timeout_s=timeout_s + 60)
        assert said.code == 0, f"{said.all}\n{self.namespace.story()}"
        return said

    def verdict(self) -> Manifest:
        """What `momalisa release status` says, for programs."""
        said = self.release("status", "--json")
        assert said.out.startswith("{"), said.all
        verdict: Manifest = json.loads(said.out)
        return verdict

    def until_verdict(self, state: str, *words: str, deadline_s: float) -> Manifest:
        """The first verdict of this state whose text has all `words`."""

        def as_wanted() -> Manifest | None:
            found = self.verdict()
            is_wanted = found["state"] == state and all(word in json.dumps(found) for word in words)
            return found if is_wanted else None

        return self.namespace.wait_for(f"the verdict is {state} ({', '.join(words)})", as_wanted, deadline_s=deadline_s)

    @property
    def api(self) -> Api:
        return self.namespace.api

    @property
    def url(self) -> str:
        """Of the Service, by its address."""
        service = self.api.get(self.namespace.path("services", f"{SERVICE}-serve-svc"))
        return f"http://{service['spec']['clusterIP']}:8000"

    def clusters(self) -> list[str]:
        """The names of the Ray clusters that are there, the oldest first."""
        found = self.api.items(self.namespace.path("rayclusters", group="ray.io/v1"))
        return [each["metadata"]["name"] for each in sorted(found, key=_created)]

    def pods(self, component: str, cluster: str | None = None) -> list[str]:
        """Names of Ray's pods of a component (head, workers, renderer), perhaps of one Ray cluster."""
        labels = f"app.kubernetes.io/component={component}" + (f",ray.io/cluster={cluster}" if cluster else "")
        return [each["metadata"]["name"] for each in self._pods(labels)]

    def replicas(self, deployment: str) -> list[str]:
        """The processes of one of Ray Serve's deployments, each as POD/PROCESS."""
        find = f"grep -l ^ray::ServeReplica:momalisa:{deployment} /proc/[0-9]*/cmdline | cut -d/ -f3"
        pods = [*self.pods("workers"), *self.pods("renderer")]
        return [f"{pod}/{process}" for pod in pods for process in self.in_pod(pod, "sh", "-c", find).out.split()]

    def another_tag(self) -> str:
        """The same image by another tag, which is a new image to Kubernetes. Skips where the cluster is not ours."""
        local = self.namespace.cluster.local
        if local is None:
            pytest.skip("only a cluster of one's own can be given an image")
        repository, _, tag = self.namespace.cluster.image.rpartition(":")
        local.images.ctr("images", "tag", "--force", f"{repository}:{tag}", f"{repository}:{tag}-again")
        return f"{tag}-again"

    def kill(self, pod: str) -> None:
        """As a node that is gone takes it along: no grace."""
        self.api.delete(self.namespace.path("pods", pod), grace_s=0)

    def in_pod(self, pod: str, *command: str, timeout_s: float = _QUICK_S) -> Said:
        """`kubectl exec`."""
        return self.run(["kubectl", "exec", pod, "--container", "ray", "--", *command], timeout_s=timeout_s)

    def _pods(self, labels: str) -> list[Manifest]:
        return self.api.items(self.namespace.path("pods"), labelSelector=labels)


def _values(namespace: Namespace, gcs: ClusterGcs, bucket: str) -> Values:
    repository, _, tag = namespace.cluster.image.rpartition(":")
    own = {
        "image": {"repository": repository, "tag": tag, "pullPolicy": "IfNotPresent"},
        "bucket": {"uri": f"{bucket}/walks"},
        "admission": {"max_a_day_per_owner": 100_000},  # all visitors are one owner here
        "extraEnv": gcs.pod_environment | {"OMP_NUM_THREADS": "1"},
    }
    return _merged(yaml.safe_load(_ONE_MACHINE.read_text()), own)


def _merged(values: Mapping[str, Any], more: Mapping[str, Any]) -> Values:
    """As helm merges values: maps by their keys, all else whole."""
    merged = copy.deepcopy(dict(values))
    for name, value in more.items():
        there = merged.get(name)
        merged[name] = _merged(there, value) if isinstance(there, dict) and isinstance(value, Mapping) else value
    return merged


def _created(manifest: Manifest) -> str:
    return str(manifest["metadata"]["creationTimestamp"])

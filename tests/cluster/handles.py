"""What a test holds in its hands: a cluster, and a namespace of its own."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests.cluster.api import Api
from tests.cluster.cluster import LocalCluster
from tests.cluster.images import GCS_IMAGE, MOMALISA_IMAGE
from tests.cluster.users import kubeconfig_of
from tests.cluster.waiting import story_of, wait_for

T = TypeVar("T")


class ClusterUnderTest:
    """What tests may know of a cluster. local: this machine's own, whose daemons a drill may stop; or None."""

    def __init__(self, api: Api, local: LocalCluster | None) -> None:
        self.kubeconfig = api.kubeconfig
        self.local = local
        self.api = api
        self.image = os.environ.get("MOMALISA_TEST_IMAGE", MOMALISA_IMAGE)
        self.gcs_image = os.environ.get("MOMALISA_TEST_GCS_IMAGE", GCS_IMAGE)


class Namespace:
    """A namespace of one test: its API, waiting that tells its story, and users with few rights."""

    def __init__(self, cluster: ClusterUnderTest, name: str, folder: Path) -> None:
        self.cluster = cluster
        self.api = cluster.api
        self.name = name
        self._folder = folder

    def path(self, resource: str, name: str = "", *, group: str = "") -> str:
        """`path("pods")`, `path("rayjobs", "a", group="ray.io/v1")`."""
        root = f"/apis/{group}" if group else "/api/v1"
        return f"{root}/namespaces/{self.name}/{resource}" + (f"/{name}" if name else "")

    def wait_for(self, what: str, probe: Callable[[], T | None], *, deadline_s: float) -> T:
        """The first true answer; after the deadline an error with objects, events and logs of this namespace."""
        return wait_for(what, probe, deadline_s=deadline_s, api=self.api, namespace=self.name)

    def story(self) -> str:
        """All that can be seen of it now."""
        return story_of(self.api, self.name)

    def kubeconfig_of(self, account: str) -> Path:
        """A kubeconfig file of one of its ServiceAccounts (made where missing), with this namespace as default."""
        return kubeconfig_of(self.api, self.name, account, self._folder)

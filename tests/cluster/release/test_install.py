"""From nothing to a GIF, as helm/README.md says; a change in place; and nothing left but the bucket."""

import io

import httpx
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from momalisa.client import Client
from tests.cluster.api import Manifest, condition
from tests.cluster.gcs import ClusterGcs
from tests.cluster.release.ops import RELEASE, SERVICE, Ops
from tests.cluster.release.reach import assert_reach
from tests.support.chromium import chromium
from tests.support.forwarder import forwarder

_KINDS = (
    ("", "pods services configmaps secrets serviceaccounts persistentvolumeclaims"),
    ("ray.io/v1", "rayservices rayclusters rayjobs"),
    ("networking.k8s.io/v1", "networkpolicies ingresses"),
    ("policy/v1", "poddisruptionbudgets"),
    ("batch/v1", "jobs cronjobs"),
    ("rbac.authorization.k8s.io/v1", "roles rolebindings"),
)
_OF_THE_NAMESPACE = {"configmaps/kube-root-ca.crt", "serviceaccounts/default"}
_PAGE_S = 60_000


def test_from_nothing_to_a_gif_and_back(ops: Ops, gcs: ClusterGcs, bucket: str) -> None:
    before = _things(ops)
    told = ops.upgrade(sweep={"enabled": True})
    assert f"momalisa release wait {RELEASE}" in told.out, told.all
    ops.until_serving()
    tested = ops.helm("test", RELEASE, "--logs", timeout_s=300)
    for line in ("ready: a model has drawn a picture", "the page is there", "6 frames"):
        assert line in tested.out, tested.all
    _walk(ops)
    _page(ops)
    _pods_are_restricted(ops)
    _changed_in_place(ops)
    _swept_by_the_cronjob(ops)
    ops.helm("uninstall", RELEASE, "--wait", timeout_s=120)
    ops.namespace.wait_for("all is gone", lambda: _things(ops) == before, deadline_s=120)
    assert gcs.names(f"{bucket}/walks/walks"), "the bucket is the ops' own"


def _things(ops: Ops) -> set[str]:
    found = {
        f"{plural}/{each['metadata']['name']}"
        for group, plurals in _KINDS
        for plural in plurals.split()
        for each in ops.api.items(ops.namespace.path(plural, group=group))
    }
    return found - _OF_THE_NAMESPACE


def _walk(ops: Ops) -> None:
    with Client(ops.url) as client:
        walk = client.walk("blue dots on a yellow ground", "red stripes on white", num_frames=6, num_inference_steps=8)
        with Image.open(io.BytesIO(walk.save(ops.folder / "walk.gif").read_bytes())) as picture:
            assert getattr(picture, "n_frames", 1) == 6


def _page(ops: Ops) -> None:
    """A visitor's browser, by the Service."""
    with forwarder(ops.url) as way, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        page: Page = browser.new_page()
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(way.url)
        page.wait_for_selector(".compose", timeout=_PAGE_S)
        page.screenshot(path=ops.folder / "page.png")
        browser.close()
    assert not troubles


def _pods_are_restricted(ops: Ops) -> None:
    """The namespace refuses anything else; what it cannot know of is looked at."""
    pods = ops.api.items(ops.namespace.path("pods"), labelSelector=f"momalisa.dev/release={SERVICE}")
    assert len(pods) == 2
    for pod in pods:
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert not [each for each in pod["spec"]["volumes"] if "kube-api-access" in each["name"]]
        containers = pod["spec"]["containers"] + pod["spec"].get("initContainers", [])
        assert all(each["securityContext"]["readOnlyRootFilesystem"] for each in containers)
    no_token = ops.in_pod(ops.pods("workers")[0], "ls", "/var/run/secrets/kubernetes.io")
    assert no_token.code != 0, no_token.all


def _changed_in_place(ops: Ops) -> None:
    (cluster,), pods = ops.clusters(), ops.pods("workers")
    change = {"limits": {"max_frames": 7}}
    plan = ops.plan(**change)
    assert plan["weight"] == "reconfigured", plan
    ops.upgrade(**change)
    ops.until_serving()
    limit = httpx.get(f"{ops.url}/v1/me", trust_env=False).raise_for_status().json()["limits"]["max_frames"]
    assert limit == 7
    assert (ops.clusters(), ops.pods("workers")) == ([cluster], pods)


def _swept_by_the_cronjob(ops: Ops) -> None:
    cron = ops.api.get(ops.namespace.path("cronjobs", f"{SERVICE}-sweep", group="batch/v1"))
    job: Manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sweep-now"}}
    path = ops.namespace.path("jobs", "sweep-now", group="batch/v1")
    ops.api.create(job | {"spec": cron["spec"]["jobTemplate"]["spec"]}, namespace=ops.namespace.name)
    complete = lambda: (condition(ops.api.get(path), "Complete") or {}).get("status") == "True"  # noqa: E731
    ops.namespace.wait_for("the sweep is done", complete, deadline_s=120)
    assert_reach(ops)
    ops.api.delete(path)

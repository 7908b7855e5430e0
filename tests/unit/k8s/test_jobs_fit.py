"""What `momalisa jobs submit` makes is what the policies here expect: the golden RayJobs, one by one."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from momalisa.cluster.isolation import AUTOSCALED_LABEL, RUN_LABEL
from tests.support.kustomized import built, named, of_kind

GOLDEN = sorted((Path(__file__).parents[1] / "cluster" / "golden").glob("*.yaml"))

pytestmark = pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)


def _templates(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    cluster = job["spec"]["rayClusterSpec"]
    return {
        "head": cluster["headGroupSpec"]["template"],
        "worker": cluster["workerGroupSpecs"][0]["template"],
        "submitter": job["spec"]["submitterPodTemplate"],
    }


def _job(path: Path) -> dict[str, Any]:
    return next(found for found in yaml.safe_load_all(path.read_text()) if found["kind"] == "RayJob")


def test_its_pods_are_of_its_run(path: Path) -> None:
    job = _job(path)
    for template in _templates(job).values():
        assert template["metadata"]["labels"][RUN_LABEL] == job["metadata"]["name"]


def test_only_a_head_with_an_autoscaler_has_the_way_to_the_api_server(path: Path) -> None:
    """NetworkPolicies cannot ask for a ServiceAccount, so the way to the API server goes by a label."""
    job = _job(path)
    is_autoscaled = job["spec"]["rayClusterSpec"].get("enableInTreeAutoscaling", False)
    labelled = [name for name, pod in _templates(job).items() if pod["metadata"]["labels"].get(AUTOSCALED_LABEL)]
    assert labelled == (["head"] if is_autoscaled else [])


def test_its_accounts_are_allowed_and_the_autoscalers_is_the_heads_alone(path: Path) -> None:
    job = _job(path)
    accounts = {name: template["spec"]["serviceAccountName"] for name, template in _templates(job).items()}
    annotations = named(built("base"), "Namespace", "momalisa")["metadata"]["annotations"]
    assert set(accounts.values()) <= set(annotations["momalisa.dev/allowed-service-accounts"].split())
    is_autoscaled = job["spec"]["rayClusterSpec"].get("enableInTreeAutoscaling", False)
    assert accounts["head"] == ("momalisa-autoscaled" if is_autoscaled else "momalisa-job")
    assert accounts["worker"] == accounts["submitter"] == "momalisa-job"


def test_it_mounts_no_token_but_the_autoscalers(path: Path) -> None:
    for template in _templates(_job(path)).values():
        spec = template["spec"]
        tokens = {
            volume["name"]
            for volume in spec["volumes"]
            if any("serviceAccountToken" in source for source in volume.get("projected", {}).get("sources", ()))
        }
        assert spec["automountServiceAccountToken"] is False
        assert not tokens & {mount["name"] for c in spec["containers"] for mount in c["volumeMounts"]}


def test_its_priority_is_there(path: Path) -> None:
    priorities = {priority["metadata"]["name"] for priority in of_kind(built("cluster"), "PriorityClass")}
    asked = {template["spec"].get("priorityClassName") for template in _templates(_job(path)).values()}
    assert asked <= priorities | {None}

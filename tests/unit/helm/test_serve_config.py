"""What Ray Serve is told is what Ray's classes and momalisa's take."""

from typing import Any

import pytest
import yaml
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import ServeDeploySchema

from momalisa.config import from_dict
from momalisa.service.on_ray.application import build_app
from momalisa.service.structure import ConductorLife, GatewayLife, Structure
from momalisa.service.sweeping import read
from tests.support.chart import VALUE_SETS, defaults, manifests, named

BUCKET = 'bucket={"uri":"gs://b/p"}'


def config(value_set: str = "", *values: str) -> dict[str, Any]:
    told: dict[str, Any] = yaml.safe_load(named(manifests(value_set, *values), "RayService")["spec"]["serveConfigV2"])
    return told


def application(value_set: str = "", *values: str) -> dict[str, Any]:
    (only,) = config(value_set, *values)["applications"]
    return dict(only)


def deployments(value_set: str = "", *values: str) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in application(value_set, *values)["deployments"]}


@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_ray_takes_it(value_set: str) -> None:
    ServeDeploySchema.model_validate(config(value_set))
    for name, each in deployments(value_set).items():
        if name != "conductor":
            AutoscalingConfig.model_validate(each["autoscaling_config"])


@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_momalisa_takes_it(value_set: str) -> None:
    told = deployments(value_set)
    structure = from_dict(Structure, application(value_set)["args"])
    life = from_dict(GatewayLife, told["gateway"]["user_config"])
    from_dict(ConductorLife, told["conductor"]["user_config"])
    assert life.limits.max_streams < structure.max_open_requests
    assert structure.release == ""  # the Ray cluster's name, which is another one in each


@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_it_names_every_deployment_that_there_is(value_set: str) -> None:
    app = build_app(application(value_set)["args"])
    names = {"gateway", "conductor"}
    assert app._bound_deployment.name == "gateway"
    conductor = app._bound_deployment.init_args[1]
    names |= {each._bound_deployment.name for each in conductor._bound_deployment.init_args[1:]}
    assert set(deployments(value_set)) == names


def test_the_defaults_are_the_code_s_own() -> None:
    told = deployments("", BUCKET)
    assert from_dict(ConductorLife, told["conductor"]["user_config"]) == ConductorLife()
    assert from_dict(GatewayLife, told["gateway"]["user_config"]) == GatewayLife()


def test_a_renderer_is_drawn_with_before_there_may_be_none() -> None:
    scale = deployments("", BUCKET)["renderer"]["autoscaling_config"]
    assert (scale["min_replicas"], scale["initial_replicas"]) == (0, 1)
    assert scale["policy"] == {"policy_function": "momalisa.service.on_ray.scaling:scale_renderers"}


def test_renderers_are_where_nothing_else_is() -> None:
    told = deployments("gke-spot")
    assert told["renderer"]["ray_actor_options"] == {"num_cpus": 0, "num_gpus": 1}
    for name in {*told} - {"renderer"}:
        assert told[name]["ray_actor_options"]["num_cpus"] > 0
        assert told[name]["ray_actor_options"]["num_gpus"] == 0
    cluster = named(manifests("gke-spot"), "RayService")["spec"]["rayClusterConfig"]
    cpus = {group["groupName"]: group["rayStartParams"]["num-cpus"] for group in cluster["workerGroupSpecs"]}
    assert cpus == {"workers": "4", "l4-spot": "0", "l4": "0"}
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}


def test_without_gpus_renderers_are_on_the_workers() -> None:
    assert deployments("one-machine")["renderer"]["ray_actor_options"] == {"num_cpus": 1, "num_gpus": 0}


def test_for_ever_is_for_ever_though_helm_drops_null() -> None:
    assert deployments("kiosk")["conductor"]["user_config"]["retention"]["keep_days"] is None
    assert deployments("gke-spot")["conductor"]["user_config"]["retention"]["keep_days"] == 90


def test_large_numbers_stay_numbers() -> None:
    limits = deployments("", BUCKET)["gateway"]["user_config"]["limits"]
    assert limits == defaults()["limits"]
    assert all(isinstance(limits[name], int) for name in limits if not name.endswith("_s"))


def test_files_are_where_secrets_are_mounted() -> None:
    args = application("kiosk")["args"]
    assert args["session_secrets_file"] == "/etc/momalisa/sessions/secrets"
    assert args["keys_file"] == "/etc/momalisa/keys/keys.jsonl"
    assert args["web_folder"] == "/app/serve/web"
    without = application("many-models")["args"]
    assert "session_secrets_file" not in without
    assert "web_folder" not in without


def test_the_chart_s_own_jobs_are_told_the_same(tmp_path: Any) -> None:
    for value_set in VALUE_SETS:
        objects = manifests(value_set)
        text = named(objects, "ConfigMap", "walks-momalisa-serve")["data"]["serve.yaml"]
        assert text == named(objects, "RayService")["spec"]["serveConfigV2"]
        (tmp_path / "serve.yaml").write_text(text)
        bucket, _ = read(tmp_path / "serve.yaml")
        assert bucket == application(value_set)["args"]["bucket"]

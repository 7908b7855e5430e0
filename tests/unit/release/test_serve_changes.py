"""What another Serve configuration does, against Ray Serve's own word."""

import copy
from typing import Any

import pytest

from momalisa.errors import ConfigError
from momalisa.release.changes import Change, Weight, heaviest
from momalisa.release.serve_changes import parsed, serve_changes
from tests.unit.release.examples import DEPLOYMENTS, SERVE

GATEWAY = {"name": "gateway", "user_config": {"limits": {"max_frames": 120}}}


def other(application: dict[str, Any] | None = None, gateway: dict[str, Any] | None = None) -> dict[str, Any]:
    """The example with other settings of the application, or of the gateway."""
    config = copy.deepcopy(SERVE)
    config["applications"][0] |= application or {}
    config["applications"][0]["deployments"][1] |= gateway or {}
    return config


def changes(new: dict[str, Any], old: dict[str, Any] = SERVE) -> list[Change]:
    return serve_changes(old, new, {"momalisa": list(DEPLOYMENTS)})


EVERYTHING = "restarts every deployment"
CASES: list[tuple[dict[str, Any], Weight, str]] = [
    (other(gateway={"user_config": {"limits": {"max_frames": 60}}}), Weight.RECONFIGURED, ""),
    (other(gateway={"max_ongoing_requests": 9}), Weight.RECONFIGURED, ""),
    (other(gateway={"graceful_shutdown_timeout_s": 60}), Weight.RECONFIGURED, ""),
    (other(gateway={"num_replicas": 2}), Weight.RECONFIGURED, ""),
    (other(gateway={"health_check_period_s": 5}), Weight.RECONFIGURED, ""),
    (other(gateway={"logging_config": {"encoding": "TEXT"}}), Weight.RECONFIGURED, ""),
    (other(gateway={"ray_actor_options": {"num_cpus": 2}}), Weight.RESTARTED, "restarts gateway"),
    (other(gateway={"max_replicas_per_node": 1}), Weight.RESTARTED, "restarts gateway"),
    (other(gateway={"placement_group_bundles": [{"CPU": 1}]}), Weight.RESTARTED, "restarts gateway"),
    (other(gateway={"autoscaling_config": {"max_replicas": 3}}), Weight.RESTARTED, EVERYTHING),
    (other(gateway={"request_router_config": {"prefix": "a"}}), Weight.RESTARTED, EVERYTHING),
    (other({"args": {"bucket": "gs://other"}}), Weight.RESTARTED, EVERYTHING),
    (other({"import_path": "serve.app:other"}), Weight.RESTARTED, EVERYTHING),
    (other({"runtime_env": {"env_vars": {"A": "1"}}}), Weight.RESTARTED, EVERYTHING),
    (other({"autoscaling_policy": {"policy_function": "a:b"}}), Weight.RESTARTED, EVERYTHING),
    (other({"route_prefix": "/walks"}), Weight.RECONFIGURED, ""),
    (other({"name": "another"}), Weight.RESTARTED, "is removed"),
    ({**SERVE, "http_options": {"port": 9000}}, Weight.IGNORED, "next cluster"),
    ({**SERVE, "target_capacity": 50}, Weight.RECONFIGURED, ""),
    (copy.deepcopy(SERVE), Weight.NOTHING, ""),
]


@pytest.mark.parametrize(("new", "weight", "words"), CASES)
def test_what_it_does(new: dict[str, Any], weight: Weight, words: str) -> None:
    found = changes(new)
    assert heaviest(found) == weight
    assert words in " ".join(change.words for change in found)


@pytest.mark.parametrize("new", [new for new, _, _ in CASES if len(new) == 1])
def test_serve_restarts_everything_in_the_same_cases(new: dict[str, Any]) -> None:
    from ray.serve._private.deploy_utils import get_app_code_version
    from ray.serve.schema import ServeDeploySchema

    def version(config: dict[str, Any]) -> tuple[str, str]:
        (application,) = ServeDeploySchema.model_validate(copy.deepcopy(config)).applications
        return application.name, get_app_code_version(application)

    restarts = any(EVERYTHING in change.words or "an application" in change.words for change in changes(new))
    assert restarts == (version(new) != version(SERVE))


def test_the_policies_of_deployments_are_hashed_in_their_order() -> None:
    scaled = {"autoscaling_config": {"max_replicas": 3, "policy": {"policy_function": "a:b"}}}
    old = other(gateway=scaled)
    more = other(gateway={"autoscaling_config": {**scaled["autoscaling_config"], "max_replicas": 9}})
    assert heaviest(changes(more, old)) is Weight.RECONFIGURED
    both = copy.deepcopy(old)
    both["applications"][0]["deployments"][0]["autoscaling_config"] = {"max_replicas": 2}
    turned = copy.deepcopy(both)
    turned["applications"][0]["deployments"].reverse()
    (change,) = changes(turned, both)
    assert (change.weight, change.path[-13:]) == (Weight.RESTARTED, "(their order)")


def test_a_change_names_the_place_and_both_values() -> None:
    (change,) = changes(other(gateway={"user_config": {"limits": {"max_frames": 60}}}))
    assert change.path == "serveConfigV2.applications[momalisa].deployments[gateway].user_config.limits.max_frames"
    assert change.in_words().endswith("max_frames: 120 → 60")
    assert "by limits.maxFrames" in change.caused_by("limits.maxFrames").in_words()


def test_a_model_more_is_told_by_its_id() -> None:
    config = copy.deepcopy(SERVE)
    config["applications"][0]["deployments"][0]["user_config"]["models"].append({"id": "moma", "uri": "gs://m"})
    (change,) = changes(config)
    assert change.path.endswith("user_config.models[moma]")


@pytest.mark.parametrize("text", ["a: [", "[]", "applications: [{name: a}]"])
def test_what_is_no_configuration(text: str) -> None:
    with pytest.raises(ConfigError, match="serveConfigV2 is no"):
        parsed(text)

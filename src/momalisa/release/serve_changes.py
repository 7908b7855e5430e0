"""What another `serveConfigV2` does to a Serve that runs, by the rules of Ray Serve 2.60.

The version of an application's code is a hash of its import path, runtime environment, arguments and autoscaling
policies: another one restarts every deployment. Beyond that each option of a deployment has its own way of coming into
force (`ray.serve._private.version`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from momalisa.errors import ConfigError
from momalisa.release.changes import Change, Weight
from momalisa.release.cluster_specs import differences

Config = Mapping[str, Any]
PATH = "serveConfigV2"
_OF_CODE = ("import_path", "runtime_env", "args", "autoscaling_policy")
_OF_CODE_TOO = ("autoscaling_config", "request_router_config", "deployment_actors")
"""Options of single deployments of which Serve puts all that are said, in their order, into that hash."""
_OF_ACTORS = {
    *("ray_actor_options", "max_replicas_per_node", "gang_scheduling_config"),
    *("placement_group_bundles", "placement_group_strategy"),
    *("placement_group_bundle_label_selector", "placement_group_fallback_strategy"),
}
_ONLY_AT_START = {"http_options", "proxy_location", "grpc_options", "controller_options"}
_OF_NEW_REPLICAS = {"tracing_config"}


def parsed(text: str) -> dict[str, Any]:
    """Raises ConfigError for what is no configuration of Serve's."""
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as e:
        raise ConfigError(f"{PATH} is no YAML ({e}): mend the values that it is made from") from e
    if config is None:
        return {}
    if not isinstance(config, dict) or not all(
        isinstance(each, dict) and "import_path" in each for each in config.get("applications") or []
    ):
        raise ConfigError(f"{PATH} is no Serve configuration: it needs applications, each with an import_path")
    return config


def serve_changes(old: Config, new: Config, deployments: Mapping[str, list[str]]) -> list[Change]:
    """The changes, in the order of the configuration.

    `deployments` names those that run, by application.
    """
    before, after = _applications(old), _applications(new)
    changes = list(_of_serve(old, new))
    for name in [*before, *(name for name in after if name not in before)]:
        if name not in before or name not in after:
            changes.append(_of_whole_application(name, before.get(name), after.get(name)))
        else:
            changes += _of_application(name, before[name], after[name], deployments.get(name, []))
    return changes


def _of_serve(old: Config, new: Config) -> Iterator[Change]:
    keys = [key for key in {**old, **new} if key != "applications"]
    for key in keys:
        for path, before, after in differences(old.get(key), new.get(key), f"{PATH}.{key}"):
            if key in _ONLY_AT_START:
                words = "Serve reads it when it starts: it comes into force with the next cluster"
                yield Change(weight=Weight.IGNORED, path=path, words=words, old=before, new=after)
            elif key in _OF_NEW_REPLICAS:
                words = "for replicas that start from now on"
                yield Change(weight=Weight.IGNORED, path=path, words=words, old=before, new=after)
            else:
                yield Change(weight=Weight.RECONFIGURED, path=path, old=before, new=after)


def _of_whole_application(name: str, old: Config | None, new: Config | None) -> Change:
    words = "an application is added" if old is None else "an application is removed, with all of its deployments"
    return Change(
        weight=Weight.RESTARTED,
        path=f"{PATH}.applications[{name}]",
        words=words,
        old=None if old is None else old["import_path"],
        new=None if new is None else new["import_path"],
    )


def _of_application(name: str, old: Config, new: Config, running: list[str]) -> Iterator[Change]:
    where = f"{PATH}.applications[{name}]"
    every = f"restarts every deployment: {', '.join(running)}" if running else "restarts every deployment"
    for key in _OF_CODE:
        for path, before, after in differences(old.get(key), new.get(key), f"{where}.{key}"):
            yield Change(weight=Weight.RESTARTED, path=path, words=every, old=before, new=after)
    for key in {**old, **new}:
        if key not in (*_OF_CODE, "deployments", "name"):
            for path, before, after in differences(old.get(key), new.get(key), f"{where}.{key}"):
                yield Change(weight=Weight.RECONFIGURED, path=path, old=before, new=after)
    restarting = {key for key in _OF_CODE_TOO if _of_code(key, old) != _of_code(key, new)}
    before_of, after_of = _by_name(old.get("deployments")), _by_name(new.get("deployments"))
    if restarting and before_of == after_of:
        order = list(before_of), list(after_of)
        yield Change(
            weight=Weight.RESTARTED, path=f"{where}.deployments (their order)", words=every, old=order[0], new=order[1]
        )
    for deployment in [*before_of, *(each for each in after_of if each not in before_of)]:
        options = before_of.get(deployment, {}), after_of.get(deployment, {})
        path = f"{where}.deployments[{deployment}]"
        yield from _of_deployment(path, *options, every, f"restarts {deployment}", restarting)


def _of_code(key: str, application: Config) -> list[Any]:
    """What Serve hashes of an option: for autoscaling, the policies of those deployments that say anything of it."""
    kind = list if key == "deployment_actors" else dict
    said = [each[key] for each in application.get("deployments") or [] if isinstance(each.get(key), kind)]
    return [each.get("policy") for each in said] if key == "autoscaling_config" else said


def _of_deployment(
    where: str, old: Config, new: Config, every: str, alone: str, restarting: set[str]
) -> Iterator[Change]:
    """An option that is not said any more is again what the code says of it."""
    for key in {**old, **new}:
        words = every if key in restarting else alone if key in _OF_ACTORS else ""
        weight = Weight.RESTARTED if words else Weight.RECONFIGURED
        for path, before, after in differences(old.get(key), new.get(key), f"{where}.{key}"):
            yield Change(weight=weight, path=path, words=words, old=before, new=after)


def _applications(config: Config) -> dict[str, Config]:
    return {str(each.get("name", "default")): each for each in config.get("applications") or []}


def _by_name(deployments: Any) -> dict[str, Config]:
    return {str(each["name"]): {key: each[key] for key in each if key != "name"} for each in deployments or []}

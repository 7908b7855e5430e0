"""Which values cause a change, where that is not plain."""

from typing import Any

import pytest

from momalisa.errors import ConfigError
from momalisa.release.attribution import TOGETHER, attributed, changed_values, service_in
from momalisa.release.comparing import Running, service_changes
from tests.unit.release.examples import cluster_spec, ray_service


def render(values: Any) -> list[dict[str, Any]]:
    """The image is of two values; a third has an effect only with a fourth."""
    if values["tag"] == "refused":
        raise ConfigError("no such tag")
    spec = cluster_spec()
    spec["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["image"] = f"{values['name']}:{values['tag']}"
    delay = 300 + (values["more"] if values["is_on"] else 0)
    return [ray_service(cluster=spec, rayClusterDeletionDelaySeconds=delay)]


OLD = {"name": "momalisa", "tag": "1", "more": 0, "is_on": False}


def causes(new: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    before, goal = service_in(render(OLD)), service_in(render(new))
    running = Running(service=before, cluster=before["spec"]["rayClusterConfig"])
    found = attributed(service_changes(running, goal), render, OLD, new, otherwise="the chart")
    return {change.path.rpartition(".")[2]: change.values for change in found}


def test_several_values_may_cause_one_change() -> None:
    assert causes({**OLD, "name": "other", "tag": "2"}) == {"image": ("name", "tag")}


def test_values_may_need_one_another() -> None:
    assert causes({**OLD, "more": 60, "is_on": True}) == {"rayClusterDeletionDelaySeconds": (TOGETHER,)}


def test_nobody_is_said_to_have_taken_away_what_was_only_never_there() -> None:
    """A chart's schema refuses a null, where it is not that a value of the chart's own was taken away."""
    rendered: list[dict[str, Any]] = []

    def noting(values: Any) -> list[dict[str, Any]]:
        rendered.append(values)
        return render(OLD)

    old = {"labels": {"team": "a", "floor": 1}, "models": ["tiny"], "tag": "1"}
    new = {"labels": {"floor": 1}, "models": None, "tag": "1"}
    attributed([], noting, old, new, otherwise="the chart")
    assert {**old, "labels": {"floor": 1}} in rendered
    assert {**old, "models": None} in rendered
    assert len(rendered) == 4


def test_a_release_has_one_rayservice() -> None:
    with pytest.raises(ConfigError, match="0 RayServices are rendered"):
        service_in([])


def test_lists_are_values_and_so_are_maps_with_dots_in_their_keys() -> None:
    old = {"a": {"b": [1]}, "labels": {"x.y": "1"}, "same": 1}
    new = {"a": {"b": [2], "c": 3}, "labels": {"x.y": "2"}, "same": 1}
    assert changed_values(old, new) == {
        "a.b": ([1], [2]),
        "a.c": (None, 3),
        "labels": ({"x.y": "1"}, {"x.y": "2"}),
    }


def test_very_many_are_told_by_their_topmost_part() -> None:
    new = {"a": {str(number): number for number in range(99)}}
    assert changed_values({"a": {"b": 1}}, new) == {"a": ({"b": 1}, new["a"])}

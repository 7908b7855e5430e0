"""Which of the chart's values cause a change: found by rendering the chart with one of them changed at a time."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from momalisa.cluster.kinds import Manifest
from momalisa.errors import ConfigError
from momalisa.release.changes import Change
from momalisa.release.comparing import Running, object_changes, service_changes

Values = Mapping[str, Any]
Render = Callable[[Values], Sequence[Manifest]]
_MOST_RENDERINGS = 40
"""Beyond so many changed values, they are changed by their topmost part at a time."""
TOGETHER = "several values together"


def service_in(manifests: Sequence[Manifest]) -> Manifest:
    """The RayService of a rendered chart. Raises ConfigError where there is none, or more than one."""
    found = [each for each in manifests if each["kind"] == "RayService"]
    if len(found) != 1:
        raise ConfigError(f"{len(found)} RayServices are rendered, and one is what a release has: is this the chart?")
    return found[0]


def changed_values(old: Values, new: Values) -> dict[str, tuple[Any, Any]]:
    """The leaves that differ, as `--set` calls them; a list is a leaf."""
    found = _leaves(old, new)
    return found if len(found) <= _MOST_RENDERINGS else {key: (old.get(key), new.get(key)) for key in _tops(found)}


def attributed(changes: Sequence[Change], render: Render, old: Values, new: Values, *, otherwise: str) -> list[Change]:
    """The same changes, each with the values that cause it.

    A change that no value causes alone is `otherwise`'s where it is there with the old values already (another version
    of the chart, a hand on the cluster), else that of several together.
    """
    before = render(old)
    causes = {value: _paths(before, render, _with(old, value, new)) for value in changed_values(old, new)}
    by_values = set(_paths(before, render, new))
    found = []
    for change in changes:
        values = [value for value, paths in causes.items() if _is_at(change.path, paths)]
        if not values:
            values = [TOGETHER if _is_at(change.path, by_values) else otherwise]
        found.append(change.caused_by(*values))
    return found


def _paths(before: Sequence[Manifest], render: Render, values: Values) -> set[str]:
    """Where the chart renders something else with these values; nowhere, where they are refused."""
    try:
        after = render(values)
    except ConfigError:
        return set()
    service = service_in(before)
    running = Running(service=service, cluster=service["spec"]["rayClusterConfig"])
    found = [*service_changes(running, service_in(after)), *object_changes(before, after)]
    return {change.path for change in found}


def _is_at(path: str, paths: set[str]) -> bool:
    """A part that is new as a whole is told by one path, and by many where it was there."""
    return any(path.startswith(each) or each.startswith(path) for each in paths)


def _with(values: Values, path: str, new: Values) -> dict[str, Any]:
    """The values with one of the new ones. What these have not is left out: null they have where somebody took away
    what the chart has, and a null for anything else is refused by its schema."""
    key, _, below = path.partition(".")
    if not below:
        return {
            **{name: value for name, value in values.items() if name != key},
            **({key: new[key]} if key in new else {}),
        }
    inner, fresh = values.get(key), new.get(key)
    return {**values, key: _with(inner if isinstance(inner, Mapping) else {}, below, fresh if fresh else {})}


def _leaves(old: Values, new: Values, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    found: dict[str, tuple[Any, Any]] = {}
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping) and "." not in "".join([*before, *after]):
            found |= _leaves(before, after, f"{prefix}{key}.")
        elif before != after:
            found[f"{prefix}{key}"] = (before, after)
    return found


def _tops(leaves: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(leaf.partition(".")[0] for leaf in leaves))

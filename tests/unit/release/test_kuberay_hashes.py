"""What is the same cluster to the plan and what is not, against KubeRay's own hash and its controller's functions."""

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from momalisa.release.go_structs import TABLE, quantity
from tests.support import kuberay
from tests.support.kuberay import assert_agrees
from tests.unit.release.examples import cluster_spec

GOLDEN = Path(__file__).parents[1] / "helm" / "golden"
CHARTS = sorted(path.stem for path in GOLDEN.glob("*.yaml"))
DROP = "DROP"
EXAMPLES: dict[str, list[Any]] = {
    "string": ["", "a", "b"],
    "bool": [False, True],
    "int32": [0, 1, 2],
    "int64": [0, 1, 2],
    "IntOrString": [0, 80, "80", "http"],
    "Quantity": ["0", 1, "1000m", "1k", "1Ki", "1024"],
    "Time": ["2026-11-22T10:00:00Z"],
}
NO_TOLERATIONS: tuple[list[Any], ...] = ([], [{"operator": "Exists"}], [{"key": "a"}, {"key": "b"}])

pytestmark = pytest.mark.skipif(not kuberay.is_built(), reason=kuberay.TO_BUILD)


def test_the_table_is_kuberay_s_own() -> None:
    assert json.loads(TABLE.read_text()) == kuberay.structs(), "python -m tests.support.kuberay --write"


def test_every_field_of_every_struct() -> None:
    structs = kuberay.structs()
    goals = {}
    for struct, put in places(structs, "RayClusterSpec"):
        for field, told in structs[struct].items():
            values = [None, *examples(told.partition(" = ")[0].split()[-1])]
            goals |= {f"{struct}.{field}: {value}": with_names(put({field: value})) for value in values}
    assert len(goals) > 2000
    assert_agrees({}, goals)


@pytest.mark.parametrize("one", CHARTS)
def test_the_chart_s_value_sets(one: str) -> None:
    assert set(assert_agrees(rendered(one), {other: rendered(other) for other in CHARTS}).values()) == {
        "nothing",
        "another",
    }


@pytest.mark.parametrize("value_set", ["gke-spot", "kiosk"])
def test_anything_less_or_other_in_the_charts(value_set: str) -> None:
    spec = rendered(value_set)
    goals = {}
    for path, value in paths(spec):
        others = [None, DROP, *([value[::-1], value * 2] if isinstance(value, list) else [])]
        others += [not value] if isinstance(value, bool) else [value + 1, 0] if isinstance(value, int) else []
        others += [f"{value}0", ""] if isinstance(value, str) else []
        goals |= {f"{path}: {other}": at(spec, path, other) for other in others if is_legal(path, value, other)}
    assert_agrees(spec, goals)


def test_amounts_of_all_forms() -> None:
    choose = random.Random(7)
    texts = set(EXAMPLES["Quantity"])
    for _ in range(3000):
        digits = "".join(choose.choices("0012458", k=choose.choice([1, 1, 2, 3, 4, 19])))
        fraction = choose.choice(["", "", "", ".", ".0", ".5", ".50", ".500", ".25", ".0009765625", ".0000000001"])
        suffix = choose.choice(
            ["", "", *"numkMGTPE", *(f"{each}i" for each in "KMGTPE"), "e3", "E3", "e-3", "e0", "e4"]
        )
        texts.add(choose.choice(["", "", "", "+", "-"]) + digits + fraction + suffix)
    forms = {str(text): text for text in texts} | {f"{text}, by Go": quantity(str(text)) for text in texts}
    assert_agrees(
        {},
        {name: {"headGroupSpec": {"template": {"spec": {"overhead": {"cpu": form}}}}} for name, form in forms.items()},
    )


LIMIT = ("headGroupSpec", "template", "spec", "containers", 0, "resources", "limits", "cpu")
HEAD, WORKER = ("headGroupSpec", "template", "spec"), ("workerGroupSpecs", 0, "template", "spec")
NOTHING: list[tuple[tuple[Any, ...], Any]] = [
    *(
        (("workerGroupSpecs", 0, name), value)
        for name in ("replicas", "minReplicas", "maxReplicas")
        for value in (0, 3)
    ),
    *(((*pod, "tolerations"), value) for pod in (HEAD, WORKER) for value in NO_TOLERATIONS),
    *(((*pod, "schedulingGates"), [{"name": "queue"}]) for pod in (HEAD, WORKER)),
    (("workerGroupSpecs", 0, "scaleStrategy"), {"workersToDelete": ["a"]}),
    (("workerGroupSpecs", 0, "numOfHosts"), 1),
    (("upgradeStrategy",), {"type": "Recreate"}),
    (("headGroupSpec", "template", "metadata"), {"creationTimestamp": None, "labels": {}}),
    ((*HEAD, "containers", 0, "ports", 0, "protocol"), "TCP"),
    ((*HEAD, "hostNetwork"), False),
    ((*HEAD, "nodeSelector"), {}),
    ((*HEAD, "volumes", 0, "emptyDir", "medium"), ""),
    (LIMIT, "1000m"),
    (("unknown",), 1),
]
ANOTHER: list[tuple[tuple[Any, ...], Any]] = [
    (("autoscalerOptions", "idleTimeoutSeconds"), 60),
    (("workerGroupSpecs", 0, "idleTimeoutSeconds"), 60),
    (("workerGroupSpecs", 0, "numOfHosts"), 2),
    (("workerGroupSpecs", 0, "groupName"), "others"),
    (("workerGroupSpecs", 0, "rayStartParams"), DROP),
    (("workerGroupSpecs",), []),
    (("enableInTreeAutoscaling",), False),
    (("headGroupSpec", "template", "metadata"), {"labels": {"a": ""}}),
    ((*HEAD, "affinity"), {}),
    ((*HEAD, "nodeSelector"), {"a": ""}),
    ((*HEAD, "terminationGracePeriodSeconds"), 0),
    ((*HEAD, "automountServiceAccountToken"), DROP),
    ((*HEAD, "volumes", 0), {"name": "tmp"}),
    ((*HEAD, "volumes", 0), {"name": "tmp", "secret": {"secretName": "a", "optional": False}}),
    ((*HEAD, "volumes", 0), {"name": "tmp", "hostPath": {"path": "/a", "type": ""}}),
    ((*HEAD, "containers", 0, "livenessProbe"), {}),
]


@pytest.mark.parametrize(("path", "value"), NOTHING)
def test_what_makes_no_other_cluster(path: tuple[Any, ...], value: Any) -> None:
    assert assert_agrees(cluster_spec(), {"goal": at(cluster_spec(), path, value)}) == {"goal": "nothing"}


@pytest.mark.parametrize(("path", "value"), ANOTHER)
def test_what_makes_another_cluster(path: tuple[Any, ...], value: Any) -> None:
    assert assert_agrees(cluster_spec(), {"goal": at(cluster_spec(), path, value)}) == {"goal": "another"}


def test_groups_at_the_end_and_elsewhere() -> None:
    small, large, spot = ({**cluster_spec()["workerGroupSpecs"][0], "groupName": name} for name in "abc")
    base = {**cluster_spec(), "workerGroupSpecs": [small, large]}
    scaled, larger = {**small, "replicas": 7}, at(small, ("template", "spec", "priorityClassName"), "a")
    groups = {
        "as it is": [small, large],
        "scaled": [scaled, large],
        "appended": [small, large, spot],
        "two appended": [small, large, spot, {**spot, "groupName": "d"}],
        "appended, and scaled": [scaled, large, spot],
        "appended, and another": [larger, large, spot],
        "inserted": [small, spot, large],
        "put first": [spot, small, large],
        "removed": [small],
        "all removed": [],
        "in another order": [large, small],
        "replaced": [small, spot],
    }
    goals = {name: {**base, "workerGroupSpecs": each} for name, each in groups.items()}
    goals["appended, and another head"] = {
        **at(base, (*HEAD, "hostNetwork"), True),
        "workerGroupSpecs": groups["appended"],
    }
    verdicts = assert_agrees(base, goals)
    assert {name for name, verdict in verdicts.items() if verdict == "nothing"} == {"as it is", "scaled"}
    updated = {name for name, verdict in verdicts.items() if verdict == "updated"}
    assert updated == {"appended", "two appended", "appended, and scaled"}
    assert assert_agrees({**base, "workerGroupSpecs": []}, goals)["as it is"] == "updated"


def rendered(value_set: str) -> dict[str, Any]:
    """The chart's, as the golden file has it."""
    objects = yaml.load_all((GOLDEN / f"{value_set}.yaml").read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    (service,) = (each for each in objects if each["kind"] == "RayService")
    spec: dict[str, Any] = service["spec"]["rayClusterConfig"]
    return spec


def places(structs: kuberay.Structs, root: str) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """Each struct below, and what puts a value of it into a spec, at the first place that there is for it."""
    found: dict[str, Callable[[Any], Any]] = {root: lambda value: value}
    waiting = [root]
    while waiting:
        struct = waiting.pop(0)
        yield struct, found[struct]
        for field, told in structs[struct].items():
            type_ = told.partition(" = ")[0].split()[-1]
            inner = type_.replace("map[]", "").replace("[]", "").lstrip("*")
            if inner in structs and inner not in found:
                found[inner] = _putting(found[struct], field, type_)
                waiting.append(inner)


def _putting(put: Callable[[Any], Any], field: str, type_: str) -> Callable[[Any], Any]:
    def putting(value: Any) -> Any:
        return put({field: [value] if type_.startswith("[]") else {"a": value} if type_.startswith("map[]") else value})

    return putting


def with_names(spec: dict[str, Any]) -> dict[str, Any]:
    """No group is without one."""
    groups = [{"groupName": "a", **group} for group in spec.get("workerGroupSpecs") or []]
    return {**spec, "workerGroupSpecs": groups} if groups else spec


def examples(type_: str) -> list[Any]:
    """Values of a type, empty ones too."""
    if type_.startswith("*"):
        return examples(type_[1:])
    if type_.startswith("[]"):
        inner = examples(type_[2:])
        return [[], *([each] for each in inner), inner, inner[::-1]]
    if type_.startswith("map[]"):
        inner = examples(type_[5:])
        return [{}, *({"a": each} for each in inner), {"b": inner[-1]}]
    return EXAMPLES.get(type_, [{}])


def at(spec: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The spec with another value there, or without one."""
    changed = copy.copy(spec)
    if len(path) > 1:
        changed[path[0]] = at(spec[path[0]], path[1:], value)
    elif value == DROP:
        del changed[path[0]]
    else:
        changed[path[0]] = value
    return changed


def paths(spec: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Of all values in it, maps and lists too."""
    members = spec.items() if isinstance(spec, dict) else enumerate(spec) if isinstance(spec, list) else ()
    for key, value in members:
        yield (*above, key), value
        yield from paths(value, (*above, key))


def is_legal(path: tuple[Any, ...], value: Any, other: Any) -> bool:
    """Whether the API server would let it in: no null in lists and maps of texts, no text that is no amount."""
    amounts = {"limits", "requests", "sizeLimit", "storage"} & set(path)
    in_texts = {"labels", "annotations", "nodeSelector", "matchLabels", "rayStartParams"} & set(path[:-1])
    if other is None:
        return not (amounts or in_texts or isinstance(path[-1], int))
    return not amounts or other in (DROP, 0) or (other != "" and str(value)[-1:].isdigit())

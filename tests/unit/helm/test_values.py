"""The chart's files agree with each other and with momalisa; no helm is needed for it."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml

import momalisa
from momalisa.config import from_dict, to_dict
from momalisa.errors import ConfigError
from momalisa.service.models import TINY
from momalisa.service.structure import ConductorLife, GatewayLife, Life, Structure
from tests.support.chart import (
    CHART,
    MAY_BE_NULL,
    README,
    SCHEMA,
    VALUE_SETS,
    defaults,
    documentation,
    leaves,
    readme,
    schema,
    values_file,
)

ROOT = CHART.parents[1]
METRICS = ROOT / "src" / "momalisa" / "service" / "metrics.py"
LIFE = to_dict(Life())


def test_the_schema_knows_what_momalisa_knows() -> None:
    assert json.loads(SCHEMA.read_text()) == schema(), "python -m tests.support.chart --write"
    jsonschema.Draft7Validator.check_schema(schema())


def test_the_readme_lists_every_value() -> None:
    assert README.read_text() == readme(), "python -m tests.support.chart --write"


def test_every_value_is_documented_and_nothing_else() -> None:
    says = documentation()
    assert {name for name, _ in leaves(defaults(), says)} == set(says)


def test_every_value_is_in_the_schema_and_nothing_else() -> None:
    def compared(values: dict[str, Any], part: dict[str, Any], where: str) -> None:
        if part.get("additionalProperties") is not False or "$ref" in part:
            return
        allowed, given = set(part["properties"]), set(values)
        assert allowed >= given, where
        # What may be left out altogether: of parts that are empty by default.
        assert not given or allowed == given, where
        for name, value in values.items():
            if isinstance(value, dict):
                compared(value, part["properties"][name], f"{where}.{name}")

    compared(defaults(), schema(), "values")


def test_the_defaults_are_what_the_schema_takes() -> None:
    jsonschema.Draft7Validator(schema()).validate(json.loads(json.dumps(_without_nulls(defaults()))))


def _without_nulls(values: dict[str, Any]) -> dict[str, Any]:
    """As Helm hands values to the schema."""
    return {
        name: _without_nulls(value) if isinstance(value, dict) else value
        for name, value in values.items()
        if value is not None
    }


def _names(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Of all values, and of the sections that they are in."""
    for name, value in values.items():
        yield prefix + name
        if isinstance(value, dict):
            yield from _names(value, f"{prefix}{name}.")


# What is free of form: there null takes a default away, and nothing else is meant.
FREE = re.compile(r"(^|\.)resources\.|^dashboard\.labels\.")


@pytest.mark.parametrize("name", [each for each in _names(defaults()) if not FREE.search(each)])
def test_null_is_no_way_to_switch_something_off(name: str) -> None:
    values = _without_nulls(defaults())
    *sections, last = name.split(".")
    section = values
    for each in sections:
        section = section[each]
    section.pop(last, None)
    problems = [problem.message for problem in jsonschema.Draft7Validator(schema()).iter_errors(values)]
    assert problems == ([] if name in MAY_BE_NULL else [f"'{last}' is a required property"])


def _numbers(part: dict[str, Any], name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Dotted names of a schema's numbers, and what it says of each."""
    for each in [part, *part.get("anyOf", ())]:
        if each.get("type") in ("number", "integer"):
            yield name, each
        for inner, told in each.get("properties", {}).items():
            yield from _numbers(told, f"{name}.{inner}".lstrip("."))


def _with(name: str, value: float) -> dict[str, Any]:
    for each in reversed(name.split(".")):
        value = {each: value}  # type: ignore[assignment]
    return value  # type: ignore[return-value]


MOMALISAS = {
    **dict.fromkeys(("admission", "retention", "moderation"), ConductorLife),
    **dict.fromkeys(("limits", "streams"), GatewayLife),
    "application": Structure,
}
NUMBERS = [
    (f"{section}.{name}", told) for section in MOMALISAS for name, told in _numbers(schema()["properties"][section])
]
# Of two numbers together; the chart checks it (test_refusals.py).
TOGETHER = {"application.leading.patience_s": {"renew_s": 1e-6}}


@pytest.mark.parametrize(("name", "told"), NUMBERS, ids=[name for name, _ in NUMBERS])
def test_what_the_schema_takes_momalisa_takes_and_nothing_beyond(name: str, told: dict[str, Any]) -> None:
    section, _, rest = name.partition(".")
    step = 1 if told["type"] == "integer" else 1e-3

    def is_taken(value: float) -> bool:
        given = _with(rest if section == "application" else name, value)
        if name in TOGETHER:
            given["leading"] |= TOGETHER[name]
        if section == "application":
            given["bucket"] = "gs://b"
        try:
            from_dict(MOMALISAS[section], given)
        except ConfigError:
            return False
        return True

    assert {"minimum", "exclusiveMinimum"} & set(told), "each number has a least"
    if "minimum" in told:
        assert is_taken(told["minimum"])
        assert not is_taken(told["minimum"] - step)
    else:
        assert is_taken(told["exclusiveMinimum"] + step)
        assert not is_taken(told["exclusiveMinimum"])
    if "maximum" in told:
        assert is_taken(told["maximum"])
        assert not is_taken(told["maximum"] + step)


def test_the_defaults_are_momalisas_own() -> None:
    values = defaults()
    for name in ("admission", "retention", "moderation"):
        assert values[name] == LIFE["conductor"][name], name
    for name in ("limits", "streams", "moderation"):
        assert values[name] == LIFE["gateway"][name], name
    assert from_dict(Life, {"conductor": {"models": values["models"]}}).conductor.models == (TINY,)
    structure = to_dict(Structure(bucket="gs://b"))
    given = {name: value for name, value in values["application"].items() if value != {}}
    assert given == {name: structure[name] for name in given}


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == momalisa.__version__
    locked = re.search(r"^ray==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert locked is not None
    assert defaults()["image"]["rayVersion"] == locked.group(1)


def test_every_value_set_says_what_it_is_and_changes_something() -> None:
    assert set(VALUE_SETS) == {"gke-spot", "kiosk", "many-models", "one-machine"}
    for name in VALUE_SETS:
        text = values_file(name).read_text()
        assert text.startswith("# ")
        own = yaml.safe_load(text)
        same = [key for key, value in leaves(own, ()) if dict(leaves(defaults(), ())).get(key, object()) == value]
        assert same == [], f"{name} repeats defaults"


def test_nothing_in_the_chart_is_of_one_machine() -> None:
    for path in CHART.parent.rglob("*"):
        if path.is_file():
            assert not re.search(r"/(work|root|home/(?!momalisa))", path.read_text()), path


def _momalisas_metrics() -> set[str]:
    """The names in metrics.py; of counters and histograms those that Prometheus sees."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(METRICS.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and str(first.value).startswith("momalisa_"):
                kinds = {"Counter": ["_total"], "CounterMetricFamily": ["_total"], "Gauge": [""]}
                suffixes = kinds.get(node.func.id, ["_bucket", "_count", "_sum"])
                names |= {f"{first.value}{suffix}" for suffix in suffixes}
    return names


def test_alerts_and_dashboard_ask_for_figures_that_there_are() -> None:
    rays = "".join(path.read_text() for path in (Path(ray.__file__).parent / "dashboard/modules/metrics").rglob("*.py"))
    known = _momalisas_metrics()
    assert "momalisa_works_total" in known
    for path in (CHART / "templates" / "alerts.yaml", CHART / "dashboards" / "momalisa.json"):
        asked = set(re.findall(r"\b(momalisa_[a-z_]+|ray_[a-z]+_[a-z_]+)(?=[\{\\])", path.read_text()))
        assert asked, path
        for name in asked:
            assert name in known or (name.startswith("ray_") and name in rays), f"{path.name}: {name}"


def test_the_dashboard_shows_every_figure_of_momalisa() -> None:
    text = (CHART / "dashboards" / "momalisa.json").read_text()
    for name in _momalisas_metrics():
        assert name in text or name.endswith(("_sum", "_count")), name


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    panels = json.loads((CHART / "dashboards" / "momalisa.json").read_text())["panels"]
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        own = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert max(x for x, _ in own) < 24
        assert not own & cells, panel["title"]
        cells |= own


def test_every_alert_is_in_the_runbook() -> None:
    alerts = re.findall(r'"name" "(Momalisa\w+)"', (CHART / "templates" / "alerts.yaml").read_text())
    headings = re.findall(r"^#+ (Momalisa\w+)$", README.read_text(), re.MULTILINE)
    assert alerts == headings

"""The Helm chart: rendered by `helm`, and what of its files follows from others.

python -m tests.support.chart --write     # the schema's part that is momalisa's, README's values, golden files
"""

import argparse
import copy
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pydantic
import yaml

from momalisa.caches import cache_folder
from momalisa.service.structure import ConductorLife, GatewayLife, Structure
from tests.cluster.binaries import chart_folder

CHART = Path(__file__).parents[2] / "helm" / "momalisa"
README = CHART.parent / "README.md"
SCHEMA = CHART / "values.schema.json"
GOLDEN = Path(__file__).parents[1] / "unit" / "helm" / "golden"
VALUE_SETS = tuple(sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml")))
RELEASE, NAMESPACE = "walks", "museum"

# Looked for when this is imported: tests move the cache folder.
_BUILT = f"{cache_folder('cluster') / 'programs'}:{chart_folder()}"
_HELM = shutil.which("helm") or shutil.which("helm", path=_BUILT)
_DOCS = re.compile(r"^( *)# -- (.*)")
_KEY = re.compile(r"^( *)([A-Za-z_]+):")
_PART = re.compile(r"^# --- (.*) ---$")
_DASHBOARD = "momalisa.json"
_SIZES = {"gateway", "text_encoder", "renderer", "assembler"}
_THE_CHARTS = {"bucket", "release", "is_open", "has_visitors", "session_secrets_file", "keys_file", "web_folder"}
"""Of `Structure`, what the chart fills in from other values."""
_NO_PLACE = {"log_folder", "vertex"}
"""Of `Structure`, what makes no sense in a pod behind this chart's Service."""

MAY_BE_NULL = {"retention.keep_days", "moderation.endpoint"}
"""Values for which null says something."""

Manifest = dict[str, Any]


class RefusedError(Exception):
    """Helm did not take these values."""


def helm() -> str | None:
    """This machine's own, or one that was built for tests."""
    return _HELM


def rendered(value_set: str = "", *values: str, api_versions: Iterable[str] = ()) -> str:
    """What `helm template` makes of a value set of ci/ and more values (`a.b=c`, as JSON). Raises RefusedError."""
    versions = [word for version in api_versions for word in ("--api-versions", version)]
    return _told_by_helm("template", value_set, values, *versions)


def notes(value_set: str = "", *values: str) -> str:
    """What `helm install` would say at its end."""
    return _told_by_helm("install", value_set, values, "--dry-run=client").partition("\nNOTES:\n")[2]


def _told_by_helm(verb: str, value_set: str, values: Iterable[str], *flags: str) -> str:
    assert _HELM is not None
    command = [_HELM, verb, RELEASE, str(CHART), "--namespace", NAMESPACE, *flags]
    command += ["--values", str(values_file(value_set))] if value_set else []
    for each in values:
        command += ["--set-json", each]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RefusedError(done.stderr)
    return done.stdout


@cache
def manifests(value_set: str = "", *values: str) -> tuple[Manifest, ...]:
    """The objects of it. Don't change what you get: it is rendered once."""
    return tuple(each for each in yaml.safe_load_all(rendered(value_set, *values)) if each)


def named(objects: Iterable[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The one of its kind, or of its kind and name."""
    found = [each for each in objects if each["kind"] == kind and name in (None, each["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} of kind {kind} named {name}"
    return found[0]


def values_file(value_set: str) -> Path:
    return CHART / "ci" / f"{value_set}-values.yaml"


def defaults() -> Manifest:
    values: Manifest = yaml.safe_load((CHART / "values.yaml").read_text())
    return values


def documentation() -> dict[str, str]:
    """What values.yaml says of each value (`# -- …` above it), by dotted name."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    words: list[str] = []
    for line in (CHART / "values.yaml").read_text().splitlines():
        if match := _DOCS.match(line):
            words = [match.group(2)]
        elif words and line.strip().startswith("# "):
            words.append(line.strip().removeprefix("# "))
        elif match := _KEY.match(line):
            depth = len(match.group(1))
            path = [*(each for each in path if each[0] < depth), (depth, match.group(2))]
            if words:
                found[".".join(name for _, name in path)] = " ".join(words)
            words = []
    return found


def leaves(values: Mapping[str, Any], known: Iterable[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values; what is known by its name is not looked into."""
    for name, value in values.items():
        here = prefix + name
        if isinstance(value, Mapping) and value and here not in known:
            yield from leaves(value, known, f"{here}.")
        else:
            yield here, value


def tables() -> str:
    """README's values, in Markdown: a table for each part of values.yaml."""
    says = documentation()
    parts: list[tuple[str, list[str]]] = [("Names.", [])]
    by_name = dict(leaves(defaults(), says))
    for line in (CHART / "values.yaml").read_text().splitlines():
        if match := _PART.match(line):
            parts.append((match.group(1), []))
        elif (match := _KEY.match(line)) and not match.group(1):
            parts[-1][1].append(match.group(2))
    blocks = []
    for title, sections in parts:
        rows = [name for name in by_name if name.split(".")[0] in sections]
        lines = [f"| `{name}` | {_shown(by_name[name])} | {says.get(name, '').replace('|', '/')} |" for name in rows]
        blocks.append("\n".join([f"**{title}**", "", "| value | by default | what it is |", "|---|---|---|", *lines]))
    return "\n\n".join(blocks)


def schema() -> Manifest:
    """The schema as it must be: the parts that are momalisa's own are made from its dataclasses, and what has a value
    in values.yaml must have one."""
    told: Manifest = json.loads(SCHEMA.read_text())
    for name, part in _momalisas().items():
        told["properties"][name] = part
    _require(told, defaults())
    return told


def _require(part: Manifest, values: Mapping[str, Any], prefix: str = "") -> None:
    """Helm drops what is set to null, and its default with it, before it looks at the schema: what is missing was null,
    and no template may take that for "off". What is free of form stays so."""
    part["required"] = [name for name in values if prefix + name not in MAY_BE_NULL]
    for name, value in values.items():
        if isinstance(value, Mapping) and "properties" in part["properties"][name]:
            _require(part["properties"][name], value, f"{prefix}{name}.")


def _momalisas() -> dict[str, Manifest]:
    conductor, gateway = _json_schema(ConductorLife), _json_schema(GatewayLife)
    structure = _json_schema(Structure)["properties"]
    parts = {name: conductor["properties"][name] for name in ("models", "admission", "retention", "moderation")}
    parts |= {name: gateway["properties"][name] for name in ("limits", "streams")}
    parts["models"]["minItems"] = 1
    kept = {name: part for name, part in structure.items() if name not in _SIZES | _THE_CHARTS | _NO_PLACE}
    return {**parts, "application": {"type": "object", "additionalProperties": False, "properties": kept}}


def _json_schema(config_type: type) -> Manifest:
    told = pydantic.TypeAdapter(config_type).json_schema()
    inlined: Manifest = _strict(told, told.get("$defs", {}))
    return inlined


def _strict(part: Any, definitions: Mapping[str, Any]) -> Any:
    """Without references and words; unknown keys are refused."""
    if isinstance(part, list):
        return [_strict(each, definitions) for each in part]
    if not isinstance(part, Mapping):
        return part
    if "$ref" in part:
        return _strict(definitions[part["$ref"].rpartition("/")[2]], definitions)
    kept = {key: value for key, value in part.items() if key not in {"title", "description", "default", "$defs"}}
    if "properties" in kept:
        fields = {name: _strict(field, definitions) for name, field in part["properties"].items()}
        return {**kept, "properties": fields, "additionalProperties": False}
    if kept.get("type") == "array":
        kept.setdefault("items", {})
    return {key: _strict(value, definitions) for key, value in kept.items()}


def golden(value_set: str) -> str:
    """What is kept of a rendering: the objects in one order, for Helm's is not promised; without what is random, and
    without the chart's version, which alone is no change."""
    ordered = sorted(copy.deepcopy(manifests(value_set)), key=lambda each: (each["kind"], each["metadata"]["name"]))
    for each in ordered:
        if each["kind"] == "Secret":
            each["data"] = dict.fromkeys(each["data"], "(random)")
        if _DASHBOARD in each.get("data", {}):
            assert json.loads(each["data"][_DASHBOARD]) == json.loads((CHART / "dashboards" / _DASHBOARD).read_text())
            each["data"][_DASHBOARD] = f"(dashboards/{_DASHBOARD})"
    text = yaml.dump_all(ordered, Dumper=_Readable, sort_keys=False, width=120, allow_unicode=True)
    return re.sub(r"helm\.sh/chart: momalisa-.*", "helm.sh/chart: momalisa", text)


class _Readable(yaml.SafeDumper):
    """Texts of many lines as they are, and no references."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _as_it_is(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _as_it_is)


def readme() -> str:
    """README.md with the tables as they must be."""
    text = README.read_text()
    before, begin, rest = text.partition("<!-- values -->\n")
    _, end, after = rest.partition("<!-- end of values -->")
    assert begin, "README.md has no place for the values"
    assert end, "README.md has no end of the values"
    return f"{before}{begin}\n{tables()}\n\n{end}{after}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if len(text) <= 60 else "see `values.yaml`"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", required=True)
    parser.parse_args()
    SCHEMA.write_text(json.dumps(schema(), indent=2) + "\n")
    README.write_text(readme())
    if helm() is None:
        print("there is no helm: the golden files stay as they are", file=sys.stderr)
        return 1
    GOLDEN.mkdir(exist_ok=True)
    for value_set in VALUE_SETS:
        (GOLDEN / f"{value_set}.yaml").write_text(golden(value_set))
    return 0


if __name__ == "__main__":
    sys.exit(main())

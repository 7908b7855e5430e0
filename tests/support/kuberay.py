"""What KubeRay itself makes of a RayCluster's spec: its own functions, in a program that Go builds of its module.

python -m tests.support.kuberay --write     # src/momalisa/release/go_structs.json
"""

import argparse
import copy
import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import yaml

from momalisa.release import go_structs
from momalisa.release.cluster_specs import added_groups, hashed
from tests.cluster.binaries import chart_folder

# Looked for when this is imported: tests move the cache folder.
_FOLDER = chart_folder()
_ROOT = "RayServiceSpec"
TO_BUILD = "there is no KubeRay to ask: build it by `python -m tests.cluster.binaries`, with Go"
Structs = dict[str, dict[str, str]]


class Answer(NamedTuple):
    hash: str
    verdict: str
    """`nothing`, `updated` or `another`: what becomes of a running cluster once its RayService has this spec."""


def is_built() -> bool:
    """Whether there is the program. `make test` builds it."""
    return (_FOLDER / "hashing").exists()


def answers(cluster: Any, *goals: Any) -> list[Answer]:
    """Of the goals, by a cluster that was made of the first spec; all as `rayClusterConfig` in a manifest."""
    lines = "".join(f"{json.dumps(stored(spec))}\n" for spec in (cluster, *goals))
    return [Answer(**json.loads(line)) for line in _said(lines).splitlines()[1:]]


def assert_agrees(spec: Any, goals: Mapping[str, Any]) -> dict[str, str]:
    """Of all these specs any two have one hash where they are the same to the plan, and only there.

    Returns KubeRay's verdicts, which are the plan's too.
    """
    found = answers(spec, spec, *goals.values())
    form_of: dict[str, tuple[str, str]] = {}
    hash_of: dict[str, tuple[str, str]] = {}
    for (name, goal), answer in zip([("as it is", spec), *goals.items()], found, strict=True):
        form = json.dumps(hashed(goal), sort_keys=True)
        same, other = form_of.setdefault(answer.hash, (name, form))
        assert form == other, f"to KubeRay, `{same}` and `{name}` are the same"
        equal, hash_ = hash_of.setdefault(form, (name, answer.hash))
        assert hash_ == answer.hash, f"to KubeRay, `{equal}` and `{name}` differ"
        if goal.get("suspend") == spec.get("suspend"):  # which the chart never says, and KubeRay changes in place
            added = added_groups(spec, goal)
            assert answer.verdict == ("another" if added is None else "updated" if added else "nothing"), name
    return {name: answer.verdict for name, answer in zip(goals, found[1:], strict=True)}


def stored(spec: Any) -> Any:
    """A `rayClusterConfig` as the API server keeps it: with the CRD's defaults, without what the CRD does not know."""
    return _stored(spec, _schema()["properties"]["rayClusterConfig"])


def structs() -> Structs:
    """KubeRay's structs, as Go writes them, with the CRD's defaults and without what the CRD does not know."""
    of_go: Structs = json.loads(_said("", "structs"))
    found: Structs = {}
    _merge(_ROOT, _schema(), of_go, found)
    return {struct: dict(sorted(found[struct].items())) for struct in sorted(found)}


def _said(text: str, *arguments: str) -> str:
    command = [str(_FOLDER / "hashing"), *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=60).stdout


@cache
def _schema() -> Any:
    """Of a RayService's spec."""
    crd = yaml.load((_FOLDER / "ray.io_rayservices.yaml").read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    (version,) = (each for each in crd["spec"]["versions"] if each["name"] == "v1")
    return version["schema"]["openAPIV3Schema"]["properties"]["spec"]


def _stored(value: Any, schema: Mapping[str, Any]) -> Any:
    """As of a structural schema: null is what is not there, unknown fields go, defaults come."""
    if isinstance(value, list):
        return [_stored(member, schema["items"]) for member in value]
    if not isinstance(value, dict):
        return value
    known = schema.get("properties")
    if known is None:
        return {name: _stored(member, schema["additionalProperties"]) for name, member in value.items()}
    kept = {name: value[name] for name in value if name in known and value[name] is not None}
    for name, member in known.items():
        if "default" in member:
            kept.setdefault(name, copy.deepcopy(member["default"]))
    return {name: _stored(member, known[name]) for name, member in kept.items()}


def _merge(struct: str, schema: Mapping[str, Any], of_go: Structs, found: Structs) -> None:
    own = found.setdefault(struct, {})
    for name, member in schema["properties"].items():
        told = of_go[struct][name]
        if member.get("default") or ("default" in member and "*" in told):
            told += f" = {json.dumps(member['default'])}"
        assert own.setdefault(name, told) == told, f"{struct}.{name} is not the same everywhere"
        type_ = of_go[struct][name].split()[-1].replace("map[]", "").replace("[]", "").lstrip("*")
        if type_ in of_go:
            _merge(type_, member.get("items") or member, of_go, found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", required=True)
    parser.parse_args()
    lines = (f"{json.dumps(struct)}: {json.dumps(fields)}" for struct, fields in structs().items())
    go_structs.TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

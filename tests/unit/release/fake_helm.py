"""A stand-in for the helm command, as a script: it merges values as helm does, and renders one chart that it knows.

The chart is a folder with values.yaml and Chart.yaml; it renders to a RayService with the image and the limits of the
values, a Secret that is another each time, and a hook.
"""

import json
import random
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from tests.unit.release.examples import SERVE, cluster_spec, ray_service

SCRIPT = f"""#!{sys.executable} -S
import sys
sys.path[:0] = {sys.path!r}
from {__name__} import main
sys.exit(main(sys.argv[1:]))
"""
VALUES = """\
image: {tag: "1"}
limits: {max_frames: 120}
retention: {keep_days: 90}
workers: {maxReplicas: 8}
"""


def install(folder: Path, version: str = "0.1.0") -> tuple[str, str]:
    """The command and the chart."""
    command, chart = folder / "helm", folder / "chart"
    command.write_text(SCRIPT)
    command.chmod(0o755)
    chart.mkdir(exist_ok=True)
    (chart / "values.yaml").write_text(VALUES)
    (chart / "Chart.yaml").write_text(f"{{name: momalisa, version: {version}}}\n")
    return str(command), str(chart)


def main(arguments: list[str]) -> int:
    """One command."""
    with (Path(sys.argv[0]).parent / "calls").open("a") as log:
        log.write(" ".join(arguments) + "\n")
    verb, *rest = arguments
    if verb == "show":
        print(Path(rest[1], "values.yaml" if rest[0] == "values" else "Chart.yaml").read_text())
    elif verb == "template":
        _template(rest)
    elif verb == "rollback" and rest[0] == "absent":
        print("Error: release: not found", file=sys.stderr)
        return 1
    return 0


def _template(arguments: list[str]) -> None:
    chart = Path(arguments[1])
    values = yaml.safe_load((chart / "values.yaml").read_text())
    flags = arguments[2:]
    for flag, word in pairwise(flags):
        if flag == "--values":
            values = _merged(values, yaml.safe_load(Path(word).read_text()) or {})
        if flag == "--set":
            key, _, text = word.partition("=")
            for part in reversed(key.split(".")):
                text = {part: text}  # type: ignore[assignment]
            values = _merged(values, text)  # type: ignore[arg-type]
    if (chart / "templates").is_dir():
        print(json.dumps({"kind": "Values", "metadata": {}, "values": values}))
        return
    if "max_frames" not in values["limits"]:
        sys.exit("Error: values don't meet the specifications of the schema")
    print("\n---\n".join(json.dumps(each) for each in _rendered(values)))


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    found = dict(old)
    for key, value in new.items():
        if value is None:
            found.pop(key, None)
        elif isinstance(value, dict) and isinstance(found.get(key), dict):
            found[key] = _merged(found[key], value)
        else:
            found[key] = value
    return found


def _rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    spec = cluster_spec()
    spec["workerGroupSpecs"][0]["maxReplicas"] = values["workers"]["maxReplicas"]
    spec["headGroupSpec"]["template"]["spec"]["containers"][0]["image"] = f"momalisa:{values['image']['tag']}"
    config = json.loads(json.dumps(SERVE))
    config["applications"][0]["deployments"][1]["user_config"] = {"limits": values["limits"]}
    service = ray_service(cluster=spec, serve=config)
    keep = {"kind": "ConfigMap", "metadata": {"name": "keep"}, "data": {"days": values["retention"].get("keep_days")}}
    secret = {"kind": "Secret", "metadata": {"name": "sessions"}, "data": {"secrets": random.random()}}
    hook = {"kind": "Pod", "metadata": {"name": "test", "annotations": {"helm.sh/hook": "test"}}}
    return [service, *({"apiVersion": "v1", **each} for each in (keep, secret, hook))]

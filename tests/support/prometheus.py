"""A Prometheus that scrapes a service as the chart's monitors say, and fires the chart's alerts, in a time of its own.

Its hours are shorter by `FACTOR`, all of them: windows and `for` of the rules, intervals of the monitors, its own
defaults. What else rules and monitors say is the chart's.
"""

import functools
import json
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from momalisa.caches import cache_folder
from tests.support.chart import NAMESPACE, Manifest, named
from tests.support.debian import CannotUnpackError, can_unpack, unpack

FACTOR = 20
"""A minute of the chart is three seconds."""
_PROGRAMS = ("prometheus", "promtool")
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\d+)(ms|s|m|h|d)")
_RANGE = re.compile(r"\[(\d+(?:ms|s|m|h|d))\]")
_OWN_INTERVAL, _OWN_LOOKBACK = "30s", "5m"
"""Of a Prometheus of the operator, where nobody says otherwise: between two looks at the rules, and how long a figure
counts after its last scrape."""
_LOOK_S = 0.3
_START_S = 60.0


@functools.cache
def program(name: str) -> str | None:
    """Prometheus's `prometheus` or `promtool`: this machine's own, or Debian's, which is fetched where it can be."""
    assert name in _PROGRAMS
    folder = cache_folder("prometheus")
    if found := shutil.which(name) or shutil.which(name, path=folder):
        return found
    if not can_unpack():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=folder) as workshop:
            root = unpack(["prometheus"], Path(workshop))
            for each in _PROGRAMS:
                (root / "usr/bin" / each).replace(folder / each)
    except CannotUnpackError:
        return None
    return str(folder / name)


def program_or_skip(name: str) -> str:
    """The same; a test that asks is skipped where there is none."""
    found = program(name)
    if found is None:
        pytest.skip(f"there is no {name}: install Debian's package prometheus, or run as root where there is apt-get")
    return found


def shorter(duration: str) -> str:
    """A duration of the chart (`5m`), as it is here."""
    match = _DURATION.fullmatch(duration)
    assert match, duration
    return f"{int(match.group(1)) * _UNITS_MS[match.group(2)] // FACTOR}ms"


def shorter_rules(rule: Manifest) -> Manifest:
    """What a PrometheusRule says, with shorter windows and `for`."""
    spec: Manifest = json.loads(json.dumps(rule["spec"]))
    for group in spec["groups"]:
        for each in group["rules"]:
            each["for"] = shorter(each["for"])
            each["expr"] = _RANGE.sub(lambda found: f"[{shorter(found.group(1))}]", each["expr"])
    return spec


class Prometheus:
    """One that runs."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.fired: set[str] = set()
        """Alerts that have been seen to fire; a test may clear it."""

    def ask(self, path: str, **parameters: str) -> Any:
        """`data` of what an endpoint of its API answers."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30)
        assert answer.status_code == httpx.codes.OK, f"{answer.text}\n{parameters}"
        return answer.json()["data"]

    def values(self, query: str) -> list[float]:
        """What there is now."""
        return [float(sample["value"][1]) for sample in self.ask("query", query=query)["result"]]

    def firing(self) -> dict[str, dict[str, Any]]:
        """Alerts that fire now, by name."""
        found = {
            each["labels"]["alertname"]: each for each in self.ask("alerts")["alerts"] if each["state"] == "firing"
        }
        self.fired |= set(found)
        return found

    def until_fires(self, *alerts: str, within_s: float = 120.0) -> float:
        """Seconds until all of these fire."""
        return self._until(lambda firing: set(alerts) <= firing, f"{alerts} to fire", within_s)

    def until_clear(self, *alerts: str, within_s: float = 240.0) -> float:
        """Seconds until none of these fires; of none named, until none fires at all."""
        return self._until(lambda firing: not (firing & set(alerts) if alerts else firing), "no alert", within_s)

    def check(self) -> None:
        """Every target is up, and every rule could be looked at, as far as it has been."""
        targets = self.ask("targets")["activeTargets"]
        assert all(target["health"] == "up" for target in targets), [target["lastError"] for target in targets]
        for rule in self.rules():
            assert rule["health"] == "ok", f"{rule['name']}: {rule.get('lastError')}"

    def rules(self) -> list[dict[str, Any]]:
        """Those that it has loaded."""
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]

    def _until(self, is_so: Callable[[set[str]], object], what: str, within_s: float) -> float:
        began = time.monotonic()
        while not is_so(firing := set(self.firing())):
            assert time.monotonic() < began + within_s, f"waited {within_s:.0f} s for {what}: {sorted(firing)} fire"
            time.sleep(_LOOK_S)
        return time.monotonic() - began


@contextmanager
def prometheus(
    folder: Path, objects: Sequence[Manifest], targets: Mapping[str, Sequence[tuple[str, Mapping[str, str]]]]
) -> Iterator[Prometheus]:
    """Starts one by the PrometheusRule and the monitors among the chart's objects.

    `targets`: for each kind of monitor, addresses and what Kubernetes would tell of them (`pod_name`, …).
    """
    files = _files(objects, targets)
    for name, text in files.items():
        (folder / name).write_text(text)
    config = folder / "prometheus.yaml"
    told = subprocess.run([program_or_skip("promtool"), "check", "config", str(config)], capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr  # the rules too
    port = _free_port()
    command = [program_or_skip("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    command += [f"--query.lookback-delta={shorter(_OWN_LOOKBACK)}"]
    log = folder / "prometheus.log"
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        running = Prometheus(f"http://127.0.0.1:{port}")
        _wait_until_ready(running, process, log)
        yield running
    finally:
        process.terminate()
        process.wait(30)


def _files(
    objects: Sequence[Manifest], targets: Mapping[str, Sequence[tuple[str, Mapping[str, str]]]]
) -> dict[str, str]:
    told = {"rules.yaml": yaml.safe_dump(shorter_rules(named(objects, "PrometheusRule")), width=1000)}
    scrapes = []
    for kind, found in targets.items():
        scrapes.append(_scrape(named(objects, kind), f"{kind}.json"))
        told[f"{kind}.json"] = json.dumps([{"targets": [address], "labels": _meta(facts)} for address, facts in found])
    interval = shorter(_OWN_INTERVAL)
    whole = {
        "global": {"evaluation_interval": interval},
        "rule_files": ["rules.yaml"],
        "scrape_configs": scrapes,
    }
    return told | {"prometheus.yaml": yaml.safe_dump(whole, width=1000)}


def _meta(facts: Mapping[str, str]) -> dict[str, str]:
    return {f"__meta_kubernetes_{name}": value for name, value in {"namespace": NAMESPACE, **facts}.items()}


def _scrape(monitor: Manifest, file: str) -> Manifest:
    """A monitor as the Prometheus Operator writes it down, but for what finds the targets."""
    kind, spec, metadata = monitor["kind"], monitor["spec"], monitor["metadata"]
    (endpoint,) = spec["endpoints" if kind == "ServiceMonitor" else "podMetricsEndpoints"]
    relabelings = [
        {"source_labels": [f"__meta_kubernetes_{told}"], "target_label": label}
        for told, label in (
            ("namespace", "namespace"),
            ("pod_container_name", "container"),
            ("pod_name", "pod"),
            *([("service_name", "service"), ("service_name", "job")] if kind == "ServiceMonitor" else []),
        )
    ]
    if kind == "PodMonitor":
        job = f"{metadata['namespace']}/{metadata['name']}"
        relabelings.append({"target_label": "job", "replacement": job})
    relabelings.append({"target_label": "endpoint", "replacement": endpoint["port"]})
    own = [{_snake_case(key): value for key, value in each.items()} for each in endpoint.get("relabelings", [])]
    return {
        "job_name": f"{kind}/{metadata['namespace']}/{metadata['name']}/0",
        "metrics_path": endpoint.get("path", "/metrics"),
        "scrape_interval": shorter(endpoint["interval"]),
        "scrape_timeout": shorter(endpoint["interval"]),
        "file_sd_configs": [{"files": [file]}],
        "relabel_configs": [*relabelings, *own],
    }


def _snake_case(name: str) -> str:
    return re.sub("[A-Z]", lambda found: f"_{found.group().lower()}", name)


def _wait_until_ready(running: Prometheus, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _START_S
    while True:
        try:
            if httpx.get(f"{running.url}/-/ready", timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None or time.monotonic() > until:
            raise AssertionError(f"it does not start:\n{log.read_text()}")
        time.sleep(_LOOK_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

"""Each alert is fired by its fault, and clears after it: promtool's own tests of rules, on what the chart renders."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.chart import manifests, named
from tests.support.prometheus import program_or_skip

OF = 'namespace="museum",momalisa_release="walks-momalisa"'
READY = f"momalisa_is_ready{{{OF}}}"
LIVE = f"momalisa_live_works{{{OF}}}"
QUEUED = f"momalisa_oldest_queued_seconds{{{OF}}}"
OLDEST = f"momalisa_oldest_work_seconds{{{OF}}}"
RENDERER = f'ray_serve_deployment_replica_healthy{{{OF},deployment="renderer",replica="a"}}'
ASSEMBLER = f'ray_serve_deployment_replica_healthy{{{OF},deployment="assembler",replica="b"}}'
REQUESTS = f'ray_serve_num_http_requests_total{{{OF},route="/v1/walks"}}'
BAD = f'ray_serve_num_http_error_requests_total{{{OF},route="/v1/walks",error_code="500"}}'
REFUSED = f'ray_serve_num_http_error_requests_total{{{OF},route="/v1/walks",error_code="422"}}'
PROBES = f'ray_serve_num_http_requests_total{{{OF},route="/-/healthz"}}'
SCRAPES_FAIL = f'ray_serve_num_http_error_requests_total{{{OF},route="/metrics",error_code="503"}}'
DONE = f'momalisa_works_total{{{OF},state="done"}}'
FAILED = f'momalisa_works_total{{{OF},state="failed"}}'
LOST = f"momalisa_lost_chunks_total{{{OF}}}"
NOT_TAKEN = f"momalisa_is_config_refused{{{OF}}}"

# An hour of a service that is well, a figure a minute.
WELL = {
    READY: "1x60",
    LIVE: "2x60",
    QUEUED: "3x60",
    OLDEST: "40x60",
    RENDERER: "1x60",
    ASSEMBLER: "1x60",
    REQUESTS: "0+600x60",
    BAD: "0x60",
    REFUSED: "0+100x60",
    PROBES: "0+60x60",
    SCRAPES_FAIL: "0x60",
    DONE: "0+10x60",
    FAILED: "0x60",
    LOST: "0x60",
    NOT_TAKEN: "0x60",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What differs from WELL (None: no figure at all), when the alert is there, and when it is gone again."""

    alert: str
    figures: dict[str, str | None]
    there: str
    gone: str | None = None


FAULTS = {
    "no model has drawn": Fault(alert="MomalisaDown", figures={READY: "1x9 0x9 1x42"}, there="15m", gone="25m"),
    "nobody answers": Fault(alert="MomalisaDown", figures=dict.fromkeys((READY, LIVE, QUEUED, OLDEST)), there="10m"),
    "a full queue": Fault(alert="MomalisaQueueOld", figures={QUEUED: "3x9 200x9 3x42"}, there="14m", gone="20m"),
    "no renderer": Fault(alert="MomalisaNoRenderer", figures={RENDERER: "1x9 0x25 1x25"}, there="30m", gone="40m"),
    "no renderer at all": Fault(alert="MomalisaNoRenderer", figures={RENDERER: None}, there="20m"),
    "a walk without end": Fault(alert="MomalisaWalksStuck", figures={OLDEST: "0+60x45 0x15"}, there="40m", gone="50m"),
    "errors": Fault(alert="MomalisaErrors", figures={BAD: "0+60x30 1800x30"}, there="15m", gone="40m"),
    "errors of the few who come, among many probes": Fault(
        alert="MomalisaErrors",
        figures={REQUESTS: "0+2x60", BAD: "0+1x30 30x30", REFUSED: None},
        there="15m",
        gone="40m",
    ),
    "failing walks": Fault(alert="MomalisaWalksFail", figures={FAILED: "0x5 0+3x10 30x45"}, there="16m", gone="55m"),
    "dying renderers": Fault(alert="MomalisaRenderersDie", figures={LOST: "0x5 0+4x5 20x50"}, there="11m", gone="40m"),
    "refused values": Fault(
        alert="MomalisaConfigRefused", figures={NOT_TAKEN: "0x5 1x40 0x15"}, there="8m", gone="48m"
    ),
}
# What is no fault, though it may look like one: no alert at all.
NO_FAULTS: dict[str, dict[str, str | None]] = {
    "well": {},
    "renderers sleep": {RENDERER: None, LIVE: "0x60", QUEUED: "0x60", OLDEST: "0x60"},
    "figures of Ray that nobody scrapes": {RENDERER: None, ASSEMBLER: None},
    "no visitors": {REQUESTS: "0x60", REFUSED: "0x60", DONE: "0x60"},
    "clients' mistakes": {REFUSED: "0+600x60"},
    "scrapes that fail now and then": {SCRAPES_FAIL: "0+2x60", REQUESTS: "0+1x60"},
    "a renderer that wakes": {RENDERER: "0x13 1x47", QUEUED: "0+60x3 0x57"},
    "a spot node that is lost": {LOST: "0x5 2x55"},
    "a short outage": {READY: "1x9 0x2 1x49"},
}


def spec(*values: str) -> dict[str, Any]:
    told: dict[str, Any] = named(manifests("gke-spot", *values), "PrometheusRule")["spec"]
    return told


def told_by_promtool(folder: Path, figures: dict[str, str | None], checks: list[dict[str, Any]]) -> str:
    """What promtool says of these tests; empty where all is as it should be."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(spec()))
    series = [{"series": name, "values": values} for name, values in (WELL | figures).items() if values is not None]
    test = {"interval": "1m", "input_series": series, "alert_rule_test": checks}
    (folder / "test.yaml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}, width=1000)
    )
    command = [program_or_skip("promtool"), "test", "rules", str(folder / "test.yaml")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def quiet(alert: str, at: str) -> dict[str, Any]:
    return {"eval_time": at, "alertname": alert, "exp_alerts": []}


def is_there(folder: Path, fault: Fault) -> bool:
    """promtool compares whole texts, figures in them and all: an alert is there where `none` is refused."""
    return "got:[" in told_by_promtool(folder, fault.figures, [quiet(fault.alert, fault.there)])


def test_every_alert_has_its_fault() -> None:
    names = {rule["alert"] for group in spec()["groups"] for rule in group["rules"]}
    assert names == {fault.alert for fault in FAULTS.values()}


def test_the_rules_are_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec()))
    command = [program_or_skip("promtool"), "check", "rules", str(tmp_path / "rules.yaml")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_and_its_end(tmp_path: Path, name: str) -> None:
    fault = FAULTS[name]
    assert is_there(tmp_path, fault), told_by_promtool(tmp_path, fault.figures, [quiet(fault.alert, fault.there)])
    if fault.gone is not None:
        assert told_by_promtool(tmp_path, fault.figures, [quiet(fault.alert, fault.gone)]) == ""


@pytest.mark.parametrize("name", NO_FAULTS)
def test_what_is_no_fault_is_not_told(tmp_path: Path, name: str) -> None:
    alerts = sorted({fault.alert for fault in FAULTS.values()})
    checks = [quiet(alert, f"{minutes}m") for alert in alerts for minutes in (5, 12, 20, 40, 58)]
    assert told_by_promtool(tmp_path, NO_FAULTS[name], checks) == ""

"""The chart's alerts and its dashboard, by a real Prometheus that scrapes a real service: faults are made, not told."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from momalisa.client import Client, Walk
from momalisa.errors import WalkError
from tests.support.chart import CHART, NAMESPACE, RELEASE, helm, manifests, named
from tests.support.prometheus import Prometheus, program_or_skip, prometheus
from tests.support.served import Served, served
from tests.support.small_sd import save_small_sd

NAME = f"{RELEASE}-momalisa"
LIFE = "life.json"
MAX_STREAMS = 2
TOO_MANY_STREAMS = 5000
"""More than `max_open_requests`: a gateway refuses it, and nobody before it does."""
OFTEN = {
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    "RAY_SERVE_STATUS_GAUGE_REPORT_INTERVAL_S": "1",
    "RAY_metrics_report_interval_ms": "2000",
}
"""What is 10 s each by default."""
VALUES = (
    *('podMonitor.interval="60s"', 'serviceMonitor.interval="60s"'),
    *("prometheusRule.maxQueueSeconds=9", "prometheusRule.maxWalkSeconds=40"),
    "prometheusRule.maxLostChunks=1",
)
"""Of the chart, where its own would not do here. A machine that is busy needs more than 1.5 s for a scrape, so there is
one every 3 s. Seconds that the service counts are not shortened with the rest: 180 s are 9 s. A walk may take less than
its 90 s, or a suspended renderer would be replaced meanwhile, and one renderer that dies is enough."""
WAITING = ("MomalisaNoRenderer", "MomalisaQueueOld", "MomalisaWalksStuck")
"""Told as well where a walk waits until a renderer has started anew: a minute, where this machine is busy."""
FRAMES = "momalisa_rendered_frames_total"
OF_GPUS = {"GPUs: in use", "GPUs: fullest memory"}
"""What the dashboard has no data of on a machine without GPUs."""
LONG = {"num_frames": 300, "num_inference_steps": 50}
SHORT = {"num_frames": 4, "num_inference_steps": 2}
SQUATTER = """
import sys, ray
ray.init(sys.argv[1], log_to_driver=False, logging_level="ERROR")
class Squatter:
    def here(self): pass
squatter = ray.remote(num_cpus=ray.available_resources()["CPU"])(Squatter).remote()
ray.get(squatter.here.remote())
print("here", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """A service, and the Prometheus that watches it."""

    service: Served
    prometheus: Prometheus
    model: Path

    def walk(self, prompt: str, **settings: Any) -> Walk:
        """Asks for one."""
        return Client(self.service.url).walk("dots", f"waves {prompt}", wait=False, **settings)

    def take(self, *, model: Path | None = None, max_streams: int = MAX_STREAMS) -> None:
        """Has the service take another configuration."""
        write_life(self.service.bucket.parent, model or self.model, max_streams=max_streams)
        self.service.process.send_signal(signal.SIGHUP)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    program_or_skip("prometheus")
    if helm() is None:
        pytest.skip("there is no helm, which the chart's alerts are rendered with")
    folder = tmp_path_factory.mktemp("served")
    model = save_small_sd(folder / "small")
    write_life(folder, model)
    flags = ("--open", "--config", str(folder / LIFE), "--renderers", "0-1", "--set", "renderer.downscale_delay_s=3")
    with served(folder, *flags, environment=OFTEN) as service:
        pod = {"pod_name": "walks-worker", "pod_label_ray_io_cluster": "walks-x7k2p"}
        pod |= {"pod_container_name": "ray", "pod_label_app_kubernetes_io_component": "workers"}
        targets = {
            "ServiceMonitor": [(service.url.partition("//")[2], pod | {"service_name": f"{NAME}-serve-svc"})],
            "PodMonitor": [(service.ray_figures, pod)],
        }
        with prometheus(folder, manifests("gke-spot", *VALUES), targets) as watching:
            yield Watched(service=service, prometheus=watching, model=model)


@pytest.fixture
def watched(running: Watched) -> Watched:
    """No alert fires, and none has been seen."""
    running.prometheus.until_clear()
    running.prometheus.fired.clear()
    return running


def write_life(folder: Path, model: Path, *, max_streams: int = MAX_STREAMS) -> None:
    conductor = {"models": [{"id": "small", "uri": str(model)}], "admission": {"max_running_per_owner": 100}}
    life = {"conductor": conductor, "gateway": {"limits": {"max_streams": max_streams}}}
    (folder / LIFE).write_text(json.dumps(life))


def test_every_query_of_the_dashboard_has_data(watched: Watched) -> None:
    until(lambda: has_data(watched.prometheus, "momalisa_live_works"), "a first scrape", within_s=60)
    for number in range(3):  # what happens before the first scrape of a figure is no growth of it
        walk = watched.walk(f"on the dashboard {number}", **SHORT)
        walk.wait()
        httpx.get(f"{watched.service.url}/v1/walks/{walk.id}/previews/1.png")
        assert httpx.get(f"{watched.service.url}/v1/walks/nobodys").status_code == 404
        time.sleep(6)
    dashboard = json.loads((CHART / "dashboards" / "momalisa.json").read_text())
    variables = choices(watched.prometheus, dashboard)
    assert variables == {"namespace": NAMESPACE, "release": NAME}
    queries = {
        f"{panel['title']}: {target['legendFormat']}": replaced(target["expr"], variables)
        for panel in dashboard["panels"]
        for target in panel["targets"]
    }
    until(
        lambda: {name for name, query in queries.items() if not has_data(watched.prometheus, query)} == OF_GPUS,
        lambda: str([name for name, query in queries.items() if not has_data(watched.prometheus, query)]),
        within_s=40,
    )
    assert watched.prometheus.values(queries["Serves: ready"]) == [1.0]
    routes = labels(watched.prometheus, queries["Requests: {{route}}"], "route")
    print(f"{len(queries) - len(OF_GPUS)} of {len(queries)} queries have data; routes: {sorted(routes)}")
    assert {"/v1/walks", "/v1/walks/{walk_id}", "/v1/walks/{walk_id}/previews/{number}.png"} <= routes
    assert not routes & {"/metrics", "/readyz", "/healthz", "/-/healthz"}
    walk = drawn(watched)
    ready = queries["Renderers ready: renderers"]
    until(lambda: watched.prometheus.values(ready) == [1.0], "a renderer to be told of", within_s=20)
    walk.cancel()
    everything = {"gateway", "conductor", "text_encoder", "renderer", "assembler"}
    until_labelled(watched.prometheus, queries["Replicas: {{deployment}}"], "deployment", everything)
    memory = queries["Memory of pods: {{ray_cluster}} {{component}}"]
    until_labelled(watched.prometheus, memory, "ray_cluster", {"walks-x7k2p"})
    until_labelled(watched.prometheus, memory, "component", {"workers"})


def test_a_service_that_does_not_answer_is_down(watched: Watched) -> None:
    with fault("MomalisaDown", watched, suspended(watched.service, "gateway")):
        pass


@pytest.mark.slow
def test_all_rules_are_loaded_and_a_service_that_sleeps_fires_none(watched: Watched) -> None:
    watched.walk("of one who is well", **SHORT).wait()
    until_asleep(watched.service)
    time.sleep(20)  # longer than any `for`
    assert watched.prometheus.firing() == {}
    watched.prometheus.check()
    said = named(manifests("gke-spot"), "PrometheusRule")["spec"]["groups"]
    loaded = {rule["name"] for rule in watched.prometheus.rules()}
    assert loaded == {rule["alert"] for group in said for rule in group["rules"]}


@pytest.mark.slow
def test_walks_that_no_renderer_comes_for(watched: Watched) -> None:
    """All of Ray's CPUs are somebody else's, as where a quota has no room for a renderer's pod."""
    until_asleep(watched.service)
    with fault("MomalisaNoRenderer", watched, crowded(watched.service), *WAITING):
        walk = watched.walk("of one who waits", **SHORT)
    walk.wait()


@pytest.mark.slow
def test_a_renderer_that_hangs_makes_queues_old_and_walks_stuck(watched: Watched) -> None:
    under_way = drawn(watched)
    with fault("MomalisaWalksStuck", watched, suspended(watched.service, "renderer"), "MomalisaQueueOld"):
        behind = watched.walk("of one behind it", **SHORT)
        report("MomalisaQueueOld", "fires", watched.prometheus.until_fires("MomalisaQueueOld"))
        watched.prometheus.until_fires("MomalisaWalksStuck")
        under_way.cancel()
    behind.wait()


@pytest.mark.slow
def test_requests_that_the_service_fails_at(watched: Watched) -> None:
    """More who watch than there are event streams."""
    walk = drawn(watched)
    events = f"{watched.service.url}/v1/walks/{walk.id}/events"
    with (
        suspended(watched.service, "renderer"),  # or the walk ends, and with it whoever watches it
        fault("MomalisaErrors", watched, all_seats_taken(events), "MomalisaWalksStuck"),
    ):
        while "MomalisaErrors" not in watched.prometheus.firing():
            assert httpx.get(events, timeout=60).status_code == 503
            time.sleep(0.5)
        walk.cancel()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_walks_that_fail(watched: Watched) -> None:
    """The model's weights are gone, and whoever had them in memory too."""
    with fault("MomalisaWalksFail", watched, without_weights(watched), *WAITING):
        number = 0
        while "MomalisaWalksFail" not in watched.prometheus.firing():
            number += 1
            with pytest.raises(WalkError):
                watched.walk(f"of one who is not served {number}", **SHORT).wait()
    watched.walk("of one who is served again", **SHORT).wait()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_renderers_that_die_over_their_work(watched: Watched) -> None:
    walks = [drawn(watched), drawn(watched)]
    with fault("MomalisaRenderersDie", watched, nullcontext(), *WAITING):
        while "MomalisaRenderersDie" not in watched.prometheus.firing():
            before = watched.service.metrics()[FRAMES]
            time.sleep(1)
            if watched.service.metrics()[FRAMES] > before:  # there is one, and it draws
                watched.service.kill("renderer")
        for walk in walks:
            walk.cancel()


@pytest.mark.slow
@pytest.mark.parametrize("part", ["models", "limits"])
def test_a_configuration_that_is_refused(watched: Watched, part: str) -> None:
    with fault("MomalisaConfigRefused", watched, nullcontext()):
        if part == "models":
            watched.take(model=watched.model / "nowhere")
        else:
            watched.take(max_streams=TOO_MANY_STREAMS)
        watched.prometheus.until_fires("MomalisaConfigRefused")
        watched.take()
    assert [model.id for model in Client(watched.service.url).models()] == ["small"]


@pytest.mark.slow
def test_a_conductor_that_starts_anew_goes_on_with_the_configuration_that_held(watched: Watched) -> None:
    with fault("MomalisaConfigRefused", watched, nullcontext(), "MomalisaDown"):  # down for as long as it starts
        watched.take(model=watched.model / "nowhere")
        watched.prometheus.until_fires("MomalisaConfigRefused")
        watched.service.kill("conductor")
        assert [model.id for model in Client(watched.service.url).models()] == ["small"]
        watched.prometheus.until_clear("MomalisaDown")
        watched.prometheus.until_fires("MomalisaConfigRefused")
        watched.take()
    assert [model.id for model in Client(watched.service.url).models()] == ["small"]


@contextmanager
def fault(alert: str, watched: Watched, making: AbstractContextManager[None], *others: str) -> Iterator[None]:
    """Something goes wrong for as long as `making` and the block, until its alert fires, which clears after it.

    `others`: alerts that are told of the same fault; no other one may be.
    """
    began = time.monotonic()
    with making:
        yield
        watched.prometheus.until_fires(alert)
        report(alert, "fires", time.monotonic() - began)
    ended = time.monotonic()
    watched.prometheus.until_clear(alert)
    report(alert, "clears", time.monotonic() - ended)
    watched.prometheus.until_clear()
    assert watched.prometheus.fired <= {alert, *others}
    assert {rule["health"] for rule in watched.prometheus.rules()} == {"ok"}


def report(alert: str, what: str, seconds: float) -> None:
    print(f"{alert} {what}: {seconds:.1f} s", flush=True)


def until(is_so: Callable[[], bool], what: str | Callable[[], str], *, within_s: float) -> None:
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() < began + within_s, what if isinstance(what, str) else what()
        time.sleep(0.5)


def until_labelled(watching: Prometheus, query: str, label: str, expected: set[str]) -> None:
    """Ray's agent leaves a scrape out now and then."""
    told = lambda: f"{query}: {sorted(labels(watching, query, label))}"  # noqa: E731
    until(lambda: labels(watching, query, label) == expected, told, within_s=30)


def until_asleep(service: Served) -> None:
    until(lambda: not service.replicas("renderer"), "the renderer to sleep", within_s=90)


@contextmanager
def suspended(service: Served, deployment: str) -> Iterator[None]:
    """Its replicas stand still for as long as the block."""
    replicas = service.replicas(deployment)
    assert replicas
    for replica in replicas:
        replica.suspend()
    try:
        yield
    finally:
        for replica in replicas:
            replica.resume()


@contextmanager
def crowded(service: Served) -> Iterator[None]:
    """All CPUs that Ray has left are taken for as long as the block."""
    command = [sys.executable, "-c", SQUATTER, service.ray_address]
    environment = {"RAY_AUTH_MODE": "token"} | os.environ  # as a Ray that is started here has it
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as squatter:
        assert squatter.stdout is not None
        assert squatter.stdout.readline() == "here\n"
        yield
        squatter.communicate("")


def drawn(watched: Watched) -> Walk:
    """A long walk that has its first frame, and is far from its last."""
    before = watched.service.metrics()[FRAMES]
    walk = watched.walk(f"of a long way {time.time()}", **LONG)
    until(lambda: watched.service.metrics()[FRAMES] > before, "a first frame", within_s=90)
    return walk


@contextmanager
def all_seats_taken(events: str) -> Iterator[None]:
    """As many watch as may, for as long as the block."""
    with ExitStack() as seats:
        for _ in range(MAX_STREAMS):
            assert seats.enter_context(httpx.stream("GET", events, timeout=60)).status_code == 200
        yield


@contextmanager
def without_weights(watched: Watched) -> Iterator[None]:
    """The model's folder is away for as long as the block, and nobody has it in memory."""
    away = watched.model.with_name("away")
    watched.model.rename(away)
    try:
        for deployment in ("renderer", "text_encoder"):
            for replica in watched.service.replicas(deployment):
                replica.kill()
        yield
    finally:
        away.rename(watched.model)


def choices(watching: Prometheus, dashboard: dict[str, Any]) -> dict[str, str]:
    """The first of what each variable offers, in their order, as Grafana asks for it."""
    chosen: dict[str, str] = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((.*), (\w+)\)", replaced(variable["query"]["query"], chosen))
            assert match, variable
            offered = watching.ask(f"label/{match.group(2)}/values", **{"match[]": match.group(1)})
            chosen[variable["name"]] = offered[0]
    return chosen


def replaced(text: str, variables: dict[str, str]) -> str:
    for name, value in variables.items():
        text = text.replace(f"${name}", value)
    return text


def has_data(watching: Prometheus, query: str) -> bool:
    """Whether there is any number."""
    return not all(math.isnan(value) for value in watching.values(query))


def labels(watching: Prometheus, query: str, label: str) -> set[str]:
    return {sample["metric"][label] for sample in watching.ask("query", query=query)["result"]}

"""The way to Ray's dashboard."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from momalisa.cluster.dashboard import open_dashboard
from momalisa.cluster.kinds import Manifest
from momalisa.errors import ConfigError
from tests.unit.cluster.fake_cluster import FakeCluster, Moment, collected
from tests.unit.cluster.recorded import load


class Forwarding(FakeCluster):
    forwarded: list[tuple[str, int]]

    @contextmanager
    def forward(self, pod: str, port: int) -> Iterator[int]:
        self.forwarded = [(pod, port)]
        yield 40123


def cluster_of(case: str, auth: Manifest | None = None) -> Forwarding:
    facts = load(case)[0]
    ray_cluster = {**(facts.cluster or {}), "spec": {"authOptions": auth} if auth else {}}
    return Forwarding(Moment(job=facts.job, cluster=ray_cluster, pods=list(facts.pods)))


@pytest.fixture(autouse=True)
def _no_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("momalisa.cluster.facts.read_run", lambda uri: None)


def test_it_leads_to_the_head_and_tells_where_the_token_is() -> None:
    cluster = cluster_of("running_silent", {"mode": "token"})
    said, say = collected()
    open_dashboard(cluster, "sketch-7", say=say, hold=lambda: None)  # type: ignore[arg-type]
    assert cluster.forwarded == [("sketch-7-k2x9p-head-8kq2z", 8265)]
    assert said[0].startswith("http://127.0.0.1:40123")
    assert "get secret sketch-7-k2x9p" in said[1]


def test_no_token_no_hint() -> None:
    said, say = collected()
    open_dashboard(cluster_of("running_silent"), "sketch-7", say=say, hold=lambda: None)  # type: ignore[arg-type]
    assert len(said) == 1


def test_without_a_head_there_is_no_way() -> None:
    with pytest.raises(ConfigError, match="momalisa jobs status sketch-7"):
        open_dashboard(cluster_of("starting_head"), "sketch-7", say=print, hold=lambda: None)  # type: ignore[arg-type]

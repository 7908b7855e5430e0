"""What a person is told before anything is created, and what it costs."""

from pathlib import Path

import pytest

from momalisa.cluster.config import PodResources
from momalisa.cluster.plan import make_plan
from momalisa.cluster.prices import Prices
from momalisa.errors import ConfigError
from tests.unit.cluster.examples import GOLDEN, config

CHEAP = Prices(gpu={"nvidia-l4": 1.0}, cpu=0.0, memory_gib=0.0, spot_share=0.5)


def plan(**changes: object) -> dict[str, str]:
    return dict(make_plan(config(**changes), CHEAP, context="lab"))


def test_the_plan_tells_where_what_and_how_much() -> None:
    told = plan()
    assert told["cluster"] == "context lab, namespace momalisa"
    assert told["workers"] == "4 × (1 GPU nvidia-l4, 8 CPUs, 32 GiB) = 4 GPUs; goes on with 2"
    assert told["costs"].startswith("some 4.00 USD an hour, at most 96 USD")
    assert "at most 500 steps (3.3% of the run)" in told["loss of a node"]
    assert "1 head, 4 workers" in told["creates"]


def test_spot_and_autoscaling_are_told() -> None:
    told = plan(spot=True, autoscale=True)
    assert told["costs"].startswith("some 2.00 USD")
    assert "15–30 s" in told["loss of a node"]
    assert "2–4 workers" in told["creates"]
    assert told["workers"].endswith("autoscaled; on spot nodes")
    assert told["afterwards"].startswith("the cluster goes at once, the RayJob after 7d")
    assert plan(autoscale=True, min_workers=None)["afterwards"].startswith("workers go when idle, the head after 5m")
    assert plan()["afterwards"].startswith("workers go at once, the head after 5m")


def test_a_queue_is_told() -> None:
    told = plan(queue="gpus")
    assert told["starts"].startswith("when queue gpus admits all of it")
    assert "the RayJob stays" in told["afterwards"]


def test_an_unknown_price_is_not_guessed() -> None:
    assert "--gpu-type" in plan(gpu_type=None)["costs"]
    assert plan(worker=PodResources(cpus=1, memory_gib=1))["costs"].startswith("some 0.00")


@pytest.mark.parametrize("name", GOLDEN)
def test_every_kind_has_a_plan(name: str) -> None:
    assert all(words for _, words in make_plan(GOLDEN[name], Prices(), context="lab"))


def test_prices_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("currency: EUR\ngpu: {nvidia-l4: 2}\ncpu: 0\nmemory_gib: 0\n")
    assert Prices.load(file).per_hour(config()) == 8
    for text, words in (("gpus: {}", "gpu"), ("- 1", "no settings"), ("{", "neither YAML"), ("cpu: -1", "below 0")):
        file.write_text(text)
        with pytest.raises(ConfigError, match=words):
            Prices.load(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        Prices.load(tmp_path / "none")

"""What cannot be a job is refused where it is configured."""

from typing import Any

import pytest

from momalisa.cluster.config import PodResources, name_from, parse_duration, this_owner, train_config, worker_of
from momalisa.errors import ConfigError
from tests.unit.cluster.examples import config

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": "a" * 48}, "--name"),
    ({"name": "Mona"}, "--name"),
    ({"name": "mona-"}, "--name"),
    ({"image": ""}, "--image"),
    ({"recipe": None}, "--recipe"),
    ({"num_workers": 0}, "--num-workers"),
    ({"min_workers": 5}, "min_workers 5"),
    ({"cpu_overcommit": 0.5}, "cpu_overcommit"),
    ({"queue": "q", "autoscale": True}, "drop --queue or --autoscale"),
    ({"deadline_s": 0}, "--deadline"),
    ({"pre_running_deadline_s": 10**6}, "--start-deadline"),
    ({"backoff_limit": -1}, "--retries"),
    ({"keep_cluster_s": 10**7}, "--keep-cluster"),
    ({"owner": "mona lisa"}, "--owner"),
    ({"env": {"1": "x"}}, "--env"),
    ({"env": {"WANDB_API_KEY": "x"}}, "--secret-env WANDB_API_KEY=SECRET/KEY"),
    ({"env": {"db_password": "x"}}, "--secret-env"),
    ({"secret_env": {"TOKEN": "hub"}}, "--secret-env"),
    ({"env": {"T": "x"}, "secret_env": {"T": "hub/t"}}, "drop one"),
]


@pytest.mark.parametrize(("changes", "fix"), REFUSED)
def test_what_cannot_be_names_its_fix(changes: dict[str, Any], fix: str) -> None:
    with pytest.raises(ValueError, match=fix):
        config(**changes)


@pytest.mark.parametrize("changes", [{"cpus": 0}, {"memory_gib": 0.1}, {"gpus": -1}])
def test_a_pod_needs_something(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="give"):
        PodResources(**changes)


def test_resources_are_the_recipes() -> None:
    resources = train_config("sd14_full", [], 3).resources
    assert worker_of(resources, gpus=None, memory_gib=None) == PodResources(cpus=8, memory_gib=32, gpus=1)
    assert resources.num_workers == 3
    demo = train_config("demo", [], None).resources
    assert worker_of(demo, gpus=1, memory_gib=2).gpus == 1
    assert worker_of(demo, gpus=None, memory_gib=None).gpus == 0


def test_a_recipe_for_gpus_gets_some() -> None:
    with pytest.raises(ConfigError, match="use_gpu=false"):
        worker_of(train_config("sd14_full", [], None).resources, gpus=0, memory_gib=None)
    without = ["resources.use_gpu=false", "engine.precision=fp32"]
    assert worker_of(train_config("sd14_full", without, None).resources, gpus=0, memory_gib=None).gpus == 0


def test_a_typo_fails_at_submission() -> None:
    with pytest.raises(ConfigError, match="max_steps"):
        train_config("demo", ["max_step=3"], None)
    with pytest.raises(ConfigError, match="global_batch_size"):
        train_config("sd14_full", [], 8)


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("gs://b/runs/monet_2", "monet-2"),
        ("gs://b/runs/2026-11/", "run-2026-11"),
        (f"gs://b/{'long-' * 12}", ("long-" * 12)[:47].rstrip("-")),
    ],
)
def test_a_name_comes_from_the_folder(uri: str, name: str) -> None:
    assert name_from(uri) == name


def test_a_folder_without_letters_names_nothing() -> None:
    with pytest.raises(ConfigError, match="--name"):
        name_from("gs://b/runs/___")
    with pytest.raises(ConfigError, match="--output"):
        name_from("")


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1800), ("24h", 86400), ("7d", 604800)])
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


def test_nonsense_is_no_duration() -> None:
    with pytest.raises(ConfigError, match="30m"):
        parse_duration("soon")


def test_the_owner_can_be_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "mona lisa@louvre")
    assert this_owner() == "mona-lisa-louvre"

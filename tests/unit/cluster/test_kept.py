"""Where jobs' runs are, as this machine remembers it."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from momalisa.cluster.kept import recall, remember


@dataclass
class Place:
    context: str = "lab"
    namespace: str = "momalisa"


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MOMALISA_CACHE", str(tmp_path))


def test_a_name_is_one_clusters_and_namespaces_own() -> None:
    remember(Place(), "mona", "gs://art/lab")
    remember(Place(context="arn:aws:eks:eu-1:7:cluster/far"), "mona", "gs://art/far")
    assert recall(Place(), "mona") == "gs://art/lab"
    assert recall(Place(context="arn:aws:eks:eu-1:7:cluster/far"), "mona") == "gs://art/far"
    assert recall(Place(context="arn:aws:eks:eu-1:7:cluster_far"), "mona") is None
    assert recall(Place(namespace="other"), "mona") is None
    assert recall(Place(), "lisa") is None


def test_the_last_word_counts() -> None:
    remember(Place(), "mona", "gs://art/one")
    remember(Place(), "mona", "gs://art/two")
    assert recall(Place(), "mona") == "gs://art/two"


def test_a_cache_that_cannot_be_used_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MOMALISA_CACHE", str(tmp_path / "file"))
    remember(Place(), "mona", "gs://art/lab")
    assert recall(Place(), "mona") is None

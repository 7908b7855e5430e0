"""Retention from outside the service."""

import asyncio
from pathlib import Path

import pytest
import yaml

from momalisa.errors import ConfigError, ConflictError
from momalisa.service.generations import Generations
from momalisa.service.leases import Leases
from momalisa.service.retention import LEASE, RetentionConfig, Swept
from momalisa.service.sweeping import main, read, sweep
from momalisa.storage import Store, open_store
from tests.unit.service.test_retention import DAY_S, Clock, make

CONFIG = RetentionConfig(keep_days=30, grace_s=0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "bucket")


def written(folder: Path, bucket: str) -> Path:
    conductor = {"name": "conductor", "user_config": {"retention": {"keep_days": None, "grace_s": 0}}}
    application = {"args": {"bucket": bucket}, "deployments": [{"name": "gateway"}, conductor]}
    path = folder / "serve.yaml"
    path.write_text(yaml.safe_dump({"applications": [application]}))
    return path


def test_what_the_configuration_says(tmp_path: Path) -> None:
    bucket, config = read(written(tmp_path, "gs://museum/walks"))
    assert bucket == "gs://museum/walks"
    assert config == RetentionConfig(keep_days=None, grace_s=0)


@pytest.mark.parametrize("text", ["[", "{}", "applications: []", "applications: [{args: {}}]", "7"])
def test_what_is_no_configuration(tmp_path: Path, text: str) -> None:
    (tmp_path / "serve.yaml").write_text(text)
    with pytest.raises(ConfigError, match="no configuration of the service"):
        read(tmp_path / "serve.yaml")


def test_walks_go_after_their_time(store: Store) -> None:
    clock = Clock()
    make(store, clock, "a", ["f1"])
    clock.now += 31 * DAY_S
    swept = asyncio.run(sweep(store, CONFIG, clock=clock))
    assert swept is not None
    assert swept.num_walks == 1
    assert not store.list("frames")


def test_nothing_goes_while_works_wait(store: Store) -> None:
    store.write_bytes("queue/somework", b"")
    store.write_bytes("frames/f1.png", b"png")
    assert asyncio.run(sweep(store, CONFIG)) is None
    assert store.exists("frames/f1.png")


def test_nothing_goes_while_a_release_lives(store: Store) -> None:
    store.write_bytes("frames/f1.png", b"png")
    release = Generations(store, "1.0")
    release.enter()

    async def play() -> tuple[Swept | None, Swept | None]:
        sweeping = asyncio.create_task(sweep(store, CONFIG, silence_s=0.2))
        for _ in range(5):
            await asyncio.sleep(0.05)
            release.live()
        return await sweeping, await sweep(store, CONFIG, silence_s=0.05)

    while_it_lives, once_it_is_silent = asyncio.run(play())
    assert while_it_lives is None
    assert once_it_is_silent is not None
    assert not store.exists("frames/f1.png")


def test_one_process_sweeps(store: Store) -> None:
    assert Leases(store, "the conductor").claim(LEASE) is not None
    with pytest.raises(ConflictError, match="another process sweeps"):
        asyncio.run(sweep(store, CONFIG, wait_s=0))


def test_the_command(tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.write_bytes("frames/f1.png", b"png")
    assert main([str(written(tmp_path, str(tmp_path / "bucket")))]) == 0
    assert capsys.readouterr().out == "swept: 0 walks, 0 works, 1 objects\n"
    store.write_bytes("queue/somework", b"")
    assert main([str(written(tmp_path, str(tmp_path / "bucket")))]) == 0
    assert capsys.readouterr().out.startswith("nothing was swept")
    assert main([str(tmp_path / "none.yaml")]) == 2

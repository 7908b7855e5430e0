"""Storage against a real emulator, a fifth of whose answers are faults."""

import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from momalisa.errors import AccessDeniedError, AlreadyExistsError, ConflictError, ObjectNotFoundError
from momalisa.storage import RetryPolicy, Store, open_store
from tests.support.gcs_emulator import GcsEmulator, emulator

RETRY = RetryPolicy(base_delay_s=0.02, max_delay_s=0.2, stall_timeout_s=5)


@pytest.fixture(scope="module")
def gcs() -> Iterator[GcsEmulator]:
    with emulator(faults=0.2, seed=1) as running:
        running.create_bucket("museum")
        yield running


@pytest.fixture
def store(gcs: GcsEmulator, request: pytest.FixtureRequest) -> Store:
    return open_store(f"gs://museum/{request.node.name}", RETRY)


def test_what_is_written_is_read_under_faults(store: Store, gcs: GcsEmulator, tmp_path: Path) -> None:
    before = gcs.proxy.counts["faults"]
    contents = {f"folder/{i:02d}.bin": bytes([i]) * (1000 * i + 1) for i in range(12)}
    for key, data in contents.items():
        store.write_bytes(key, data)
    assert {e.key: e.num_bytes for e in store.list()} == {key: len(data) for key, data in contents.items()}
    for key, data in contents.items():
        assert store.read_bytes(key) == data
        assert store.read_bytes(key, 3, 50) == data[3:50]
        assert store.stat(key).checksum is not None
    assert gcs.proxy.counts["faults"] > before


def test_a_large_file_goes_up_and_comes_down(store: Store, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(range(256)) * 40_000)  # 10 MB
    store.upload(source, "large.bin")
    store.download("large.bin", target)
    assert target.read_bytes() == source.read_bytes()


def test_missing_objects(store: Store) -> None:
    assert not store.exists("nothing")
    with pytest.raises(ObjectNotFoundError):
        store.read_bytes("nothing")
    store.delete("nothing")


def test_create_if_absent_knows_its_own_write_again(store: Store) -> None:
    for i in range(20):  # some answers are lost after the write has happened
        store.create(f"once/{i}", b"first")
        with pytest.raises(AlreadyExistsError):
            store.create(f"once/{i}", b"second")
        assert store.read_bytes(f"once/{i}") == b"first"


def test_no_update_is_lost_among_threads(store: Store) -> None:
    store.create("counter", b"0")

    def count() -> None:
        for _ in range(5):
            while True:
                data, version = store.read_versioned("counter")
                try:
                    store.compare_and_swap("counter", str(int(data) + 1).encode(), version)
                except ConflictError:
                    continue
                break

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.read_bytes("counter") == b"20"


def test_a_commit_is_whole(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "part"
    file.write_bytes(b"from a file")
    store.commit({"a": b"from memory", "b/c": file}, "manifest.json", b"{}")
    assert [e.key for e in store.list()] == ["a", "b/c", "manifest.json"]
    assert store.read_bytes("b/c") == b"from a file"


def test_a_store_travels_to_another_process(store: Store) -> None:
    again = pickle.loads(pickle.dumps(store))
    again.write_bytes("key", b"data")
    assert store.read_bytes("key") == b"data"


def test_seekable_reading(store: Store) -> None:
    store.write_bytes("file", bytes(range(200)))
    with store.open("file") as file:
        file.seek(150)
        assert file.read(10) == bytes(range(150, 160))
        file.seek(-5, 2)
        assert file.read() == bytes(range(195, 200))


def test_a_forbidden_bucket_says_so_at_once(gcs: GcsEmulator) -> None:
    with emulator() as closed:
        closed.proxy.forbidden = True
        store = open_store("gs://museum/x", RETRY)
        with pytest.raises(AccessDeniedError, match="roles/storage"):
            store.read_bytes("key")
        assert closed.proxy.counts["requests"] == 1


def test_a_bucket_that_is_not_there(gcs: GcsEmulator) -> None:
    with pytest.raises(ObjectNotFoundError, match="bucket"):
        open_store("gs://no-such-bucket/x", RETRY).read_bytes("key")

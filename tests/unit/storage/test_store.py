"""The whole interface, over files and memory."""

import pickle
import threading
import uuid
from pathlib import Path

import pytest

from momalisa.errors import (
    AlreadyExistsError,
    ConflictError,
    ObjectNotFoundError,
    UnavailableError,
    UriError,
)
from momalisa.storage import RetryPolicy, Store, open_store, sha256_bytes, sha256_file
from momalisa.storage.retry import TransientError


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store") if request.param == "file" else f"memory://{uuid.uuid4().hex}")


def test_objects_come_back_and_are_listed_in_order(store: Store) -> None:
    for key in ("b/2", "a", "b/1", "b/c/3"):
        store.write_bytes(key, key.encode())
    assert [e.key for e in store.list()] == ["a", "b/1", "b/2", "b/c/3"]
    assert [e.key for e in store.list("b/c")] == ["b/c/3"]
    assert store.read_bytes("b/1") == b"b/1"
    assert store.read_bytes("b/c/3", 2, 4) == b"c/"
    assert store.stat("a").num_bytes == 1
    assert store.child("b").read_bytes("2") == b"b/2"


def test_a_folder_is_no_prefix_of_a_name(store: Store) -> None:
    store.write_bytes("step-1/x", b"")
    store.write_bytes("step-10/x", b"")
    assert [e.key for e in store.list("step-1")] == ["step-1/x"]
    store.delete_tree("step-1")
    assert [e.key for e in store.list()] == ["step-10/x"]


def test_what_is_missing_says_so(store: Store, tmp_path: Path) -> None:
    assert not store.exists("nothing")
    assert store.list("nothing") == []
    store.delete("nothing")
    for call in (store.read_bytes, store.stat, store.open):
        with pytest.raises(ObjectNotFoundError):
            call("nothing")
    with pytest.raises(ObjectNotFoundError):
        store.upload(tmp_path / "no-such-file", "key")


def test_files_go_up_and_down(store: Store, tmp_path: Path) -> None:
    (tmp_path / "up").write_bytes(bytes(range(256)) * 9000)
    store.upload(tmp_path / "up", "large")
    store.download("large", tmp_path / "down")
    assert sha256_file(tmp_path / "down") == sha256_bytes(bytes(range(256)) * 9000)
    with store.open("large") as file:
        file.seek(-3, 2)
        assert file.read() == b"\xfd\xfe\xff"


def test_create_and_swap(store: Store) -> None:
    version = store.create("key", b"one")
    with pytest.raises(AlreadyExistsError):
        store.create("key", b"two")
    data, read = store.read_versioned("key")
    assert data == b"one"
    newer = store.compare_and_swap("key", b"two", read)
    with pytest.raises(ConflictError):
        store.compare_and_swap("key", b"three", version)
    assert store.compare_and_swap("key", b"three", newer) is not None
    assert store.read_bytes("key") == b"three"


def test_no_update_is_lost_among_threads(store: Store) -> None:
    store.create("counter", b"0")

    def count() -> None:
        done = 0
        while done < 20:
            data, version = store.read_versioned("counter")
            try:
                store.compare_and_swap("counter", str(int(data) + 1).encode(), version)
            except ConflictError:
                continue
            done += 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.read_bytes("counter") == b"80"


def test_a_commit_ends_with_its_marker(store: Store, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"file")
    store.commit({"a": b"bytes", "b": tmp_path / "part"}, "manifest.json", b"{}")
    assert [e.key for e in store.list()] == ["a", "b", "manifest.json"]
    with pytest.raises(ObjectNotFoundError):
        store.commit({"a": b"new", "c": tmp_path / "gone"}, "manifest.json", b"{}")
    assert not store.exists("manifest.json")


@pytest.mark.parametrize("key", ["", "/absolute", "../out", "a/../b", "a//b", "."])
def test_keys_that_lead_elsewhere_are_refused(store: Store, key: str) -> None:
    with pytest.raises(UriError):
        store.write_bytes(key, b"")


@pytest.mark.parametrize(
    ("uri", "message"),
    [("", "not a URI"), ("gs://", "no bucket"), ("gs:/bucket", "lacks a slash"), ("gss://b/x", "unknown scheme")],
)
def test_nonsense_uris_name_the_fix(uri: str, message: str) -> None:
    with pytest.raises(UriError, match=message):
        open_store(uri)


def test_a_store_of_files_survives_pickling(tmp_path: Path) -> None:
    store = pickle.loads(pickle.dumps(open_store(str(tmp_path))))
    store.write_bytes("key", b"data")
    assert (tmp_path / "key").read_bytes() == b"data"


def test_retries_back_off_and_give_up() -> None:
    slept: list[float] = []
    policy = RetryPolicy(max_attempts=4, base_delay_s=1.0, max_delay_s=3.0, sleep=slept.append)
    answers = [TransientError("503"), TransientError("429", after_s=2.5), None]

    def attempt() -> str:
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        return "done"

    assert policy.call(attempt, "reading x") == "done"
    assert len(slept) == 2
    assert 0 <= slept[0] <= 1.0
    assert 2.5 <= slept[1] <= 3.0

    def failing() -> str:
        raise TransientError("503")

    with pytest.raises(UnavailableError, match="after 4 attempts"):
        policy.call(failing, "reading x")

"""What every backend must do, checked alike on disks, in memory and on a bucket."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from momalisa.errors import AlreadyExistsError, ConflictError, ObjectNotFoundError
from momalisa.storage import Store, Version


def check_bytes(store: Store) -> None:
    store.write_bytes("a/b.bin", b"0123456789")
    assert store.read_bytes("a/b.bin") == b"0123456789"
    assert store.read_bytes("a/b.bin", 2, 5) == b"234"
    assert store.read_bytes("a/b.bin", 7) == b"789"
    assert store.read_bytes("a/b.bin", 0, 3) == b"012"
    assert store.read_bytes("a/b.bin", 8, 100) == b"89"
    assert (
        store.read_bytes("a/b.bin", 10, 20)
        == store.read_bytes("a/b.bin", 50)
        == store.read_bytes("a/b.bin", 4, 4)
        == b""
    )
    store.write_bytes("a/b.bin", b"new")
    assert store.read_bytes("a/b.bin") == b"new"
    store.write_bytes("empty", b"")
    assert store.read_bytes("empty") == b""
    with pytest.raises(ObjectNotFoundError, match="missing"):
        store.read_bytes("missing")
    with pytest.raises(ObjectNotFoundError):
        store.read_bytes("a")  # a folder is no object


def check_listing(store: Store) -> None:
    assert store.list() == store.list("nowhere") == []
    for key in ("b", "a/2", "a/1", "a/deep/er/3", "ab/4", "a b/ü?#%.txt"):
        store.write_bytes(key, key.encode())
    assert [e.key for e in store.list()] == ["a b/ü?#%.txt", "a/1", "a/2", "a/deep/er/3", "ab/4", "b"]
    assert [(e.key, e.num_bytes) for e in store.list("a")] == [("a/1", 3), ("a/2", 3), ("a/deep/er/3", 11)]
    assert store.list("a/") == store.list("a")
    assert [e.key for e in store.child("a").list("deep")] == ["deep/er/3"]
    assert store.read_bytes("a b/ü?#%.txt") == "a b/ü?#%.txt".encode()
    assert store.stat("a/1").num_bytes == 3
    assert store.stat("a/1") == store.list("a")[0]
    assert store.exists("a/1")
    assert not store.exists("a")
    assert not store.exists("a/1/x")
    with pytest.raises(ObjectNotFoundError):
        store.stat("a/9")


def check_deleting(store: Store) -> None:
    for key in ("a/1", "a/2/3", "ab", "c"):
        store.write_bytes(key, b"x")
    store.delete("c")
    store.delete("c")
    store.delete("never/was")
    store.delete_tree("a")
    store.delete_tree("a/")
    assert [e.key for e in store.list()] == ["ab"]


def check_transfers(store: Store, folder: Path, num_bytes: int) -> None:
    data = bytes(range(251)) * (num_bytes // 251 + 1)
    (folder / "local").write_bytes(data)
    store.upload(folder / "local", "big/object")
    assert store.stat("big/object").num_bytes == len(data)
    store.download("big/object", folder / "new" / "copy")
    assert (folder / "new" / "copy").read_bytes() == data
    with pytest.raises(ObjectNotFoundError):
        store.download("missing", folder / "new" / "copy")
    with pytest.raises(ObjectNotFoundError):
        store.upload(folder / "missing", "big/other")
    assert (folder / "new" / "copy").read_bytes() == data  # as it was
    assert [p.name for p in (folder / "new").iterdir()] == ["copy"]  # nothing left lying about
    assert [e.key for e in store.list("big")] == ["big/object"]


def check_open(store: Store) -> None:
    store.write_bytes("file", b"0123456789" * 20_000)
    with store.open("file") as file:
        assert file.seekable()
        assert file.read(3) == b"012"
        assert file.seek(-4, 2) == 199_996
        assert file.read() == b"6789"
        assert file.read() == b""
        file.seek(99_999)
        assert file.tell() == 99_999
        assert file.read(100_000) == (b"9" + b"0123456789" * 10_000)[:100_000]
    with pytest.raises(ObjectNotFoundError):
        store.open("missing")


def check_versions(store: Store) -> None:
    first = store.create("pointer", b"1")
    with pytest.raises(AlreadyExistsError, match="pointer"):
        store.create("pointer", b"other")
    assert store.read_versioned("pointer") == (b"1", first)
    second = store.compare_and_swap("pointer", b"2", first)
    with pytest.raises(ConflictError, match="read it again"):
        store.compare_and_swap("pointer", b"3", first)
    assert store.read_versioned("pointer") == (b"2", second)
    # The same bytes again are another version: what stood between was seen by others.
    store.compare_and_swap("pointer", b"1", second)
    with pytest.raises(ConflictError):
        store.compare_and_swap("pointer", b"4", first)
    store.delete("pointer")
    with pytest.raises(ConflictError):
        store.compare_and_swap("pointer", b"5", second)
    with pytest.raises(ObjectNotFoundError):
        store.read_versioned("pointer")
    assert store.create("pointer", b"6") != first
    assert [e.key for e in store.list()] == ["pointer"]


def check_commit(store: Store, folder: Path) -> None:
    (folder / "local").write_bytes(b"from a file")
    files = {f"step/part-{i}": f"part {i}".encode() for i in range(20)}
    store.commit({**files, "step/file": folder / "local"}, "step/DONE", b"marker")
    assert {e.key: store.read_bytes(e.key) for e in store.list("step")} == {
        **files,
        "step/file": b"from a file",
        "step/DONE": b"marker",
    }
    # A commit that fails leaves no marker, not even the one that stood there.
    with pytest.raises(ObjectNotFoundError):
        store.commit({"step/part-0": b"new", "step/file": folder / "missing"}, "step/DONE", b"marker 2")
    assert not store.exists("step/DONE")
    with pytest.raises(ValueError, match="marker"):
        store.commit({"step/DONE": b""}, "step/DONE", b"")


def increment(store: Store, key: str, times: int, meet: Barrier | None = None) -> int:
    """Add to a counter by compare-and-swap; returns the number of conflicts.

    meet: where all wait between their first read and their first swap, so that all but one conflict.
    """
    num_conflicts = 0
    for number in range(times):
        while True:
            data, version = store.read_versioned(key)
            if meet and number == num_conflicts == 0:
                meet.wait(60)
            try:
                store.compare_and_swap(key, str(int(data) + 1).encode(), version)
            except ConflictError:
                num_conflicts += 1
            else:
                break
    return num_conflicts


def check_increments(store: Store, num_threads: int, times: int) -> None:
    """No update is lost, and none is counted twice though answers are lost."""
    store.create("counter", b"0")
    meet = Barrier(num_threads)
    with ThreadPoolExecutor(num_threads) as pool:
        conflicts = list(pool.map(lambda _: increment(store, "counter", times, meet), range(num_threads)))
    assert int(store.read_bytes("counter")) == num_threads * times
    assert sum(conflicts) >= num_threads - 1  # the threads did meet


def check_race_to_create(store: Store, num_threads: int) -> None:
    """One of many creators of the same bytes wins, and it is the one that is told so."""

    def create(_: int) -> Version | None:
        try:
            return store.create("leader", b"me")
        except AlreadyExistsError:
            return None

    with ThreadPoolExecutor(num_threads) as pool:
        won = [version for version in pool.map(create, range(num_threads)) if version]
    assert won == [store.read_versioned("leader")[1]]

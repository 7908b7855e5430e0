"""The same checks on disk and in memory."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from pyarrow import parquet, table

from momalisa.errors import (
    AccessDeniedError,
    ObjectNotFoundError,
    StorageError,
    UnsupportedOperationError,
    UriError,
)
from momalisa.storage import Store, Version, open_store
from momalisa.storage.generic import FsspecBackend
from momalisa.storage.retry import RetryPolicy
from tests.support import store_checks


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return open_store(tmp_path / "store" if request.param == "file" else f"memory://{uuid.uuid4().hex}/store")


@pytest.fixture
def disk(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


def test_bytes(store: Store) -> None:
    store_checks.check_bytes(store)


def test_listing(store: Store) -> None:
    store_checks.check_listing(store)


def test_deleting(store: Store) -> None:
    store_checks.check_deleting(store)


def test_transfers(store: Store, tmp_path: Path) -> None:
    store_checks.check_transfers(store, tmp_path, num_bytes=3_000_000)


def test_open(store: Store) -> None:
    store_checks.check_open(store)


def test_versions(store: Store) -> None:
    store_checks.check_versions(store)


def test_commit(store: Store, tmp_path: Path) -> None:
    store_checks.check_commit(store, tmp_path)


def test_no_increment_is_lost(store: Store) -> None:
    store_checks.check_increments(store, num_threads=8, times=25)


def test_one_creator_wins(store: Store) -> None:
    store_checks.check_race_to_create(store, num_threads=16)


def test_travels_to_other_processes(store: Store) -> None:
    store.write_bytes("a", b"x")
    copy = pickle.loads(pickle.dumps(store))
    assert (copy.uri, copy.read_bytes("a")) == (store.uri, b"x")


def test_arrow_filesystem(store: Store) -> None:
    filesystem, path = store.arrow_filesystem()
    filesystem.create_dir(f"{path}/run/1", recursive=True)
    with filesystem.open_output_stream(f"{path}/run/1/a.json") as stream:
        stream.write(b"{}")
    parquet.write_table(table({"x": range(10_000)}), f"{path}/run/t.parquet", filesystem=filesystem)
    assert parquet.read_table(f"{path}/run/t.parquet", filesystem=filesystem)["x"][9_999].as_py() == 9_999
    assert [e.key for e in store.list()] == ["run/1/a.json", "run/t.parquet"]


@pytest.mark.parametrize("key", ["", "/a", "../a", "a/../../b"])
def test_no_key_leads_out(store: Store, key: str) -> None:
    for use in (store.read_bytes, store.delete, store.stat, store.open, store.uri_of):
        with pytest.raises(UriError):
            use(key)
    with pytest.raises(UriError):
        store.write_bytes(key, b"")
    if key:
        with pytest.raises(UriError):
            store.list(key)


def test_nothing_deletes_a_whole_store_by_accident(store: Store) -> None:
    store.write_bytes("a", b"x")
    with pytest.raises(UriError):
        store.delete_tree("")
    assert store.exists("a")


def test_negative_positions_are_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="from the beginning"):
        store.read_bytes("a", -4)


def test_uris(disk: Store, tmp_path: Path) -> None:
    assert disk.uri == f"file://{tmp_path}/store"
    assert disk.uri_of("a/b") == f"file://{tmp_path}/store/a/b"
    assert disk.child("a/").uri == f"file://{tmp_path}/store/a"
    assert open_store(disk.uri).local_path == tmp_path / "store"
    bucket = open_store("gs://bucket/prefix/")
    assert (bucket.uri, bucket.uri_of("k"), bucket.local_path) == ("gs://bucket/prefix", "gs://bucket/prefix/k", None)
    assert open_store("memory://m").child("x").uri_of("y") == "memory://m/x/y"


def test_opening_a_bucket_asks_nothing_and_loads_neither_gcsfs_nor_torch() -> None:
    code = (
        "import sys; from momalisa.storage import open_store; open_store('gs://bucket/x');"
        "assert not {'gcsfs', 'torch', 'ray'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_hidden_files_are_not_listed(disk: Store, tmp_path: Path) -> None:
    version = disk.create("a", b"1")
    disk.compare_and_swap("a", b"2", version)
    assert (tmp_path / "store" / ".momalisa-lock").exists()
    assert [e.key for e in disk.list()] == ["a"]


def test_links_are_followed_but_not_in_circles(disk: Store, tmp_path: Path) -> None:
    disk.write_bytes("a/b", b"x")
    (tmp_path / "store" / "a" / "again").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "gone").symlink_to(tmp_path / "nowhere")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "c").write_bytes(b"y")
    (tmp_path / "store" / "linked").symlink_to(outside)
    assert [e.key for e in disk.list()] == ["a/b", "linked/c"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_a_denied_folder_is_named(disk: Store, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(mode=0o500)
    with pytest.raises(AccessDeniedError, match="permission denied"):
        disk.write_bytes("a", b"x")


def test_a_file_where_a_folder_must_be(disk: Store) -> None:
    disk.write_bytes("a", b"x")
    with pytest.raises(StorageError, match=r"where a folder must be|not a folder"):
        disk.write_bytes("a/b", b"x")
    with pytest.raises(ObjectNotFoundError):
        disk.read_bytes("a/b")


def test_a_failed_write_leaves_the_old_content_and_no_rest(disk: Store, tmp_path: Path) -> None:
    disk.write_bytes("a", b"old")
    with pytest.raises(TypeError):
        disk.write_bytes("a", "not bytes")  # type: ignore[arg-type]
    assert disk.read_bytes("a") == b"old"
    assert [p.name for p in (tmp_path / "store").iterdir()] == ["a"]


def test_a_writer_killed_in_mid_commit_leaves_no_marker(disk: Store, tmp_path: Path) -> None:
    os.mkfifo(
        tmp_path / "endless"
    )  # a "file" whose reading waits for ever: the upload is under way when the kill comes
    code = (
        "import sys, pathlib; from momalisa.storage import open_store;"
        "open_store(sys.argv[1]).commit({'s/a': b'1', 's/b': pathlib.Path(sys.argv[2])}, 's/DONE', b'')"
    )
    arguments = [sys.executable, "-c", code, disk.uri, str(tmp_path / "endless")]
    # The pipe opens for writing once the upload opens it for reading.
    with subprocess.Popen(arguments) as process, (tmp_path / "endless").open("wb", buffering=0) as writer:
        writer.write(b"part")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not disk.exists("s/DONE")
    assert not disk.exists("s/b")


def test_processes_share_the_lock(disk: Store) -> None:
    disk.create("counter", b"0")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=store_checks.increment, args=(disk, "counter", 50)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert disk.read_bytes("counter") == b"100"


def test_other_file_systems_read_and_write_but_declare_what_they_cannot(tmp_path: Path) -> None:
    # fsspec's own disk, taken as any other scheme
    store = Store(FsspecBackend("local", RetryPolicy()), f"local://{tmp_path}/store")
    (tmp_path / "store").mkdir()
    store.write_bytes("a", b"x")
    assert (store.read_bytes("a"), [e.key for e in store.list()]) == (b"x", ["a"])
    for call in (
        lambda: store.create("b", b""),
        lambda: store.read_versioned("a"),
        lambda: store.compare_and_swap("a", b"", Version("1")),
    ):
        with pytest.raises(UnsupportedOperationError, match="gs://, file and memory://"):
            call()

"""The store on a bucket: a real server process behind a proxy that fails, delays and denies."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet
from pyarrow.fs import FileSelector, FileType

from momalisa.errors import AccessDeniedError, ObjectNotFoundError, UnavailableError
from momalisa.storage import RetryPolicy, Store, gcs, matches_checksum, open_store
from tests.support import store_checks
from tests.support.gcs_emulator import GcsEmulator

# Short waits, so that many faults take seconds; a stall is noticed after half a second.
QUICK = RetryPolicy(max_attempts=15, base_delay_s=0.01, max_delay_s=0.2, stall_timeout_s=0.5, deadline_s=120)


@pytest.fixture
def store(gcs_bucket: str) -> Store:
    return open_store(f"{gcs_bucket}/prefix", retry=QUICK)


@pytest.fixture(params=[0.0, 0.1, 0.3], ids=["calm", "tenth", "third"])
def share(request: pytest.FixtureRequest, gcs_emulator: GcsEmulator) -> float:
    """The share of requests that fail."""
    gcs_emulator.set_faults(share=request.param, seed=7)
    share: float = request.param
    return share


def assert_injected(emulator: GcsEmulator, share: float) -> None:
    """The test did meet its faults, in about the share that was asked for."""
    counts = emulator.counts()
    if share:
        assert emulator.num_faults() >= max(1, 0.4 * share * counts["requests"]), counts
    else:
        assert emulator.num_faults() == 0


def test_bytes(store: Store, gcs_emulator: GcsEmulator, share: float) -> None:
    for _ in range(3):
        store_checks.check_bytes(store)
    assert_injected(gcs_emulator, share)


def test_listing(store: Store, gcs_emulator: GcsEmulator, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcs, "_PAGE_SIZE", 2)  # so that six objects are three pages
    store_checks.check_listing(store)
    assert_injected(gcs_emulator, share)


def test_deleting(store: Store, gcs_emulator: GcsEmulator, share: float) -> None:
    for _ in range(3):
        store_checks.check_deleting(store)
        store.delete("ab")
    assert_injected(gcs_emulator, share)


def test_large_transfers(store: Store, gcs_emulator: GcsEmulator, share: float, tmp_path: Path) -> None:
    store_checks.check_transfers(store, tmp_path, num_bytes=3 * gcs.CHUNK_BYTES + 12_345)
    store_checks.check_transfers(store, tmp_path, num_bytes=1_000)
    checksum = store.stat("big/object").checksum
    assert checksum is not None
    assert matches_checksum(tmp_path / "local", checksum)
    big = bytes(gcs.CHUNK_BYTES + 1)
    store.write_bytes("big/bytes", big)
    assert store.read_bytes("big/bytes") == big
    assert_injected(gcs_emulator, share)


def test_open(store: Store, gcs_emulator: GcsEmulator, share: float) -> None:
    for _ in range(3):
        store_checks.check_open(store)
    assert_injected(gcs_emulator, share)


def test_versions(store: Store, gcs_emulator: GcsEmulator, share: float) -> None:
    for _ in range(3):
        store_checks.check_versions(store)
        store.delete("pointer")
    assert_injected(gcs_emulator, share)


def test_commit(store: Store, gcs_emulator: GcsEmulator, share: float, tmp_path: Path) -> None:
    store_checks.check_commit(store, tmp_path)
    assert_injected(gcs_emulator, share)


def test_no_increment_is_lost_or_counted_twice(store: Store, gcs_emulator: GcsEmulator, share: float) -> None:
    store_checks.check_increments(store, num_threads=8, times=5)
    assert_injected(gcs_emulator, share)


def test_one_creator_wins(store: Store, gcs_emulator: GcsEmulator) -> None:
    gcs_emulator.set_faults(share=0.5, kinds=["lost", "503"], seed=3)
    store_checks.check_race_to_create(store, num_threads=8)
    assert_injected(gcs_emulator, 0.5)


def test_a_creator_whose_answer_was_lost_knows_its_own_work(store: Store, gcs_emulator: GcsEmulator) -> None:
    gcs_emulator.set_faults(share=0.5, kinds=["lost"], seed=5)
    for number in range(20):
        version = store.create(f"{number}", b"same bytes for all")
        assert store.compare_and_swap(f"{number}", b"next", version) != version
    assert gcs_emulator.counts()["lost"] > 10


def test_a_pointer_that_is_swapped_often_stays_within_what_metadata_may_hold(store: Store) -> None:
    version = store.create("pointer", b"0")
    for number in range(410):
        version = store.compare_and_swap("pointer", str(number).encode(), version)
    data, read = store.read_versioned("pointer")
    assert (data, read) == (b"409", version)
    assert read.writes == version.writes
    assert len("momalisa-writes" + ",".join(read.writes)) < 8 << 10  # the limit of GCS
    assert len(read.writes) == 400


def test_a_denied_request_is_not_repeated(store: Store, gcs_emulator: GcsEmulator, tmp_path: Path) -> None:
    gcs_emulator.set_faults(deny=True)
    (tmp_path / "local").write_bytes(b"x")
    calls = [
        lambda: store.read_bytes("a"),
        lambda: store.write_bytes("a", b"x"),
        lambda: store.write_bytes("a", bytes(gcs.CHUNK_BYTES + 1)),
        store.list,
        lambda: store.stat("a"),
        lambda: store.exists("a"),
        lambda: store.delete("a"),
        lambda: store.create("a", b""),
        lambda: store.commit({"a": b""}, "DONE", b""),
    ]
    for call in calls:
        with pytest.raises(AccessDeniedError, match=r"gs://test-.*grant storage.objects"):
            call()
    assert gcs_emulator.counts()["requests"] == len(calls)


def test_a_missing_bucket_is_named(gcs_emulator: GcsEmulator) -> None:
    store = open_store("gs://no-such-bucket/prefix", retry=QUICK)
    for call in (store.list, lambda: store.read_bytes("a"), lambda: store.write_bytes("a", b"x")):
        with pytest.raises(ObjectNotFoundError, match="a bucket named 'no-such-bucket' exists"):
            call()
    assert gcs_emulator.counts()["requests"] == 3


def test_an_outage_ends_in_an_error_after_the_attempts_of_one_layer(store: Store, gcs_emulator: GcsEmulator) -> None:
    gcs_emulator.set_faults(share=1.0, kinds=["503"])
    policy = RetryPolicy(max_attempts=4, base_delay_s=0.01)
    with pytest.raises(UnavailableError, match=r"after 4 attempts.*status 503"):
        open_store(store.uri, retry=policy).read_bytes("a")
    assert gcs_emulator.counts()["requests"] == 4


def test_a_stall_is_cut_short(store: Store, gcs_emulator: GcsEmulator) -> None:
    gcs_emulator.set_faults(share=1.0, kinds=["stall"], stall_s=60.0)
    started = time.monotonic()
    with pytest.raises(UnavailableError, match="no answer in time"):
        open_store(store.uri, RetryPolicy(max_attempts=2, base_delay_s=0.01, stall_timeout_s=0.3)).read_bytes("a")
    assert time.monotonic() - started < 10


def test_an_emulator_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1"):
        open_store("gs://bucket", RetryPolicy(max_attempts=2, base_delay_s=0.01)).list()


def test_a_reader_sees_one_content_or_fails(store: Store) -> None:
    store.write_bytes("a", b"old" * 100_000)
    with store.open("a") as file:
        assert file.read(3) == b"old"
        store.write_bytes("a", b"new" * 100_000)
        file.seek(200_000)
        with pytest.raises(ObjectNotFoundError):
            file.read(3)


def test_a_writer_killed_in_mid_commit_leaves_no_marker(store: Store, gcs_emulator: GcsEmulator) -> None:
    gcs_emulator.set_faults(latency_s=0.1)
    code = (
        "import sys; from momalisa.storage import open_store;"
        "open_store(sys.argv[1]).commit({f's/{i}': b'x' for i in range(400)}, 's/DONE', b'')"
    )
    with subprocess.Popen([sys.executable, "-c", code, store.uri]) as process:
        while gcs_emulator.counts()["requests"] < 20:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    gcs_emulator.set_faults()
    assert 0 < len(store.list("s")) < 400
    assert not store.exists("s/DONE")


def test_arrow_filesystem(store: Store, gcs_emulator: GcsEmulator, share: float) -> None:
    filesystem, path = store.arrow_filesystem()
    filesystem.create_dir(f"{path}/run", recursive=True)
    for number in range(5):
        with filesystem.open_output_stream(f"{path}/run/deep/{number}.json") as stream:
            stream.write(b'{"a": ')
            stream.write(b"1}")
    table = pyarrow.table({"x": range(100_000), "text": [str(i) for i in range(100_000)]})
    parquet.write_table(table, f"{path}/run/t.parquet", filesystem=filesystem, row_group_size=10_000)
    assert parquet.read_table(f"{path}/run/t.parquet", filesystem=filesystem).equals(table)
    with filesystem.open_input_stream(f"{path}/run/deep/3.json") as stream:
        assert stream.read() == b'{"a": 1}'
    shown = {info.base_name: info.type for info in filesystem.get_file_info(FileSelector(f"{path}/run"))}
    assert shown == {"deep": FileType.Directory, "t.parquet": FileType.File}
    everything = filesystem.get_file_info(FileSelector(f"{path}/run", recursive=True))
    assert sum(info.type == FileType.File for info in everything) == 6
    filesystem.move(f"{path}/run/deep/0.json", f"{path}/run/moved.json")
    filesystem.delete_dir(f"{path}/run/deep")
    kinds = [i.type for i in filesystem.get_file_info([f"{path}/run/moved.json", f"{path}/run/deep", f"{path}/run"])]
    assert kinds == [FileType.File, FileType.NotFound, FileType.Directory]
    with pytest.raises(FileNotFoundError):
        filesystem.open_input_file(f"{path}/run/missing")
    assert_injected(gcs_emulator, share)


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")  # the very thing tested
def test_works_in_child_processes(store: Store, method: str) -> None:
    store.write_bytes("a", b"x")  # the parent has a client, with sockets and a thread
    with ProcessPoolExecutor(2, mp_context=get_context(method)) as pool:
        assert list(pool.map(store.read_bytes, ["a"] * 4)) == [b"x"] * 4
    assert store.read_bytes("a") == b"x"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
def test_memory_stays_flat(store: Store, tmp_path: Path) -> None:
    """A transfer holds a few chunks, not the file."""
    num_bytes = 160 << 20
    with (tmp_path / "big").open("wb") as file:
        file.truncate(num_bytes)
    code = (
        "import sys, re; from momalisa.storage import open_store; s = open_store(sys.argv[1]);"
        "s.write_bytes('a', b'x'); s.read_bytes('a');"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) << 10;"
        "before = peak(); s.upload(sys.argv[2], 'big'); s.download('big', sys.argv[2] + '2'); print(peak() - before)"
    )
    command = [sys.executable, "-c", code, store.uri, str(tmp_path / "big")]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout)
    assert (tmp_path / "big2").stat().st_size == num_bytes
    assert grown < 96 << 20

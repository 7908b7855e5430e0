import io
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from momalisa.artworks.images import decode
from momalisa.artworks.inspection import FACTS, inspect_pictures, read_ahead
from momalisa.storage import Store, open_store, sha256_bytes
from tests.support.shards import make_picture

LIMITS = {"min_side": 32, "max_pixels": 10_000}


def png(number: int, size: int = 40, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    make_picture(number, size, size).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def references(*rows: tuple[int, str, int]) -> pa.Table:
    return pa.Table.from_pylist([{"index": i, "key": key, "row": row} for i, key, row in rows])


def written(store: Store, **files: bytes) -> Store:
    for name, data in files.items():
        store.write_bytes(name, data)
    return store


def test_the_facts_of_a_picture(tmp_path: Path) -> None:
    data = png(1)
    store = written(open_store(tmp_path), a=data, grey=png(2, mode="L"))
    facts = inspect_pictures(references((7, "a", -1), (9, "grey", -1)), store, **LIMITS)
    assert facts.schema == FACTS
    first, second = facts.to_pylist()
    assert first["index"] == 7
    assert first["key"] == "a"
    assert first["reason"] is None
    assert first["hash"] == decode(data).hash
    assert first["file_sha256"] == sha256_bytes(data)
    assert (first["width"], first["height"], first["keeps_file"], first["num_bytes"]) == (40, 40, True, len(data))
    assert (second["keeps_file"], second["num_bytes"]) == (False, 3 * 40 * 40)


def test_the_unusable_have_a_reason_and_nothing_else(tmp_path: Path) -> None:
    store = written(open_store(tmp_path), empty=b"", text=b"hello", small=png(1, 20), large=png(1, 200))
    names = ["empty", "text", "small", "large", "gone"]
    facts = inspect_pictures(references(*((i, name, -1) for i, name in enumerate(names))), store, **LIMITS)
    reasons = [reason.partition(":")[0] for reason in facts["reason"].to_pylist()]
    assert reasons == ["empty file", "not an image", "too small", "too large", "missing file"]
    assert facts["hash"].null_count == len(names)


def test_pictures_in_parquet_are_unpacked_if_they_are_usable(tmp_path: Path) -> None:
    pictures = [png(1), b"broken", None, png(2)]
    images = pa.array(
        [{"bytes": data, "path": None} for data in pictures], pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    )
    pq.write_table(pa.table({"image": images}), tmp_path / "a.parquet", row_group_size=2)
    store, unpacked = open_store(tmp_path), open_store(tmp_path / "unpacked")
    rows = references(*((10 + row, "a.parquet", row) for row in range(4)))
    facts = inspect_pictures(rows, store, unpacked=unpacked, **LIMITS)
    assert facts["reason"].to_pylist() == [None, "not an image", "missing file", None]
    assert [entry.key for entry in unpacked.list()] == ["000000010", "000000013"]
    assert unpacked.read_bytes(facts["key"][3].as_py()) == pictures[3]


def test_reading_ahead_keeps_the_order_and_a_bound() -> None:
    begun: list[int] = []
    lock = threading.Lock()

    def read(number: int) -> int:
        with lock:
            begun.append(number)
        return number * 10

    results = read_ahead(read, range(100))
    assert [next(results) for _ in range(3)] == [0, 10, 20]
    assert len(begun) <= 3 + 4
    assert list(results) == [number * 10 for number in range(3, 100)]


def test_an_error_of_reading_ahead_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(read_ahead(lambda number: 1 // (3 - number), range(10)))

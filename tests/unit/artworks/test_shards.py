import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from momalisa.artworks.shards import SOURCE, ShardWriter, shard_schema, write_shard
from momalisa.errors import DatasetError
from momalisa.storage import open_store, sha256_bytes, sha256_file
from tests.support.shards import make_picture

PATH = "data/train-00000-of-00001.parquet"


def write_input(folder: Path, count: int, mode: str = "RGB") -> pa.Table:
    """Pictures in a folder, and the planned rows of them."""
    rows: list[dict[str, Any]] = []
    for number in range(count):
        buffer = io.BytesIO()
        make_picture(number, 40, 50).convert(mode).save(buffer, "PNG")
        name = f"{number}.png"
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(buffer.getvalue())
        origin = {
            "key": name,
            "sha256": sha256_bytes(buffer.getvalue()),
            "keeps_file": mode == "RGB",
            "on_sheet": number == 2,
        }
        row = {"image": origin, "text": f"text {number}", "file_name": name, "width": 40, "height": 50}
        rows.append({**row, "hash": f"{number:064x}", "split": "train", "title": None if number else "T"})
    schema = shard_schema(["title"])
    return pa.Table.from_pylist(rows, schema=schema.set(0, pa.field("image", SOURCE)).remove_metadata())


def test_a_shard_holds_its_rows_and_the_files_themselves(tmp_path: Path) -> None:
    rows = write_input(tmp_path / "in", 150)
    info, thumbnails = write_shard(rows, PATH, open_store(tmp_path / "in"), open_store(tmp_path / "out"))
    path = tmp_path / "out" / PATH
    table = pq.read_table(path)
    assert table.column_names == ["image", "text", "file_name", "width", "height", "hash", "split", "title"]
    assert table["image"][149].as_py() == {"bytes": (tmp_path / "in/149.png").read_bytes(), "path": "149.png"}
    assert table.drop_columns("image").replace_schema_metadata(None) == rows.drop_columns("image")
    assert (
        info.row_groups == (64, 64, 22) == tuple(pq.read_metadata(path).row_group(group).num_rows for group in range(3))
    )
    assert (info.num_bytes, info.sha256) == (path.stat().st_size, sha256_file(path))
    assert [name for name, _ in thumbnails] == ["2.png"]
    assert Image.open(io.BytesIO(thumbnails[0][1])).mode == "RGB"


def test_odd_modes_are_stored_as_rgb(tmp_path: Path) -> None:
    rows = write_input(tmp_path / "in", 3, mode="LA")
    write_shard(rows, PATH, open_store(tmp_path / "in"), open_store(tmp_path / "out"))
    for image in pq.read_table(tmp_path / "out" / PATH)["image"].to_pylist():
        stored = Image.open(io.BytesIO(image["bytes"]))
        assert (stored.format, stored.mode, stored.size) == ("PNG", "RGB", (40, 50))


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    rows = write_input(tmp_path / "in", 70)
    infos = [
        write_shard(rows, PATH, open_store(tmp_path / "in"), open_store(tmp_path / name))[0] for name in ("a", "b")
    ]
    assert infos[0] == infos[1]


def test_a_picture_that_changed_meanwhile_ends_the_attempt(tmp_path: Path) -> None:
    rows = write_input(tmp_path / "in", 5)
    (tmp_path / "in/3.png").write_bytes(b"something else")
    with pytest.raises(DatasetError, match=r"3\.png changed while"):
        write_shard(rows, PATH, open_store(tmp_path / "in"), open_store(tmp_path / "out"))
    (tmp_path / "in/3.png").unlink()
    with pytest.raises(DatasetError, match=r"3\.png vanished while"):
        write_shard(rows, PATH, open_store(tmp_path / "in"), open_store(tmp_path / "out"))
    assert not (tmp_path / "out" / PATH).exists()


def test_row_groups_are_bounded_by_bytes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("momalisa.artworks.shards._MAX_ROW_GROUP_BYTES", 1000)
    with ShardWriter(tmp_path / "a.parquet", shard_schema([])) as writer:
        for size in (400, 400, 400, 2000, 10):
            writer.add({"image": {"bytes": b"x" * size, "path": "p"}})
    assert writer.row_groups == [2, 1, 1, 1]
    assert pq.read_metadata(tmp_path / "a.parquet").num_row_groups == 4


def test_pages_are_checked_and_pictures_neither_compressed_nor_in_the_footer(tmp_path: Path) -> None:
    rows = write_input(tmp_path / "in", 3)
    write_shard(rows, PATH, open_store(tmp_path / "in"), open_store(tmp_path / "out"))
    image = pq.read_metadata(tmp_path / "out" / PATH).row_group(0).column(0)
    assert (image.path_in_schema, image.compression, image.is_stats_set) == ("image.bytes", "UNCOMPRESSED", False)
    data = bytearray((tmp_path / "out" / PATH).read_bytes())
    data[data.index(b"IHDR") + 20] ^= 1
    with pytest.raises(OSError, match=r"(?i)checksum|crc"):
        pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True).read()


def test_the_schema_tells_datasets_what_is_a_picture() -> None:
    note = json.loads(shard_schema(["title"]).metadata[b"huggingface"])
    assert note["info"]["features"]["image"] == {"_type": "Image"}
    assert note["info"]["features"]["title"] == {"dtype": "string", "_type": "Value"}

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from momalisa.artworks.parquet_source import list_parquet, read_pictures
from momalisa.artworks.sources import list_input
from momalisa.errors import DatasetError
from momalisa.storage import open_store

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write(path: Path, images: list[dict[str, Any] | None], rows_per_group: int = 100, **columns: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"image": pa.array(images, IMAGE), **columns})
    pq.write_table(table, path, row_group_size=rows_per_group)


def image(number: int) -> dict[str, Any]:
    return {"bytes": b"picture %d" % number, "path": f"{number}.png"}


def test_rows_become_references_with_their_metadata_as_text(tmp_path: Path) -> None:
    write(tmp_path / "data/a.parquet", [image(0), image(1), image(2)], 2, text=["a", "b", None], year=[1, 2, 3])
    write(tmp_path / "data/b.parquet", [image(3)], text=["d"], label=pa.array([[1, 2]]))
    (tmp_path / "README.md").write_text("hello")
    listing = list_input(str(tmp_path))
    assert listing.references.to_pylist()[2:] == [
        {"file_name": "2.png", "key": "data/a.parquet", "row": 2},
        {"file_name": "3.png", "key": "data/b.parquet", "row": 0},
    ]
    assert listing.metadata.to_pydict() == {
        "text": ["a", "b", None, "d"],
        "year": ["1", "2", "3", None],
        "label": [None, None, None, "[1, 2]"],
    }
    assert listing.task_sizes == (2, 1, 1)
    assert (listing.num_files, listing.num_containers, listing.num_rows) == (3, 2, 4)
    assert [(entry.file_name, entry.kind) for entry in listing.rejected] == [("README.md", "file")]


def test_paths_that_two_pictures_share_name_neither(tmp_path: Path) -> None:
    images = [{"bytes": b"x", "path": path} for path in ("image.png", "image.png", None, "other.png")]
    write(tmp_path / "a.parquet", images)
    found = list_parquet(open_store(tmp_path), ["a.parquet"])
    assert found.references["file_name"].to_pylist() == ["a.parquet#0", "a.parquet#1", "a.parquet#2", "other.png"]
    assert found.metadata.num_columns == 0


def test_columns_of_bytes_are_left_out_aloud(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [image(0)], mask=pa.array([{"bytes": b"m"}]), text=["t"])
    found = list_parquet(open_store(tmp_path), ["a.parquet"])
    assert found.metadata.column_names == ["text"]
    assert found.notes == ("not carried over, since they hold bytes: mask",)


def test_pictures_are_read_by_row_over_row_groups(tmp_path: Path) -> None:
    images: list[dict[str, Any] | None] = [image(number) for number in range(50)]
    images[30] = {"bytes": None, "path": "elsewhere.png"}
    write(tmp_path / "a.parquet", images, rows_per_group=20)
    found = list(read_pictures(open_store(tmp_path), "a.parquet", [0, 19, 20, 30, 37, 49]))
    assert found == [b"picture 0", b"picture 19", b"picture 20", None, b"picture 37", b"picture 49"]


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(DatasetError, match="no intact Parquet file"):
        list_parquet(open_store(tmp_path), ["bad.parquet"])
    pq.write_table(pa.table({"image": ["a.png"]}), tmp_path / "plain.parquet")
    with pytest.raises(DatasetError, match="no column image: struct<bytes, path>"):
        list_parquet(open_store(tmp_path), ["plain.parquet"])
    write(tmp_path / "empty.parquet", [])
    with pytest.raises(DatasetError, match="have no rows"):
        list_parquet(open_store(tmp_path), ["empty.parquet"])

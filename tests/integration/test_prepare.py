"""Artworks to shards on a real local Ray."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from PIL import Image

from momalisa.artworks.dataset import StoredDataset
from momalisa.artworks.prepare import PrepareConfig, prepare
from momalisa.errors import ConfigError, DatasetError, StorageError
from momalisa.storage import open_store
from tests.support.gcs_emulator import GcsEmulator

CONFIG = PrepareConfig(caption_template="{title} by {artist}", validation_share=0.3, shard_rows=10)


@pytest.fixture(scope="module", autouse=True)
def _ray() -> object:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=128 * 2**20)
    yield
    ray.shutdown()


def picture(number: int, size: tuple[int, int] = (40, 36)) -> Image.Image:
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def write_input(folder: Path, count: int) -> list[dict[str, object]]:
    (folder / "images").mkdir(parents=True)
    rows: list[dict[str, object]] = []
    for number in range(count):
        name = f"images/{number:03d}.png"
        picture(number).save(folder / name)
        rows.append({"file_name": name, "title": f"Untitled {number}", "artist": "Anon", "year": 1900 + number})
    write_metadata(folder, rows)
    return rows


def write_metadata(folder: Path, rows: list[dict[str, object]]) -> None:
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def quarantine(output: Path) -> dict[str, str]:
    lines = [json.loads(line) for line in (output / "quarantine.jsonl").read_text().splitlines()]
    return {line["file_name"]: line["reason"] for line in lines}


def test_every_kind_of_broken_input_is_accounted_for(tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    rows = write_input(source, 24)
    good = (source / "images/000.png").read_bytes()
    broken = {
        "empty.png": b"",
        "text.jpg": b"no picture",
        "cut.png": good[: len(good) // 2],
        "copy.png": good,
        "orphan.png": good,
    }
    for name, data in broken.items():
        (source / "images" / name).write_bytes(data)
    buffer = io.BytesIO()
    picture(99, (8, 8)).save(buffer, "PNG")
    (source / "images/small.png").write_bytes(buffer.getvalue())
    (source / "notes.txt").write_text("hello")
    names = ["empty.png", "text.jpg", "cut.png", "copy.png", "small.png", "gone.png"]
    rows += [{"file_name": f"images/{name}", "title": "T", "artist": "A"} for name in names]
    rows += [{"file_name": "../outside.png", "title": "T", "artist": "A"}]
    rows[5]["artist"] = ""
    write_metadata(source, rows)
    manifest = prepare(CONFIG, str(source), str(output))
    found = quarantine(output)
    assert found["images/empty.png"] == "empty file"
    assert found["images/text.jpg"] == "not an image"
    assert found["images/cut.png"].startswith("broken")
    assert found["images/copy.png"] == "duplicate: the same picture as images/000.png"
    assert found["images/small.png"].startswith("too small")
    assert found["images/gone.png"] == "metadata row without a file"
    assert found["../outside.png"].startswith("unsafe file_name")
    assert found["images/orphan.png"] == "no metadata row"
    assert found["images/005.png"] == "empty caption"
    assert found["notes.txt"] == "not an image"
    assert manifest.num_rows == 23
    assert manifest.inputs.num_written + manifest.inputs.num_quarantined == 23 + len(found)
    assert (output / "contact_sheet.png").is_file()


def test_the_same_bytes_whatever_the_parallelism_and_the_order(tmp_path: Path) -> None:
    source = tmp_path / "in"
    rows = write_input(source, 24)
    one = prepare(CONFIG, str(source), str(tmp_path / "one"))
    write_metadata(source, rows[::-1])
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = not context.execution_options.preserve_order
    two = prepare(CONFIG, str(source), str(tmp_path / "two"))
    assert one == two
    for shard in one.shards:
        assert (tmp_path / "one" / shard.path).read_bytes() == (tmp_path / "two" / shard.path).read_bytes()


def test_adding_artworks_moves_none_between_the_splits(tmp_path: Path) -> None:
    first, second = tmp_path / "few", tmp_path / "many"
    write_input(first, 20)
    write_input(second, 40)
    splits = []
    for source in (first, second):
        output = tmp_path / f"{source.name}-out"
        prepare(CONFIG, str(source), str(output))
        tables = [pq.read_table(path, columns=["hash", "split"]) for path in sorted((output / "data").glob("*"))]
        table = pa.concat_tables(tables)
        splits.append(dict(zip(table["hash"].to_pylist(), table["split"].to_pylist(), strict=True)))
    assert splits[0].items() <= splits[1].items()
    assert set(splits[0].values()) == {"train", "validation"}


@pytest.mark.filterwarnings("ignore")
def test_datasets_shows_pictures_at_once(tmp_path: Path) -> None:
    import datasets

    write_input(tmp_path / "in", 20)
    prepare(CONFIG, str(tmp_path / "in"), str(tmp_path / "out"))
    files = [str(path) for path in sorted((tmp_path / "out/data").glob("train-*"))]
    loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))["train"]
    assert isinstance(loaded[0]["image"], Image.Image)
    assert loaded[0]["image"].size == (40, 36)
    assert loaded[0]["text"].startswith("Untitled")
    assert loaded[0]["year"].startswith("19")


def test_parquet_and_csv_are_read_as_well(tmp_path: Path) -> None:
    write_input(tmp_path / "in", 16)
    first = prepare(CONFIG, str(tmp_path / "in"), str(tmp_path / "one"))
    again = PrepareConfig(caption_template="{text}", validation_share=0.3, shard_rows=10)
    second = prepare(again, str(tmp_path / "one/data"), str(tmp_path / "two"))
    assert second.num_rows == first.num_rows
    lines = ["file_name,title,artist", *(f"images/{n:03d}.png,Untitled {n},Anon" for n in range(16))]
    (tmp_path / "in/list.csv").write_text("\n".join(lines))
    third = prepare(CONFIG, str(tmp_path / "in/list.csv"), str(tmp_path / "three"))
    assert third.num_rows == 16
    assert StoredDataset.open(str(tmp_path / "three")).num_rows("train") == first.splits["train"]


def test_wrong_input_names_the_fix(tmp_path: Path) -> None:
    write_input(tmp_path / "in", 8)
    with pytest.raises(ConfigError, match="artist, title, year"):
        prepare(PrepareConfig(), str(tmp_path / "in"), str(tmp_path / "out"))
    with pytest.raises(DatasetError, match=r"metadata\.jsonl"):
        prepare(CONFIG, str(tmp_path / "nowhere"), str(tmp_path / "out"))
    prepare(
        PrepareConfig(caption_template="{title}", validation_share=0.5), str(tmp_path / "in"), str(tmp_path / "out")
    )
    with pytest.raises(DatasetError, match="--overwrite"):
        prepare(CONFIG, str(tmp_path / "in"), str(tmp_path / "out"))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_dataset_that_is_there_is_recognised_completed_or_refused(tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    rows = write_input(source, 24)
    said: list[str] = []
    first = prepare(CONFIG, str(source), str(output))
    before = tree(output)
    assert prepare(CONFIG, str(source), str(output), say=said.append) == first
    assert "nothing to do" in said[0]
    (output / "manifest.json").unlink()  # as an attempt leaves it that was killed before its end
    (output / first.shards[0].path).write_bytes(b"half")
    (output / "data/train-00000-of-00099.parquet").write_bytes(b"of an earlier plan")
    assert prepare(CONFIG, str(source), str(output)) == first
    assert tree(output) == before
    write_metadata(source, rows[:-1])
    with pytest.raises(DatasetError, match="--overwrite"):
        prepare(CONFIG, str(source), str(output))
    assert tree(output) == before
    assert prepare(CONFIG, str(source), str(output), overwrite=True).num_rows == 23


def test_parquet_gives_the_pictures_of_the_folder_it_came_from(tmp_path: Path) -> None:
    write_input(tmp_path / "in", 20)
    for number in (3, 4):
        picture(number).convert("L").save(tmp_path / f"in/images/{number:03d}.png")
    first = prepare(CONFIG, str(tmp_path / "in"), str(tmp_path / "one"))
    said: list[str] = []
    second = prepare(CONFIG, str(tmp_path / "one/data"), str(tmp_path / "two"), say=said.append)
    assert [shard.sha256 for shard in second.shards] == [shard.sha256 for shard in first.shards]
    assert second.inputs.num_files == len(first.shards)
    assert "note: columns made anew: width, height, hash, split" in said
    assert not (tmp_path / "two/unpacked").exists()


def test_a_task_that_fails_tells_it_in_our_words(tmp_path: Path) -> None:
    write_input(tmp_path / "in", 12)
    blocked = tmp_path / "out/data"
    blocked.parent.mkdir()
    blocked.write_text("a file where a folder must be")
    with pytest.raises(StorageError, match=r"is a file, not a folder|an object stands where a folder must be"):
        prepare(CONFIG, str(tmp_path / "in"), str(tmp_path / "out"))
    assert not (tmp_path / "out/manifest.json").exists()


def test_every_odd_mode_is_stored_as_rgb(tmp_path: Path) -> None:
    source = tmp_path / "in"
    rows = write_input(source, 12)
    odd = {"grey.png": "L", "palette.gif": "P", "ink.jpg": "CMYK", "clear.png": "RGBA", "grey.webp": "L"}
    for name, mode in odd.items():
        picture(len(rows)).convert(mode).save(source / "images" / name)
        rows.append({"file_name": f"images/{name}", "title": name, "artist": "A"})
    deep = np.linspace(0, 65535, 40 * 40, dtype=np.uint16).reshape(40, 40)
    Image.fromarray(deep).save(source / "images/deep.tif")
    rows.append({"file_name": "images/deep.tif", "title": "deep", "artist": "A"})
    write_metadata(source, rows)
    manifest = prepare(CONFIG, str(source), str(tmp_path / "out"))
    assert manifest.num_rows == 12 + len(odd) + 1
    for shard in manifest.shards:
        for row in pq.read_table(tmp_path / "out" / shard.path).to_pylist():
            stored = Image.open(io.BytesIO(row["image"]["bytes"]))
            assert stored.mode == "RGB"
            assert stored.size == (row["width"], row["height"])


def test_a_bucket_that_fails_a_tenth_of_the_time(tmp_path: Path, gcs_bucket: str, faulty_gcs: GcsEmulator) -> None:
    write_input(tmp_path / "in", 24)
    bucket = open_store(gcs_bucket)
    for path in (tmp_path / "in").rglob("*.*"):
        bucket.upload(path, f"in/{path.relative_to(tmp_path / 'in')}")
    expected = prepare(CONFIG, str(tmp_path / "in"), str(tmp_path / "out"))
    found = prepare(CONFIG, f"{gcs_bucket}/in", f"{gcs_bucket}/out")
    assert found == expected
    assert faulty_gcs.num_faults() > 0
    output = bucket.child("out")
    assert {entry.key: output.read_bytes(entry.key) for entry in output.list()} == tree(tmp_path / "out")

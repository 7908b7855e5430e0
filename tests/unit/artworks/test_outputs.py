from dataclasses import asdict
from pathlib import Path

import pytest

from momalisa.artworks.manifest import MANIFEST_NAME, DatasetManifest, ShardInfo
from momalisa.artworks.outputs import check_output, clear, require_same
from momalisa.artworks.plan import Plan
from momalisa.artworks.prepare import PrepareConfig
from momalisa.artworks.quarantine import QUARANTINE_NAME, account_for
from momalisa.artworks.shards import shard_schema, write_shard
from momalisa.errors import DatasetError
from momalisa.storage import Store, open_store
from tests.unit.artworks.test_plan import fact, listing_of, plan
from tests.unit.artworks.test_shards import write_input

CONFIG = asdict(PrepareConfig(caption_template="{text}", validation_share=0.3))


def planned(folder: Path, count: int = 12, text: str = "picture") -> Plan:
    """The plan of pictures that lie in the folder."""
    origins = write_input(folder, count)["image"].to_pylist()
    listing = listing_of([f"{n}.png" for n in range(count)], text=[f"{text} {n}" for n in range(count)])
    return plan(listing, [fact(n, n) | {"file_sha256": origins[n]["sha256"]} for n in range(count)])


def written(output: Store, made: Plan, source: Path) -> DatasetManifest:
    """Writes the planned dataset, without a contact sheet."""
    clear(output, made)
    shards: list[ShardInfo] = [write_shard(s.rows, s.path, open_store(source), output)[0] for s in made.shards]
    listing = listing_of([f"{n}.png" for n in range(made.num_rows)])
    manifest = DatasetManifest(
        num_rows=made.num_rows,
        splits=made.splits,
        columns=tuple(shard_schema(made.metadata_columns).names),
        shards=tuple(shards),
        statistics=made.statistics,
        inputs=account_for(listing, made),
        config=CONFIG,
        git_commit=None,
        momalisa_version="0",
    )
    output.write_bytes(MANIFEST_NAME, manifest.model_dump_json().encode())
    return manifest


def test_an_empty_folder_is_fine_and_left_empty(tmp_path: Path) -> None:
    output = open_store(tmp_path / "out")
    assert check_output(output, open_store(tmp_path / "in"), CONFIG, overwrite=False) is None
    assert output.list() == []


def test_the_same_dataset_is_recognised(tmp_path: Path) -> None:
    output, made = open_store(tmp_path / "out"), planned(tmp_path / "in")
    manifest = written(output, made, tmp_path / "in")
    assert check_output(output, open_store(tmp_path / "in"), CONFIG, overwrite=False) == manifest
    assert check_output(output, open_store(tmp_path / "in"), CONFIG, overwrite=True) is None
    require_same(manifest, made, output)


def test_another_dataset_is_never_replaced_unasked(tmp_path: Path) -> None:
    output, source = open_store(tmp_path / "out"), open_store(tmp_path / "in")
    made = planned(tmp_path / "in")
    manifest = written(output, made, tmp_path / "in")
    with pytest.raises(DatasetError, match="made with other settings: give another --output, or --overwrite"):
        check_output(output, source, CONFIG | {"min_side": 64}, overwrite=False)
    with pytest.raises(DatasetError, match=r"other rows in data/.*--overwrite"):
        require_same(manifest, planned(tmp_path / "in", text="pictura"), output)
    with pytest.raises(DatasetError, match=r"another dataset.*other pictures"):
        require_same(manifest, planned(tmp_path / "in2", 13), output)
    (tmp_path / "out" / MANIFEST_NAME).write_text("{}")
    with pytest.raises(DatasetError, match="not a manifest of this version"):
        check_output(output, source, CONFIG, overwrite=False)


def test_a_damaged_dataset_is_not_taken_for_the_same(tmp_path: Path) -> None:
    output, made = open_store(tmp_path / "out"), planned(tmp_path / "in")
    manifest = written(output, made, tmp_path / "in")
    shard = manifest.shards[0].path
    output.write_bytes(shard, output.read_bytes(shard)[:-1])
    with pytest.raises(DatasetError, match="is damaged"):
        require_same(manifest, made, output)
    output.delete(shard)
    with pytest.raises(DatasetError, match="is incomplete"):
        require_same(manifest, made, output)


def test_shards_of_someone_else_are_not_touched(tmp_path: Path) -> None:
    output = open_store(tmp_path / "out")
    output.write_bytes("data/train-00000-of-00009.parquet", b"theirs")
    with pytest.raises(DatasetError, match="was not written here by this program"):
        check_output(output, open_store(tmp_path / "in"), CONFIG, overwrite=False)
    output.write_bytes(QUARANTINE_NAME, b"")  # what an attempt that was killed leaves
    assert check_output(output, open_store(tmp_path / "in"), CONFIG, overwrite=False) is None


def test_clearing_removes_the_manifest_and_old_shards_alone(tmp_path: Path) -> None:
    output, made = open_store(tmp_path / "out"), planned(tmp_path / "in")
    kept = made.shards[0].path
    for key in (MANIFEST_NAME, kept, "data/train-00000-of-00009.parquet", "data/notes.txt", "caches/a/manifest.json"):
        output.write_bytes(key, b"x")
    clear(output, made)
    assert [entry.key for entry in output.list()] == ["caches/a/manifest.json", "data/notes.txt", kept, QUARANTINE_NAME]


def test_an_output_that_cannot_be_is_refused(tmp_path: Path) -> None:
    source = open_store(tmp_path / "in")
    for inside in ("in", "in/dataset"):
        with pytest.raises(DatasetError, match="give a folder beside it"):
            check_output(open_store(tmp_path / inside), source, CONFIG, overwrite=True)
    assert check_output(open_store(tmp_path / "in-dataset"), source, CONFIG, overwrite=True) is None
    with pytest.raises(DatasetError, match="give a folder or a bucket"):
        check_output(open_store("memory://x"), source, CONFIG, overwrite=True)

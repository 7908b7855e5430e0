import json

import numpy as np
import pytest

from momalisa.artworks.dataset import StoredDataset
from momalisa.errors import DatasetError
from momalisa.storage import open_store
from tests.support.shards import rewrite_manifest, write_dataset


def test_row_groups_cover_a_split_in_order(tmp_path):
    write_dataset(str(tmp_path), num_train=20, num_validation=6, rows_per_group=4, rows_per_shard=10)
    dataset = StoredDataset.open(str(tmp_path))
    assert dataset.num_rows("train") == 20
    assert dataset.num_rows("validation") == 6
    groups = dataset.row_groups("train")
    assert [(g.start, g.num_rows, g.number) for g in groups] == [
        (0, 4, 0),
        (4, 4, 1),
        (8, 2, 2),
        (10, 4, 0),
        (14, 4, 1),
        (18, 2, 2),
    ]
    assert [(g.start, g.num_rows) for g in dataset.row_groups("train", 9)] == [(0, 4), (4, 4), (8, 1)]


def test_sizes(tmp_path):
    write_dataset(str(tmp_path), num_train=5, sizes=((40, 30), (20, 50)))
    widths, heights = StoredDataset.open(str(tmp_path)).sizes("train")
    np.testing.assert_array_equal(widths, [40, 20, 40, 20, 40])
    np.testing.assert_array_equal(heights, [30, 50, 30, 50, 30])
    assert len(StoredDataset.open(str(tmp_path)).sizes("train", 3)[0]) == 3


def test_no_dataset_names_the_fix(tmp_path):
    with pytest.raises(DatasetError, match=r"no manifest\.json; make it with python jobs/prepare\.py"):
        StoredDataset.open(str(tmp_path / "nothing"))


@pytest.mark.parametrize("changes", [{"schema_version": 2}, {"num_rows": "many"}, {"surprise": 1}])
def test_another_schema(tmp_path, changes):
    write_dataset(str(tmp_path))
    rewrite_manifest(str(tmp_path), **changes)
    with pytest.raises(DatasetError, match="no dataset manifest of schema version 1"):
        StoredDataset.open(str(tmp_path))


def test_a_manifest_that_contradicts_itself(tmp_path):
    write_dataset(str(tmp_path))
    shards = json.loads((tmp_path / "manifest.json").read_text())["shards"]
    shards[0]["row_groups"] = [1]
    rewrite_manifest(str(tmp_path), shards=shards)
    with pytest.raises(DatasetError, match="contradicts itself"):
        StoredDataset.open(str(tmp_path))


def test_a_missing_shard_is_named(tmp_path):
    manifest = write_dataset(str(tmp_path))
    open_store(str(tmp_path)).delete(manifest.shards[1].path)
    with pytest.raises(DatasetError, match=f"{manifest.shards[1].path} is missing"):
        StoredDataset.open(str(tmp_path))


def test_a_shard_of_another_size_is_named(tmp_path):
    manifest = write_dataset(str(tmp_path))
    open_store(str(tmp_path)).write_bytes(manifest.shards[0].path, b"short")
    with pytest.raises(DatasetError, match=f"{manifest.shards[0].path} has 5 bytes"):
        StoredDataset.open(str(tmp_path))

import pytest

from momalisa.artworks.dataset import StoredDataset
from momalisa.artworks.reading import ShardReader
from momalisa.errors import IntegrityError
from tests.support.counting import CountingStore
from tests.support.shards import write_dataset


class Kept:
    """A range cache in memory."""

    def __init__(self):
        self.ranges = {}

    def read(self, shard, span):
        return self.ranges.get((shard.path, span))

    def write(self, shard, span, data):
        self.ranges[shard.path, span] = data

    def discard(self, shard, span):
        self.ranges.pop((shard.path, span), None)


@pytest.fixture
def dataset(tmp_path):
    write_dataset(str(tmp_path), num_train=12, rows_per_group=4)
    return StoredDataset.open(str(tmp_path))


def damage(dataset, marker, replacement):
    """Overwrites bytes in the first shard's file."""
    path = dataset.store.local_path / dataset.manifest.shards[0].path
    data = path.read_bytes()
    assert marker in data
    path.write_bytes(data.replace(marker, replacement, 1))


def test_reads_the_rows_of_a_row_group(dataset):
    shard = dataset.manifest.shards[0]
    table = ShardReader(dataset.store).read(shard, 1, ("image.bytes", "text", "width"))
    assert table.column_names == ["image", "text", "width"]
    rows = table.to_pylist()
    assert [row["text"] for row in rows] == [f"picture {i} of train" for i in range(4, 8)]
    assert list(rows[0]["image"]) == ["bytes"]
    assert rows[0]["image"]["bytes"].startswith(b"\x89PNG")


def test_a_row_group_costs_one_request_after_the_footer(dataset):
    store = CountingStore(dataset.store)
    reader, shard = ShardReader(store), dataset.manifest.shards[0]
    for row_group in range(3):
        reader.read(shard, row_group, ("image.bytes", "text", "file_name", "hash"))
    assert len(store.reads) == 4


def test_a_range_that_is_at_hand_is_not_fetched(dataset):
    store, kept = CountingStore(dataset.store), Kept()
    shard = dataset.manifest.shards[0]
    first = ShardReader(store, kept).read(shard, 0, ("text",))
    store.reads.clear()
    assert ShardReader(store, kept).read(shard, 0, ("text",)) == first
    assert len(store.reads) == 1  # the footer


def test_a_damaged_range_at_hand_is_fetched_again(dataset):
    kept, shard = Kept(), dataset.manifest.shards[0]
    reader = ShardReader(dataset.store, kept)
    first = reader.read(shard, 0, ("text",))
    ((key, data),) = kept.ranges.items()
    kept.ranges[key] = bytes(len(data))
    assert reader.read(shard, 0, ("text",)) == first
    assert kept.ranges[key] == data


def test_changed_bytes_are_noticed_and_the_file_named(dataset):
    damage(dataset, b"picture 5 of train", b"picture 6 of train")
    reader, shard = ShardReader(dataset.store), dataset.manifest.shards[0]
    reader.read(shard, 0, ("text",))
    with pytest.raises(IntegrityError, match=rf"{shard.path} is damaged: row group 1"):
        reader.read(shard, 1, ("text",))


def test_a_shard_cut_short_is_named(dataset):
    shard = dataset.manifest.shards[0]
    path = dataset.store.local_path / shard.path
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(IntegrityError, match=rf"{shard.path} is cut short"):
        ShardReader(dataset.store).read(shard, 0, ("text",))


def test_a_file_that_is_no_parquet_is_named(dataset):
    shard = dataset.manifest.shards[0]
    (dataset.store.local_path / shard.path).write_bytes(bytes(shard.num_bytes))
    with pytest.raises(IntegrityError, match=rf"{shard.path} is no Parquet file"):
        ShardReader(dataset.store).read(shard, 0, ("text",))


def test_a_damaged_footer_is_named(dataset):
    shard = dataset.manifest.shards[0]
    path = dataset.store.local_path / shard.path
    data = bytearray(path.read_bytes())
    data[-60:-8] = bytes(52)
    length = int.from_bytes(data[-8:-4], "little")
    data[-8 - length : -8 - length + 40] = b"\xff" * 40
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=rf"{shard.path} has a damaged footer"):
        ShardReader(dataset.store).read(shard, 0, ("text",))


def test_a_missing_column_and_a_missing_file_are_named(dataset):
    shard = dataset.manifest.shards[0]
    with pytest.raises(IntegrityError, match="has no column artist"):
        ShardReader(dataset.store).read(shard, 0, ("text", "artist"))
    dataset.store.delete(shard.path)
    with pytest.raises(IntegrityError, match=f"{shard.path} is gone"):
        ShardReader(dataset.store).read(shard, 0, ("text",))


def test_other_rows_than_the_manifest_says(dataset):
    shard = dataset.manifest.shards[0].model_copy(update={"row_groups": (5, 4, 3)})
    with pytest.raises(IntegrityError, match="other rows than the manifest says"):
        ShardReader(dataset.store).read(shard, 0, ("text",))

import os

from momalisa.artworks.manifest import ShardInfo
from momalisa.training.local_cache import LocalCache

SHARD = ShardInfo(path="data/a.parquet", split="train", num_rows=1, row_groups=(1,), num_bytes=1000, sha256="ab")


def fill(cache, *starts, size=100):
    for start in starts:
        cache.write(SHARD, (start, start + size), bytes([start % 256]) * size)


def kept(cache, *starts, size=100):
    return [start for start in starts if cache.read(SHARD, (start, start + size)) is not None]


def grow_old(folder):
    for path in folder.iterdir():
        os.utime(path, (1, 1))


def test_keeps_what_it_was_given_also_for_the_next_run(tmp_path):
    fill(LocalCache(tmp_path, 1000), 1, 2)
    cache = LocalCache(tmp_path, 1000)
    assert cache.read(SHARD, (1, 101)) == b"\x01" * 100
    assert kept(cache, 1, 2, 3) == [1, 2]


def test_another_content_of_the_same_name_is_another_range(tmp_path):
    cache = LocalCache(tmp_path, 1000)
    fill(cache, 1)
    assert cache.read(SHARD.model_copy(update={"sha256": "cd"}), (1, 101)) is None


def test_stays_within_its_bound_and_keeps_what_this_run_uses(tmp_path):
    cache = LocalCache(tmp_path, 350)
    fill(cache, 1, 2, 3, 4, 5)
    assert kept(cache, 1, 2, 3, 4, 5) == [1, 2, 3]


def test_what_earlier_runs_left_makes_room(tmp_path):
    fill(LocalCache(tmp_path, 350), 1, 2, 3)
    grow_old(tmp_path)
    cache = LocalCache(tmp_path, 350)
    assert kept(cache, 2) == [2]
    fill(cache, 4, 5, 6)
    assert kept(cache, 1, 2, 3, 4, 5, 6) == [2, 4, 5]


def test_a_range_larger_than_the_bound_is_not_kept(tmp_path):
    cache = LocalCache(tmp_path, 350)
    fill(cache, 1, size=400)
    fill(cache, 2)
    assert kept(cache, 1, size=400) == []
    assert kept(cache, 2) == [2]


def test_two_ranks_share_the_bound(tmp_path):
    first, second = LocalCache(tmp_path, 10_000), LocalCache(tmp_path, 10_000)
    for start in range(0, 200, 2):
        fill(first, start)
        fill(second, start + 1)
    total = sum(path.stat().st_size for path in tmp_path.iterdir())
    # Each counts anew after 32 writes: so much may be over.
    assert total <= 10_000 + 2 * 32 * 100


def test_a_cut_file_is_not_used_and_a_discarded_one_gone(tmp_path):
    cache = LocalCache(tmp_path, 1000)
    fill(cache, 1, 2)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:50])
    assert kept(cache, 1, 2) == []
    fill(cache, 1)
    cache.discard(SHARD, (1, 101))
    assert kept(cache, 1) == []


def test_a_file_where_the_folder_should_be_is_no_error(tmp_path):
    (tmp_path / "cache").write_bytes(b"")
    cache = LocalCache(tmp_path / "cache", 1000)
    fill(cache, 1)
    assert kept(cache, 1) == []

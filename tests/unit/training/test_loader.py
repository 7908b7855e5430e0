import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from momalisa.artworks import reading
from momalisa.artworks.dataset import StoredDataset
from momalisa.errors import ConfigError, IntegrityError, UnavailableError
from momalisa.training.config import DataConfig
from momalisa.training.loader import TrainLoader
from tests.support.counting import CountingStore
from tests.support.shards import write_dataset

CONFIG = DataConfig(resolution=32, num_streams=4, shuffle_buffer=6, num_decode_threads=2, prefetch_batches=2)
RANDOM = DataConfig(resolution=32, crop="random", random_flip=True, num_streams=4, shuffle_buffer=6)
BUCKETS = DataConfig(resolution=32, aspect_buckets=True, num_streams=4, shuffle_buffer=6)
SIZES = ((40, 40), (60, 40), (40, 64))


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("dataset"))
    write_dataset(folder, num_train=44, rows_per_group=4, rows_per_shard=20, sizes=SIZES)
    return folder


@pytest.fixture
def dataset(uri):
    return StoredDataset.open(uri)


def make_loader(dataset, config=CONFIG, **changes):
    options = {
        "seed": 1,
        "rank": 0,
        "world_size": 1,
        "global_batch_size": 12,
        "micro_batch_size": 2,
        "latent_channels": 4,
        "vae_scale_factor": 4,
        "num_train_timesteps": 1000,
        "with_perturbation": True,
        "cache": None,
        "stop_step": 8,
    }
    return TrainLoader(dataset, config, **{**options, **changes})


def collect(*args, **changes):
    with make_loader(*args, **changes) as loader:
        return list(loader)


def tensors(batch):
    names = ("pixel_values", "noise", "latent_noise", "offset_noise", "perturbation_noise", "timesteps")
    return {name: getattr(batch, name) for name in names}


def by_sample(steps):
    """Everything that is given for each (step, epoch, index)."""
    samples = {}
    for number, step in enumerate(steps):
        for batch in step:
            for slot, (epoch, index) in enumerate(zip(batch.epochs, batch.sample_indices, strict=True)):
                content = {name: tensor[slot] for name, tensor in tensors(batch).items()}
                key = (number, int(epoch), int(index))
                assert key not in samples
                samples[key] = {**content, "caption": batch.captions[slot], "name": batch.names[slot]}
    return samples


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key, sample in a.items():
        for name, value in sample.items():
            other = b[key][name]
            assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other, (key, name)


def test_shapes_and_ranges(dataset):
    steps = collect(dataset)
    assert [len(step) for step in steps] == [6] * 8
    batch = steps[0][0]
    assert batch.pixel_values.shape == (2, 3, 32, 32)
    assert batch.noise.shape == batch.latent_noise.shape == batch.perturbation_noise.shape == (2, 4, 8, 8)
    assert batch.offset_noise.shape == (2, 4, 1, 1)
    assert batch.timesteps.dtype == torch.int64
    assert batch.latent_mean is batch.latent_std is batch.text_embeddings is None
    for step in steps:
        for one in step:
            assert -1 <= float(one.pixel_values.min()) < float(one.pixel_values.max()) <= 1
            assert len(one.names) == len(one.captions) == 2


def test_samples_come_with_their_own_caption_and_pixels(dataset):
    for (_, _, index), sample in by_sample(collect(dataset)).items():
        assert sample["name"].startswith(f"train-{index:05d}.png (")
        assert sample["caption"] in ("", f"picture {index} of train")
    same = {}
    for (_, _, index), sample in by_sample(collect(dataset)).items():
        assert torch.equal(same.setdefault(index, sample["pixel_values"]), sample["pixel_values"])
    assert len({pixels.numpy().tobytes() for pixels in same.values()}) == len(same) == 44


@pytest.mark.parametrize("config", [CONFIG, RANDOM, BUCKETS])
def test_the_same_again(dataset, config):
    assert_same(by_sample(collect(dataset, config)), by_sample(collect(dataset, config)))


@pytest.mark.parametrize("config", [CONFIG, RANDOM, BUCKETS])
@pytest.mark.parametrize("world_size", [2, 3, 6])
def test_a_step_holds_the_same_samples_whatever_the_number_of_workers(dataset, config, world_size):
    alone = by_sample(collect(dataset, config))
    together = {}
    for rank in range(world_size):
        share = by_sample(collect(dataset, config, rank=rank, world_size=world_size))
        assert len(share) == 8 * 12 // world_size
        assert not together.keys() & share.keys()
        together |= share
    assert_same(alone, together)


@pytest.mark.parametrize("config", [CONFIG, BUCKETS])
def test_starting_at_a_step_equals_continuing_to_it(dataset, config):
    continued = collect(dataset, config)[5:]
    assert_same(by_sample(continued), by_sample(collect(dataset, config, start_step=5)))


def test_every_sample_once_per_epoch(dataset):
    uses = Counter(
        (epoch, index)
        for step in collect(dataset, stop_step=11)
        for batch in step
        for epoch, index in zip(batch.epochs.tolist(), batch.sample_indices.tolist(), strict=True)
    )
    assert uses == Counter((epoch, index) for epoch in range(3) for index in range(44))


def test_a_step_of_buckets_is_of_one_size(dataset):
    shapes = set()
    for step in collect(dataset, BUCKETS, stop_step=12):
        (shape,) = {tuple(batch.pixel_values.shape[2:]) for batch in step}
        assert all(tuple(batch.noise.shape[2:]) == (shape[0] // 4, shape[1] // 4) for batch in step)
        shapes.add(shape)
    assert len(shapes) == 3


def test_the_first_samples_alone(dataset):
    config = DataConfig(resolution=32, max_samples=13)
    found = {index for _, _, index in by_sample(collect(dataset, config))}
    assert found == set(range(13))


def test_dropped_captions(dataset):
    dropped = [s["caption"] == "" for s in by_sample(collect(dataset, stop_step=40)).values()]
    assert 0.05 < np.mean(dropped) < 0.15
    never = DataConfig(resolution=32, caption_dropout=0)
    assert all(s["caption"] for s in by_sample(collect(dataset, never)).values())


def test_two_ranks_fetch_about_half_each_and_each_row_group_once_an_epoch(tmp_path):
    write_dataset(str(tmp_path), num_train=192, rows_per_group=8, rows_per_shard=96)
    dataset = StoredDataset.open(str(tmp_path))
    config = DataConfig(resolution=32, num_streams=8, shuffle_buffer=8)
    counts = []
    for rank in range(2):
        counted = CountingStore(dataset.store)
        collect(StoredDataset(counted, dataset.manifest), config, rank=rank, world_size=2, stop_step=16)
        counts.append(len(counted.reads) - 2)
    assert counts == [12, 12]


def test_the_local_cache_spares_the_second_epoch_its_requests(tmp_path, dataset):
    config = DataConfig(resolution=32, local_cache_mib=8)
    counted = CountingStore(dataset.store)
    local = {"local_cache_dir": tmp_path / "local"}
    first = collect(StoredDataset(counted, dataset.manifest), config, stop_step=11, **local)
    # Footers and row groups; where two epochs meet, a row group may be under way for both.
    assert len(set(counted.reads)) == 3 + 11
    assert len(counted.reads) < 3 + 2 * 11
    counted.reads.clear()
    second = collect(StoredDataset(counted, dataset.manifest), config, stop_step=11, **local)
    assert len(counted.reads) == 3
    assert_same(by_sample(first), by_sample(second))


@pytest.mark.parametrize(("num_threads", "num_prefetched"), [(1, 1), (8, 6)])
def test_threads_change_nothing_but_time(dataset, num_threads, num_prefetched):
    other = replace(CONFIG, num_decode_threads=num_threads, prefetch_batches=num_prefetched)
    assert_same(by_sample(collect(dataset)), by_sample(collect(dataset, other)))


def test_a_bucket_that_fails_is_raised_to_the_consumer(dataset):
    store = CountingStore(dataset.store, fail=lambda key: UnavailableError("the bucket is down"))
    with pytest.raises(UnavailableError, match="the bucket is down"):
        collect(StoredDataset(store, dataset.manifest))


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path, monkeypatch):
    uri = str(tmp_path)
    manifest = write_dataset(uri, num_train=12, rows_per_group=4)
    dataset = StoredDataset.open(uri)
    path = tmp_path / manifest.shards[0].path
    data = path.read_bytes()
    path.write_bytes(data.replace(b"IDAT", b"IDOT"))
    with pytest.raises(IntegrityError, match=f"{manifest.shards[0].path} is damaged"):
        collect(dataset)
    # As in a shard that was written without checksums, or of a picture that was never whole.
    open_parquet = reading.pq.ParquetFile
    monkeypatch.setattr(
        reading.pq, "ParquetFile", lambda source, metadata, **_: open_parquet(source, metadata=metadata)
    )
    with pytest.raises(IntegrityError, match=r"train-000\d\d\.png \([0-9a-f]{12}\) cannot be decoded"):
        collect(dataset)


def test_an_impossible_batch(dataset):
    with pytest.raises(ConfigError, match="12 is no multiple of 2 workers × micro_batch_size 4"):
        make_loader(dataset, world_size=2, micro_batch_size=4)


def test_closing_in_mid_run_ends_the_threads(dataset):
    def ours():
        return [t for t in threading.enumerate() if t.name.startswith("momalisa-")]

    loader = make_loader(dataset, stop_step=1000)
    batches = iter(loader)  # kept: one that nobody holds is closed at once
    next(batches)
    assert ours()
    loader.close()
    for thread in ours():
        thread.join(5)
    assert not ours()
    loader.close()

import io
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from momalisa.artworks.cache import find_cache, require_cache
from momalisa.artworks.cache_writer import write_cache
from momalisa.artworks.dataset import StoredDataset
from momalisa.diffusion.encode import encode_images, encode_prompts
from momalisa.diffusion.loading import load_components
from momalisa.errors import DatasetError, IntegrityError
from momalisa.storage import open_store
from momalisa.training.config import DataConfig
from momalisa.training.loader import TrainLoader
from momalisa.training.validation_data import load_validation
from tests.support.shards import write_dataset
from tests.support.small_model import NUM_TOKENS, TEXT_WIDTH, VAE_SCALE_FACTOR, write_small_model

SIZES = ((40, 40), (60, 40), (40, 64))
CONFIG = DataConfig(resolution=32, num_streams=3, shuffle_buffer=4, caption_dropout=0.3)
BUCKETS = replace(CONFIG, aspect_buckets=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(write_small_model(tmp_path_factory.mktemp("model") / "small"))


@pytest.fixture(scope="module")
def components(model):
    return load_components(model)


@pytest.fixture
def uri(tmp_path):
    uri = str(tmp_path / "dataset")
    write_dataset(uri, num_train=20, num_validation=5, rows_per_group=4, rows_per_shard=12, sizes=SIZES)
    return uri


def find(uri, components, config=CONFIG, with_text=True, **fingerprints):
    known = {**components.fingerprints, **fingerprints}
    return find_cache(StoredDataset.open(uri), fingerprints=known, data_config=config, with_text=with_text)


def require(uri, components, config=CONFIG, **fingerprints):
    known = {**components.fingerprints, **fingerprints}
    return require_cache(
        StoredDataset.open(uri), fingerprints=known, data_config=config, with_text=True, model_uri="some/model"
    )


def batches(uri, config, cache):
    options = {
        "latent_channels": 4,
        "vae_scale_factor": VAE_SCALE_FACTOR,
        "num_train_timesteps": 1000,
        "micro_batch_size": 3,
        "rank": 0,
        "world_size": 1,
        "cache": cache,
    }
    dataset = StoredDataset.open(uri)
    with TrainLoader(
        dataset, config, seed=1, global_batch_size=3, with_perturbation=False, stop_step=12, **options
    ) as loader:
        trained = [batch for step in loader for batch in step]
    return trained + list(load_validation(dataset, config, num_samples=5, timesteps_per_sample=2, seed=1, **options))


@pytest.mark.parametrize("config", [CONFIG, BUCKETS])
def test_cached_samples_agree_with_those_encoded_now(uri, model, components, config):
    write_cache(uri, model, resolution=32, aspect_buckets=config.aspect_buckets, batch_size=3)
    cached, uncached = batches(uri, config, find(uri, components, config)), batches(uri, config, None)
    assert len(cached) == len(uncached)
    dropped = 0
    for a, b in zip(cached, uncached, strict=True):
        np.testing.assert_array_equal(a.sample_indices, b.sample_indices)
        assert (a.captions, a.names) == (b.captions, b.names)
        assert torch.equal(a.noise, b.noise)
        assert torch.equal(a.timesteps, b.timesteps)
        assert a.pixel_values is None
        assert a.latent_mean.dtype == a.text_embeddings.dtype == torch.float32
        mean, std = encode_images(components.vae, b.pixel_values)
        torch.testing.assert_close(a.latent_mean, mean, rtol=2e-3, atol=2e-3)
        torch.testing.assert_close(a.latent_std, std, rtol=2e-3, atol=2e-3)
        torch.testing.assert_close(a.text_embeddings, encode_prompts(components, b.captions), rtol=2e-3, atol=2e-3)
        dropped += b.captions.count("")
    assert dropped > 0


def test_what_is_written(uri, model, components):
    seen = []
    cache = write_cache(uri, model, resolution=32, batch_size=3, progress=seen.append)
    manifest, dataset = cache.manifest, StoredDataset.open(uri)
    assert cache.name == f"vae-{components.fingerprints['vae'][:8]}-32-center"
    assert manifest.dataset_fingerprint == dataset.manifest.fingerprint
    assert manifest.text_shape == (NUM_TOKENS, TEXT_WIDTH)
    assert [(s.path, s.row_groups) for s in manifest.shards] == [
        (s.path, s.row_groups) for s in dataset.manifest.shards
    ]
    for shard in manifest.shards:
        table = pq.read_table(io.BytesIO(cache.store.read_bytes(shard.path)))
        source = pq.read_table(io.BytesIO(dataset.store.read_bytes(shard.path)))
        assert table.column("hash") == source.column("hash")
        assert {len(b) for b in table.column("latent_mean").to_pylist()} == {4 * 16 * 16 * 2}
    assert [p.num_done for p in seen][-1] == seen[-1].num_rows == 25
    assert seen[-1].eta_s == 0
    assert sorted(p.num_done for p in seen) == [p.num_done for p in seen]
    names = {entry.key.split("/")[0] for entry in cache.store.list()}
    assert names == {"data", "manifest.json", "empty_text.bin"}


def test_a_finished_cache_is_left_as_it_is(uri, model):
    first = write_cache(uri, model, resolution=32)
    before = {entry.key: first.store.local_path.joinpath(entry.key).stat().st_mtime_ns for entry in first.store.list()}
    again = write_cache(uri, model, resolution=32)
    assert again.manifest == first.manifest
    after = {entry.key: first.store.local_path.joinpath(entry.key).stat().st_mtime_ns for entry in first.store.list()}
    assert after == before


class StopError(Exception):
    pass


def test_an_interrupted_writing_goes_on_at_its_shard(uri, model, components):
    def stop(progress):
        if progress.num_done == 16:
            raise StopError

    with pytest.raises(StopError):
        write_cache(uri, model, resolution=32, progress=stop)
    assert find(uri, components) is None
    seen = []
    resumed = write_cache(uri, model, resolution=32, progress=seen.append)
    assert seen[0].num_done == 12
    assert seen[0].eta_s is None
    assert [p.num_done for p in seen] == [12, 16, 20, 24, 25]
    assert find(uri, components).manifest == resumed.manifest
    assert resumed.manifest == write_cache(uri, model, resolution=32).manifest


def test_a_damaged_shard_of_a_finished_cache_is_written_again(uri, model):
    cache = write_cache(uri, model, resolution=32)
    shard = cache.manifest.shards[1]
    data = bytearray(cache.store.read_bytes(shard.path))
    data[len(data) // 3] ^= 1
    cache.store.write_bytes(shard.path, bytes(data))
    seen = []
    mended = write_cache(uri, model, resolution=32, progress=seen.append)
    assert mended.manifest == cache.manifest
    assert [p.num_done for p in seen] == [12, 17, 21, 25]


def test_none_is_used_where_none_can_be(uri, model, components):
    write_cache(uri, model, resolution=32)
    assert find(uri, components) is not None
    for changes in ({"crop": "random"}, {"random_flip": True}, {"cache": "off"}, {"resolution": 64}):
        assert find(uri, components, replace(CONFIG, **changes)) is None
    assert find(uri, components, BUCKETS) is None


def test_several_stand_side_by_side(uri, model, components):
    write_cache(uri, model, resolution=32)
    write_cache(uri, model, resolution=32, aspect_buckets=True, max_aspect_ratio=1.5)
    write_cache(uri, model, resolution=64, text=False)
    assert find(uri, components).manifest.resolution == 32
    assert find(uri, components, replace(BUCKETS, max_aspect_ratio=1.5)) is not None
    assert find(uri, components, BUCKETS) is None
    assert find(uri, components, replace(CONFIG, resolution=64)) is None
    without = find(uri, components, replace(CONFIG, resolution=64), with_text=False)
    assert without is not None
    assert batches(uri, replace(CONFIG, resolution=64), without)[0].text_embeddings is None


def test_a_learning_text_encoder_ignores_cached_embeddings(uri, model, components):
    write_cache(uri, model, resolution=32)
    cache = find(uri, components, with_text=False, text_encoder="another")
    batch = batches(uri, CONFIG, cache)[0]
    assert batch.latent_mean is not None
    assert batch.text_embeddings is None
    assert any(batch.captions)


def test_a_cache_of_another_vae_is_refused(uri, model, tmp_path):
    write_cache(uri, model, resolution=32)
    other = load_components(str(write_small_model(tmp_path / "other", seed=1)), parts=("vae",))
    assert find(uri, other) is None
    with pytest.raises(DatasetError, match=r"made by another VAE .* make it with python jobs/prepare\.py"):
        require(uri, other)


def test_what_differs_is_said(uri, model, components):
    with pytest.raises(DatasetError, match=r"there is none; make it with .* --cache some/model --resolution 32"):
        require(uri, components)
    write_cache(uri, model, resolution=32, text=False)
    with pytest.raises(DatasetError, match="it has no text embeddings"):
        require(uri, components)
    write_cache(uri, model, resolution=32)
    assert require(uri, components).with_text
    with pytest.raises(DatasetError, match="another text encoder"):
        require(uri, components, text_encoder="f" * 64)
    with pytest.raises(DatasetError, match="its resolution is 32, not 64"):
        require(uri, components, replace(CONFIG, resolution=64))
    with pytest.raises(DatasetError, match=r"it has no aspect buckets.* --aspect-buckets"):
        require(uri, components, BUCKETS)


def test_a_cache_of_other_pictures_is_refused(uri, model, components):
    write_cache(uri, model, resolution=32)
    write_dataset(uri, num_train=21, num_validation=5, rows_per_group=4, rows_per_shard=12)
    assert find(uri, components) is None
    with pytest.raises(DatasetError, match="made of other pictures"):
        require(uri, components)


def test_an_unfinished_cache_is_none(uri, model, components):
    cache = write_cache(uri, model, resolution=32)
    cache.store.delete("manifest.json")
    assert find(uri, components) is None
    with pytest.raises(DatasetError, match="it is not complete"):
        require(uri, components)


def test_damage_is_named(uri, model, components):
    cache = write_cache(uri, model, resolution=32)
    store = open_store(cache.store.uri)
    store.write_bytes("empty_text.bin", b"x")
    with pytest.raises(IntegrityError, match=r"empty_text\.bin is damaged"):
        batches(uri, CONFIG, find(uri, components))


def test_values_that_do_not_fit_are_refused(uri, model, monkeypatch):
    from momalisa.artworks import cache_writer

    monkeypatch.setattr(
        cache_writer, "encode_images", lambda vae, pixels: (torch.full((len(pixels), 4, 16, 16), 1e6),) * 2
    )
    with pytest.raises(DatasetError, match=r"train-00000\.png .* does not fit float16: use float32"):
        write_cache(uri, model, resolution=32)


def test_float32(uri, model, components):
    write_cache(uri, model, resolution=32, dtype="float32")
    for a, b in zip(batches(uri, CONFIG, find(uri, components)), batches(uri, CONFIG, None), strict=True):
        mean, _ = encode_images(components.vae, b.pixel_values)
        torch.testing.assert_close(a.latent_mean, mean, rtol=1e-4, atol=1e-5)


def test_a_resolution_that_cannot_be(uri, model):
    with pytest.raises(DatasetError, match="33 is no multiple of 2"):
        write_cache(uri, model, resolution=33)

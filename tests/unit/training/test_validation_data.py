import numpy as np
import pytest
import torch

from momalisa.artworks.dataset import StoredDataset
from momalisa.training.config import DataConfig
from momalisa.training.validation_data import choose_rows, load_validation, validation_pictures
from tests.support.shards import write_dataset

SQUARE = DataConfig(resolution=32, crop="random", random_flip=True, caption_dropout=1.0)
BUCKETS = DataConfig(resolution=32, aspect_buckets=True)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    uri = str(tmp_path_factory.mktemp("dataset"))
    write_dataset(uri, num_validation=23, rows_per_group=4, sizes=((40, 40), (60, 40), (40, 64)))
    return StoredDataset.open(uri)


def load(dataset, config=SQUARE, **changes):
    options = {
        "num_samples": 10,
        "timesteps_per_sample": 4,
        "seed": 5,
        "rank": 0,
        "world_size": 1,
        "micro_batch_size": 3,
        "latent_channels": 4,
        "vae_scale_factor": 4,
        "num_train_timesteps": 1000,
        "cache": None,
    }
    return list(load_validation(dataset, config, **{**options, **changes}))


def flat(batches):
    return [
        (int(index), int(t), batch.pixel_values[slot], batch.noise[slot], batch.latent_noise[slot])
        for batch in batches
        for slot, (index, t) in enumerate(zip(batch.sample_indices, batch.timesteps, strict=True))
    ]


def assert_same(a, b):
    assert [x[:2] for x in a] == [x[:2] for x in b]
    for one, other in zip(a, b, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(one[2:], other[2:], strict=True))


@pytest.mark.parametrize("config", [SQUARE, BUCKETS])
def test_the_same_at_every_step(dataset, config):
    assert_same(flat(load(dataset, config)), flat(load(dataset, config)))


@pytest.mark.parametrize("config", [SQUARE, BUCKETS])
@pytest.mark.parametrize("world_size", [2, 3, 50])
def test_the_same_micro_batches_whatever_the_number_of_workers(dataset, config, world_size):
    alone = load(dataset, config)
    dealt = [b for rank in range(world_size) for b in load(dataset, config, rank=rank, world_size=world_size)]
    assert [b.sample_indices.tolist() for b in dealt] == [b.sample_indices.tolist() for b in alone]
    assert_same(flat(alone), flat(dealt))


def test_each_sample_has_spread_timesteps_its_own_noises_and_one_latent_sample(dataset):
    uses = {}
    for index, timestep, pixels, noise, latent_noise in flat(load(dataset)):
        uses.setdefault(index, []).append((timestep, pixels, noise, latent_noise))
    assert len(uses) == 10
    for own in uses.values():
        assert sorted(t // 250 for t, *_ in own) == [0, 1, 2, 3]
        assert len({noise.numpy().tobytes() for _, _, noise, _ in own}) == 4
        assert len({latent.numpy().tobytes() for *_, latent in own}) == 1
        assert len({pixels.numpy().tobytes() for _, pixels, _, _ in own}) == 1


def test_captions_are_not_dropped(dataset):
    for batch in load(dataset):
        assert batch.captions == [f"picture {i} of validation" for i in batch.sample_indices]
        assert batch.perturbation_noise is None


def test_all_of_a_small_split(dataset):
    assert len({index for index, *_ in flat(load(dataset, num_samples=1000))}) == 23


def test_rows_are_drawn_from_few_row_groups(dataset):
    groups = dataset.row_groups("validation")
    rows = choose_rows(groups, 4, seed=0)
    assert rows == sorted(set(rows))
    assert len(rows) == 4
    assert len({np.searchsorted([g.start for g in groups], row, side="right") for row in rows}) <= 3
    assert len({tuple(choose_rows(groups, 4, seed)) for seed in range(8)}) > 1


def test_pictures(dataset):
    captions, pictures = validation_pictures(dataset, SQUARE, 6)
    assert pictures.shape == (6, 32, 32, 3)
    assert pictures.dtype == np.uint8
    assert len(set(captions)) == 6
    again = validation_pictures(dataset, SQUARE, 6)
    assert again[0] == captions
    np.testing.assert_array_equal(again[1], pictures)
    assert len(validation_pictures(dataset, SQUARE, 100)[0]) == 23

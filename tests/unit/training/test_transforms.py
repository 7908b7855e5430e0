import numpy as np

from momalisa.artworks.dataset import StoredDataset
from momalisa.training.config import DataConfig
from momalisa.training.transforms import find_targets, stratified_timesteps, training_draws
from tests.support.shards import write_dataset


def test_draws_follow_the_config():
    plain = training_draws(DataConfig(caption_dropout=0), seed=1, num_train_timesteps=1000)
    assert {(d.crop, d.flip, d.drop_caption) for d in (plain(0, i) for i in range(50))} == {((0.5, 0.5), False, False)}
    config = DataConfig(crop="random", random_flip=True, caption_dropout=0.25)
    draws = [training_draws(config, seed=1, num_train_timesteps=1000)(0, i) for i in range(1000)]
    assert len({d.crop for d in draws}) == 1000
    assert 400 < sum(d.flip for d in draws) < 600
    assert 200 < sum(d.drop_caption for d in draws) < 300
    assert 0 <= min(d.timestep for d in draws) < 10
    assert 990 <= max(d.timestep for d in draws) < 1000


def test_one_switch_does_not_change_what_else_is_drawn():
    a = training_draws(DataConfig(), seed=1, num_train_timesteps=1000)(2, 5)
    b = training_draws(DataConfig(crop="random", random_flip=True), seed=1, num_train_timesteps=1000)(2, 5)
    assert (a.timestep, a.drop_caption) == (b.timestep, b.drop_caption)


def test_timesteps_are_spread_evenly():
    timesteps = stratified_timesteps(25, 4, seed=3, num_train_timesteps=1000)
    assert timesteps.shape == (25, 4)
    assert ((timesteps // 250) == np.arange(4)).all()
    assert sorted((timesteps // 10).ravel().tolist()) == list(range(100))
    np.testing.assert_array_equal(timesteps, stratified_timesteps(25, 4, seed=3, num_train_timesteps=1000))
    assert not np.array_equal(timesteps, stratified_timesteps(25, 4, seed=4, num_train_timesteps=1000))


def test_targets(tmp_path):
    write_dataset(str(tmp_path), sizes=((40, 40), (60, 40), (40, 60)))
    dataset = StoredDataset.open(str(tmp_path))
    square = find_targets(dataset, "train", DataConfig(resolution=64), vae_scale_factor=4)
    assert square.buckets is None
    assert square.size_of(7) == (64, 64)
    targets = find_targets(dataset, "train", DataConfig(resolution=64, aspect_buckets=True), vae_scale_factor=4)
    assert [targets.size_of(i) for i in range(4)] == [(64, 64), (80, 48), (48, 80), (64, 64)]
    limited = DataConfig(resolution=64, aspect_buckets=True, max_samples=5)
    assert len(find_targets(dataset, "train", limited, vae_scale_factor=4).buckets) == 5

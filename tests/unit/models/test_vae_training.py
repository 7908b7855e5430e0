import dataclasses

import pytest
import torch

from momalisa.errors import ConfigError
from momalisa.models import quality
from momalisa.models.skeleton import create_vae
from momalisa.models.vae_training import (
    VaeTrainConfig,
    gradient_size,
    train_vae,
    training_batch,
)

SMALL = VaeTrainConfig(
    num_steps=6, crop=16, num_crops=2, whole=32, num_wholes=1, num_warmup_steps=2, save_every=2, share_of_wholes=0.34
)


class _InterruptionError(Exception):
    pass


@torch.no_grad()
def _few_latents(vae, *, seed: int = 99) -> torch.Tensor:
    return vae.encode(quality.unseen_drawings(3, size=32)).latent_dist.mean


def test_an_interrupted_training_equals_an_uninterrupted_one(tmp_path, monkeypatch) -> None:
    from momalisa.models import vae_training

    monkeypatch.setattr(vae_training, "_latents_of_drawings", _few_latents)
    whole = train_vae(tmp_path / "whole", SMALL)

    def interrupt(step: int, config: VaeTrainConfig) -> vae_training.Batch:
        if step == 5:
            raise _InterruptionError
        return training_batch(step, config)

    with monkeypatch.context() as patch:
        patch.setattr(vae_training, "training_batch", interrupt)
        with pytest.raises(_InterruptionError):
            train_vae(tmp_path / "cut", SMALL)
    resumed = train_vae(tmp_path / "cut", SMALL)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert whole.config.scaling_factor == resumed.config.scaling_factor


def test_standardizing_changes_the_latents_and_not_the_picture(monkeypatch) -> None:
    from momalisa.models import vae_training

    monkeypatch.setattr(vae_training, "_latents_of_drawings", _few_latents)
    vae, pixels = create_vae(1).eval(), quality.unseen_drawings(3, size=32)
    before, deviations = quality.reconstruct(vae, pixels), vae.encode(pixels).latent_dist.std
    latents = vae.encode(pixels).latent_dist.mean
    vae_training.standardize_latents(vae)
    after = vae.encode(pixels).latent_dist
    assert torch.allclose(quality.reconstruct(vae, pixels), before, atol=1e-4)
    assert torch.allclose(after.mean.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-4)
    assert torch.allclose(after.mean.std(dim=(0, 2, 3)), torch.ones(4), atol=1e-4)
    shrunk = deviations / latents.std(dim=(0, 2, 3))[None, :, None, None]
    assert torch.allclose(after.std, shrunk, rtol=1e-3)


def test_other_settings_are_refused(tmp_path, monkeypatch) -> None:
    from momalisa.models import vae_training

    monkeypatch.setattr(vae_training, "_latents_of_drawings", _few_latents)
    short = dataclasses.replace(SMALL, num_steps=1)
    train_vae(tmp_path, short)
    with pytest.raises(ConfigError, match="other settings of kl_weight"):
        train_vae(tmp_path, dataclasses.replace(short, kl_weight=1.0))


def test_impossible_settings_name_the_fix() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        VaeTrainConfig(num_steps=0)
    with pytest.raises(ConfigError, match="multiples of 8"):
        VaeTrainConfig(crop=60)


def test_batches_are_crops_first_and_whole_pictures_at_the_end() -> None:
    assert training_batch(0, SMALL).pixels.shape == (2, 3, 16, 16)
    assert training_batch(5, SMALL).pixels.shape == (1, 3, 32, 32)
    assert torch.equal(training_batch(1, SMALL).pixels, training_batch(1, SMALL).pixels)
    assert training_batch(1, SMALL).pixels.abs().max() <= 1


def test_textures_have_their_share() -> None:
    config = dataclasses.replace(SMALL, num_crops=5, share_of_textures=0.5)
    assert {training_batch(step, config).num_textures for step in range(3)} == {2, 3}


def test_gradient_size_sees_edges_and_not_flat_offsets() -> None:
    assert gradient_size(torch.full((1, 3, 8, 8), 0.5)).item() == 0
    edge = torch.zeros(1, 3, 8, 8)
    edge[..., 4:] = 1
    assert gradient_size(edge).item() == pytest.approx(1 / 7)


def test_figures_compare_with_bicubic() -> None:
    drawings = quality.unseen_drawings(2, size=32)
    assert quality.psnr(drawings * 0.9, drawings) > quality.psnr(drawings * 0.5, drawings)
    flat = torch.full((1, 3, 32, 32), 0.3)
    assert torch.allclose(quality.bicubic(flat), flat, atol=1e-5)


def test_paintings_need_pictures(tmp_path) -> None:
    with pytest.raises(ConfigError, match="no pictures below"):
        quality.paintings(tmp_path)
    from momalisa.artworks.procedural import write_folder

    write_folder(tmp_path, 2, 0, size=24)
    assert quality.paintings(tmp_path, size=16).shape == (2, 3, 16, 16)

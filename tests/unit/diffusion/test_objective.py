import math

import pytest
import torch

from momalisa.diffusion.objective import Diffusion, sample_losses
from momalisa.training.config import ObjectiveConfig

SCHEDULER = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@pytest.fixture
def diffusion() -> Diffusion:
    return Diffusion(SCHEDULER)


def test_noise_is_added_as_diffusers_does(diffusion: Diffusion) -> None:
    from diffusers import DDPMScheduler

    latents, noise = torch.randn(3, 4, 8, 8), torch.randn(3, 4, 8, 8)
    timesteps = torch.tensor([0, 500, 999])
    expected = DDPMScheduler.from_config(SCHEDULER).add_noise(latents, noise, timesteps)
    torch.testing.assert_close(diffusion.add_noise(latents, noise, timesteps), expected)


def test_v_is_diffusers_velocity_and_epsilon_is_the_noise(diffusion: Diffusion) -> None:
    from diffusers import DDPMScheduler

    latents, noise, timesteps = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8), torch.tensor([10, 900])
    expected = DDPMScheduler.from_config(SCHEDULER).get_velocity(latents, noise, timesteps)
    torch.testing.assert_close(diffusion.target("v_prediction", latents, noise, timesteps), expected)
    assert diffusion.target("epsilon", latents, noise, timesteps) is noise


def test_min_snr_weights_cap_where_there_is_little_noise(diffusion: Diffusion) -> None:
    timesteps = torch.tensor([0, 999])
    snr = diffusion.alphas_cumprod[timesteps] / (1 - diffusion.alphas_cumprod[timesteps])
    epsilon = diffusion.min_snr_weights("epsilon", timesteps, 5.0)
    assert epsilon[0] == pytest.approx(5.0 / float(snr[0]))
    assert epsilon[1] == pytest.approx(1.0)
    velocity = diffusion.min_snr_weights("v_prediction", timesteps, 5.0)
    assert velocity[1] == pytest.approx(float(snr[1] / (snr[1] + 1)), rel=1e-5)


def test_losses_are_per_sample() -> None:
    prediction, target = torch.zeros(2, 4, 2, 2), torch.stack([torch.zeros(4, 2, 2), torch.full((4, 2, 2), 2.0)])
    torch.testing.assert_close(sample_losses(prediction, target, ObjectiveConfig()), torch.tensor([0.0, 4.0]))
    weighted = sample_losses(prediction, target, ObjectiveConfig(), torch.tensor([1.0, 0.5]))
    torch.testing.assert_close(weighted, torch.tensor([0.0, 2.0]))


def test_huber_is_half_the_square_near_zero_and_linear_far_out() -> None:
    config = ObjectiveConfig(loss="huber", huber_delta=0.1)
    near = sample_losses(torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), 0.01), config)
    far = sample_losses(torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), 10.0), config)
    assert float(near) == pytest.approx(0.5 * 0.01**2 / 0.1)
    assert float(far) == pytest.approx(10 - 0.05, rel=1e-4)
    assert math.isfinite(float(far))

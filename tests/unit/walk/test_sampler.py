"""The sampler, on a Stable Diffusion of random weights."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler

from momalisa.diffusion.encode import encode_prompts
from momalisa.diffusion.loading import Components
from momalisa.diffusion.sampling import pipeline_of
from momalisa.walk.frames import State
from momalisa.walk.guidance import Guidance
from momalisa.walk.sampler import Conditions, Sampler, between
from tests.support.small_sd import small_components

STEPS = 8
PROMPTS = ["red dots", "blue waves", "a green field"]


@pytest.fixture(scope="module")
def components(tmp_path_factory: pytest.TempPathFactory) -> Components:
    return small_components(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def conditions(components: Components) -> Conditions:
    return conditions_of(components, PROMPTS, torch.tensor([3.0, 4.0, 5.0]))


def conditions_of(components: Components, prompts: list[str], scales: torch.Tensor) -> Conditions:
    embeddings, negatives = encode_prompts(components, prompts), encode_prompts(components, [""] * len(prompts))
    return Conditions(embeddings, negatives, scales, torch.zeros(len(prompts), 0))


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    return torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(5))


def test_it_draws_what_diffusers_pipeline_draws(
    components: Components, conditions: Conditions, noise: torch.Tensor
) -> None:
    pipeline = pipeline_of(components)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(components.scheduler_config, use_karras_sigmas=True)
    expected = pipeline(
        PROMPTS[1], latents=noise[1:2], num_inference_steps=STEPS, guidance_scale=4.0, output_type="latent"
    ).images
    sampler = Sampler(components, num_inference_steps=STEPS)
    drawn, _ = sampler.denoise(noise, conditions)
    torch.testing.assert_close(drawn[1:2], expected, atol=1e-4, rtol=1e-4)
    assert sampler.num_evaluations == 3 * 2 * STEPS


def test_a_frame_does_not_depend_on_its_company(
    components: Components, conditions: Conditions, noise: torch.Tensor
) -> None:
    sampler = Sampler(components, num_inference_steps=STEPS)
    together, _ = sampler.denoise(noise, conditions)
    alone, _ = sampler.denoise(noise[2:], conditions_of(components, PROMPTS[2:], torch.tensor([5.0])))
    torch.testing.assert_close(together[2:], alone, atol=1e-3, rtol=1e-4)


def test_outside_of_the_guided_steps_there_is_no_guidance(
    components: Components, conditions: Conditions, noise: torch.Tensor
) -> None:
    some = Sampler(components, num_inference_steps=STEPS, guidance=Guidance(2, 5))
    some.denoise(noise, conditions)
    assert some.num_evaluations == 3 * (STEPS + 3)
    none = Sampler(components, num_inference_steps=STEPS, guidance=Guidance(0, 0))
    plain = conditions_of(components, PROMPTS, torch.ones(3))
    guided_by_one, _ = Sampler(components, num_inference_steps=STEPS).denoise(noise, plain)
    torch.testing.assert_close(none.denoise(noise, conditions)[0], guided_by_one, atol=1e-4, rtol=1e-4)


class _ByTextAlone(torch.nn.Module):
    """A UNet whose guidance is the same at every step."""

    dtype, device = torch.float32, torch.device("cpu")

    def forward(self, latents: torch.Tensor, _timestep: torch.Tensor, embeddings: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=0.1 * latents + embeddings.mean(dim=(1, 2))[:, None, None, None])


def test_where_guidance_does_not_change_finding_it_seldom_changes_nothing(
    components: Components, conditions: Conditions, noise: torch.Tensor
) -> None:
    by_text = replace(components, unet=_ByTextAlone())
    often = Sampler(by_text, num_inference_steps=STEPS, guidance=Guidance(1, 7))
    seldom = Sampler(by_text, num_inference_steps=STEPS, guidance=Guidance(1, 7, 3))
    torch.testing.assert_close(seldom.denoise(noise, conditions)[0], often.denoise(noise, conditions)[0])
    assert (seldom.num_evaluations, often.num_evaluations) == (3 * (STEPS + 2), 3 * (STEPS + 6))
    # A batch that begins in between finds it at its first step.
    seldom.denoise(noise, conditions, steps=range(2, STEPS))
    assert seldom.num_evaluations == 3 * (STEPS + 2) + 3 * (STEPS - 2 + 2)


def test_states_are_kept_where_asked_and_lead_to_the_same_end(
    components: Components, conditions: Conditions, noise: torch.Tensor
) -> None:
    sampler = Sampler(components, num_inference_steps=STEPS)
    whole, states = sampler.denoise(noise, conditions, keep={0: 0, 4: 3, 6: 5, STEPS: STEPS - 1})
    assert sorted(states) == [4, 6, STEPS]
    assert (states[STEPS].latents == whole).all()
    before = sampler.num_evaluations
    state = states[4]
    again, _ = sampler.denoise(state.latents, conditions, steps=range(4, STEPS), denoised=state.denoised, denoised_at=3)
    assert sampler.num_evaluations - before == 3 * 2 * (STEPS - 4)
    torch.testing.assert_close(again, whole, atol=1e-4, rtol=1e-4)
    # Begun again at order 1, or in fewer steps: nearer than what it began from, but not equal.
    for fewer, known in ((range(4, STEPS), {}), ((4, 6), {"denoised": state.denoised, "denoised_at": 3})):
        other, _ = sampler.denoise(state.latents, conditions, steps=fewer, **known)
        assert 1e-3 < (other - whole).abs().mean() < 0.5 * (state.latents - whole).abs().mean()


def test_between_two_states_is_at_their_noise_level(
    components: Components, conditions: Conditions, noise: torch.Tensor
) -> None:
    sampler = Sampler(components, num_inference_steps=STEPS)
    _, states = sampler.denoise(noise, conditions, keep={4: 3})
    left, right = (State(states[4].latents[i].half().numpy(), states[4].denoised[i].half().numpy()) for i in (0, 1))
    level = sampler.noise_level(4)
    assert level[0] ** 2 + level[1] ** 2 == pytest.approx(1, abs=1e-5)
    for weight, end in ((0.0, left), (1.0, right)):
        latents, denoised = between(left, right, weight, level)
        assert latents == pytest.approx(end.latents.astype(np.float32), abs=1e-4)
        assert denoised == pytest.approx(end.denoised.astype(np.float32), abs=1e-4)
    middle, picture = between(left, right, 0.5, level)
    straight = (left.latents.astype(np.float32) + right.latents) / 2
    assert ((middle - level[0] * picture) / level[1]).std() > 1.2 * ((straight - level[0] * picture) / level[1]).std()


def test_where_no_noise_is_left_the_latents_go_along_the_great_circle(components: Components) -> None:
    rng = np.random.default_rng(0)
    ends = [rng.standard_normal((4, 16, 16)).astype(np.float16) for _ in range(2)]
    level = Sampler(components, num_inference_steps=STEPS).noise_level(STEPS)
    assert level == (1.0, 0.0)
    middle, _ = between(State(ends[0], ends[0]), State(ends[1], ends[1]), 0.5, level)
    assert middle.std() == pytest.approx(1, abs=0.05)

"""Adapters in a Stable Diffusion of random weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig
from safetensors.torch import save_file

from momalisa.diffusion.loading import Components
from momalisa.diffusion.sampling import pipeline_of
from momalisa.errors import ModelError
from momalisa.lora.adapters import Adapters, resolve_adapter
from momalisa.training.export import export_lora
from momalisa.walk.frames import MemoryFrames
from momalisa.walk.render import Renderer
from momalisa.walk.request import WalkRequest, Waypoint
from momalisa.walk.walk import render_walk
from tests.support.small_sd import small_components


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A LoRA of UNet and text encoder that does something."""
    folder = tmp_path_factory.mktemp("lora")
    components = small_components(tmp_path_factory.mktemp("base"))
    torch.manual_seed(3)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["to_q", "to_k", "to_v", "to_out.0", "proj_in"])
    components.unet.add_adapter(config)
    components.text_encoder.add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]))
    for part in (components.unet, components.text_encoder):
        for name, parameter in part.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.5)
    export_lora(folder, unet=components.unet, text_encoder=components.text_encoder)
    return str(folder)


@pytest.fixture
def components(tmp_path: Path) -> Components:
    return small_components(tmp_path)


def output(components: Components, batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(1, 4, 16, 16, generator=generator).expand(batch, -1, -1, -1)
    texts = torch.randn(1, 16, 16, generator=generator).expand(batch, -1, -1)
    with torch.no_grad():
        found: torch.Tensor = components.unet(latents, torch.tensor(500), texts).sample
    return found


def test_each_picture_of_a_batch_has_its_own_weight(components: Components, adapter: str) -> None:
    plain = output(components, 1)
    adapters = Adapters(components, [adapter])
    adapters.set_weights(torch.tensor([[0.0], [0.5], [1.0]]))
    together = output(components, 3)
    torch.testing.assert_close(together[:1], plain, atol=1e-5, rtol=1e-4)
    for row, weight in enumerate((0.0, 0.5, 1.0)):
        adapters.set_weights(torch.tensor([[weight]]))
        torch.testing.assert_close(output(components, 1), together[row : row + 1], atol=1e-5, rtol=1e-4)
    assert (together[2] - together[0]).abs().max() > 1e-2
    adapters.unload()
    torch.testing.assert_close(output(components, 1), plain)


def test_a_weight_of_one_is_what_diffusers_draws(components: Components, adapter: str, tmp_path: Path) -> None:
    adapters = Adapters(components, [adapter])
    adapters.set_weights(torch.tensor([[1.0]]))
    ours = output(components, 1)
    other = small_components(tmp_path)
    pipeline_of(other).load_lora_weights(adapter)
    torch.testing.assert_close(ours, output(other, 1), atol=1e-5, rtol=1e-4)


def test_weights_change_along_a_walk_from_the_plain_model_to_the_adapted_one(
    components: Components, adapter: str
) -> None:
    def walked(*weights: float) -> "np.ndarray":
        waypoints = tuple(Waypoint(prompt="a", adapters={adapter: weight} if weight else {}) for weight in weights)
        request = WalkRequest(waypoints=waypoints, num_frames=5, num_inference_steps=4, mode="text")
        adapters = Adapters(components, [adapter] if any(weights) else [])
        frames = MemoryFrames()
        walk = render_walk(Renderer(components, request, adapters=adapters), request, frames)
        adapters.unload()
        return np.stack(list(walk.pictures(frames))).astype(int)

    along, plain, adapted = walked(0, 1), walked(0, 0), walked(1, 1)
    assert np.abs(along[0] - plain[0]).max() <= 1
    assert np.abs(along[-1] - adapted[0]).max() <= 1
    assert np.abs(along[0] - along[-1]).mean() > 1


def test_what_is_no_adapter_is_refused(components: Components, adapter: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no adapter at"):
        resolve_adapter(str(tmp_path / "missing"))
    with pytest.raises(ModelError, match="no adapter at memory://nowhere"):
        resolve_adapter("memory://nowhere")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nonsense")
    plain = output(components, 1)
    other = tmp_path / "other.safetensors"
    save_file({"unet.nothing.of.this.lora_A.weight": torch.zeros(4, 8)}, other)
    for unfit in (broken, other):
        with pytest.raises(ModelError, match="does not fit the model"):
            Adapters(components, [adapter, str(unfit)])
        torch.testing.assert_close(output(components, 1), plain)

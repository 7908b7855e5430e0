import json

import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch.nn import functional

from momalisa.models.skeleton import create_skeleton, create_vae


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return create_skeleton(tmp_path_factory.mktemp("skeleton"), seed=3, vae=create_vae(8))


def test_the_pipeline_loads_with_all_parts_in_one_dtype(folder) -> None:
    for dtype in (None, torch.float16, torch.bfloat16):
        pipeline = StableDiffusionPipeline.from_pretrained(folder, **({"dtype": dtype} if dtype else {}))
        dtypes = {p.dtype for part in ("unet", "vae", "text_encoder") for p in getattr(pipeline, part).parameters()}
        assert dtypes == {dtype or torch.float32}
        assert pipeline.safety_checker is None
        assert pipeline.feature_extractor is None


def test_a_seed_decides_the_weights(folder, tmp_path) -> None:
    again = create_skeleton(tmp_path / "again", seed=3, vae=create_vae(8))
    other = create_skeleton(tmp_path / "other", seed=4, vae=create_vae(8))
    for file in ("unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"):
        assert (folder / file).read_bytes() == (again / file).read_bytes()
        assert (folder / file).read_bytes() != (other / file).read_bytes()
    vae = "vae/diffusion_pytorch_model.safetensors"
    assert (folder / vae).read_bytes() == (other / vae).read_bytes()


def test_the_folder_names_no_place(folder) -> None:
    for file in folder.rglob("*.json"):
        assert "_name_or_path" not in json.loads(file.read_text())
        assert str(folder) not in file.read_text()


def test_text_pooling_looks_at_the_end_of_the_text(folder) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    ids = pipeline.tokenizer("blue dots", padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        output = pipeline.text_encoder(ids)
    assert torch.equal(output.pooler_output[0], output.last_hidden_state[0, 3])


def test_an_untrained_pipeline_draws_something_of_the_right_size(folder) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline("waves", num_inference_steps=2, output_type="np").images
    assert images.shape == (1, 128, 128, 3)


def test_the_skeleton_learns_a_few_latents() -> None:
    """A trainable net overfits four targets in a few steps: gradients reach UNet and text encoder."""
    from momalisa.models.skeleton import _create_text_encoder, _create_unet
    from momalisa.models.tokenizer import create_tokenizer

    torch.manual_seed(0)
    tokenizer = create_tokenizer()
    unet, text_encoder = _create_unet(), _create_text_encoder(tokenizer)
    ids = tokenizer(["red dots", "blue waves"], padding="max_length", return_tensors="pt").input_ids
    targets = torch.randn(2, 4, 1, 1).expand(2, 4, 8, 8)
    noise = torch.zeros_like(targets)
    optimizer = torch.optim.Adam([*unet.parameters(), *text_encoder.parameters()], lr=3e-3)
    losses = []
    for _ in range(25):
        predicted = unet(noise, torch.tensor([500, 500]), text_encoder(ids).last_hidden_state).sample
        loss = functional.mse_loss(predicted, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]

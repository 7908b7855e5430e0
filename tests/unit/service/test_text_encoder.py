"""Prompts that are encoded in one place and drawn in another."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from momalisa.diffusion.encode import encode_prompts
from momalisa.diffusion.loading import load_components
from momalisa.diffusion.sampling import draw
from momalisa.service.crew import ModelChangedError
from momalisa.service.models import ServedModel
from momalisa.service.painter import Painter
from momalisa.service.port import ImageRequest
from momalisa.service.text_encoder import TextEncoder
from momalisa.storage import open_store
from momalisa.walk.frames import from_png
from tests.support.facts import FACTS
from tests.support.small_sd import save_small_sd


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    return ServedModel(id="small", uri=str(save_small_sd(tmp_path_factory.mktemp("small"))))


@pytest.fixture
def painter(tmp_path: Path) -> Painter:
    return Painter(open_store(tmp_path))


def test_prompts_are_encoded_as_they_are_by_the_whole_model(model: ServedModel, painter: Painter) -> None:
    texts = TextEncoder().encode([("dots", ""), ("waves", "red")], model, painter.describe(model))
    components = load_components(model.uri)
    for row, pair in enumerate((["dots", ""], ["waves", "red"])):
        wanted = encode_prompts(components, pair).numpy()
        assert np.array_equal(texts.prompts[row], wanted[0])
        assert np.array_equal(texts.negative_prompts[row], wanted[1])
    assert texts.prompts.dtype == np.float32


def test_a_prompt_is_encoded_the_same_in_whatever_company(model: ServedModel, painter: Painter) -> None:
    facts, encoder = painter.describe(model), TextEncoder()
    alone = encoder.encode([("waves", "red")], model, facts)
    together = encoder.encode([("dots", ""), ("waves", "red")], model, facts)
    assert np.array_equal(alone.prompts[0], together.prompts[1])


def test_a_picture_of_an_encoded_prompt_is_that_of_the_prompt(model: ServedModel, painter: Painter) -> None:
    request = ImageRequest(prompt="dots", negative_prompt="red", model="small", num_inference_steps=3, seed=7)
    texts = TextEncoder().encode([("dots", "red")], model, painter.describe(model))
    png = painter.draw_image(request, model, texts)
    (wanted,) = draw(
        load_components(model.uri),
        ["dots"],
        seeds=[7],
        num_inference_steps=3,
        guidance_scale=request.guidance_scale,
        negative_prompt="red",
    )
    assert np.abs(from_png(png).astype(int) - wanted.astype(int)).max() <= 1


def test_a_model_that_has_changed_since_is_refused(model: ServedModel) -> None:
    changed = replace(FACTS, fingerprints={"text_encoder": "another"})
    with pytest.raises(ModelChangedError, match="has changed"):
        TextEncoder().encode([("dots", "")], model, changed)


def test_a_renderer_holds_no_text_encoder(model: ServedModel, painter: Painter) -> None:
    painter.describe(model)
    parts = painter._studio(model).components
    assert parts.text_encoder is None
    assert isinstance(parts.unet, torch.nn.Module)


def test_a_model_that_was_exchanged_in_its_place_is_loaded_once_more(tmp_path: Path) -> None:
    model = ServedModel(id="small", uri=str(save_small_sd(tmp_path / "small")))
    encoder, before = TextEncoder(), Painter(open_store(tmp_path)).describe(model)
    encoder.encode([("dots", "")], model, before)
    weights = tmp_path / "small" / "text_encoder" / "model.safetensors"
    tensors = load_file(weights)
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, weights, metadata={"format": "pt"})
    after = Painter(open_store(tmp_path)).describe(model)
    assert after != before
    encoder.encode([("dots", "")], model, after)
    with pytest.raises(ModelChangedError):
        encoder.encode([("dots", "")], model, before)

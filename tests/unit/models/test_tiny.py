"""The model that ships: it loads, is small, and its VAE gives drawings back."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

import momalisa.models
from momalisa.artworks.procedural import TRAIN_MANNERS, choose
from momalisa.diffusion.loading import load_components
from momalisa.diffusion.sampling import draw
from momalisa.errors import ModelError
from momalisa.models import install, quality
from momalisa.models.skeleton import create_skeleton
from momalisa.styles.classifier import load_classifier

TINY = Path(momalisa.models.__file__).parent / "tiny"


@pytest.fixture(scope="module")
def pipeline():
    return StableDiffusionPipeline.from_pretrained(TINY)


def test_all_parts_load_in_one_dtype(pipeline) -> None:
    dtypes = {p.dtype for part in ("unet", "vae", "text_encoder") for p in getattr(pipeline, part).parameters()}
    assert dtypes == {torch.float32}


def test_it_is_small_and_says_what_it_is() -> None:
    files = [file for file in TINY.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= install.MAX_BYTES
    assert {file.suffix for file in files} <= {".json", ".txt", ".safetensors", ".md", ".jpg"}
    assert "license: apache-2.0" in (TINY / "README.md").read_text()


def test_the_tokenizer_and_the_text_encoder_agree(pipeline) -> None:
    config, tokenizer = pipeline.text_encoder.config, pipeline.tokenizer
    assert config.vocab_size == len(tokenizer)
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (
        tokenizer.bos_token_id,
        tokenizer.eos_token_id,
        tokenizer.pad_token_id,
    )
    assert config.max_position_embeddings == tokenizer.model_max_length
    assert config.hidden_size == pipeline.unet.config.cross_attention_dim


def test_it_predicts_velocity(pipeline) -> None:
    assert pipeline.scheduler.config.prediction_type == "v_prediction"


def test_the_vae_gives_unseen_drawings_back(pipeline) -> None:
    drawings = quality.unseen_drawings(24)
    decoded = quality.reconstruct(pipeline.vae, drawings)
    assert (decoded - drawings).abs().mean() < 0.10
    assert quality.psnr(decoded, drawings) > quality.psnr(quality.bicubic(drawings), drawings) + 2


def test_it_draws_what_it_is_told() -> None:
    subjects = [choose((1 << 45) + i, manners=(manner,)) for i, manner in enumerate(TRAIN_MANNERS)]
    captions = [subject.caption for subject in subjects]
    pictures = draw(load_components("tiny"), captions, seeds=range(len(subjects)), guidance_scale=4.0, batch_size=10)
    reading = load_classifier().classify(pictures)
    seen = zip(reading.manner_names, reading.foreground_names, reading.ground_names, strict=True)
    right = [
        (manner == subject.manner, (foreground, ground) == (subject.foreground, subject.ground))
        for (manner, foreground, ground), subject in zip(seen, subjects, strict=True)
    ]
    assert sum(manner for manner, _ in right) >= len(subjects) - 1
    assert sum(colors for _, colors in right) >= len(subjects) - 3


def test_scaled_latents_are_standard(pipeline) -> None:
    drawings = quality.unseen_drawings(40, manners=TRAIN_MANNERS)
    with torch.no_grad():
        latents = pipeline.vae.encode(drawings).latent_dist.mean * pipeline.vae.config.scaling_factor
    assert latents.mean(dim=(0, 2, 3)).abs().max() < 0.35
    assert ((latents.std(dim=(0, 2, 3)) - 1).abs() < 0.25).all()


MAKING = install.Making(
    vae_steps=7,
    vae_hours=1.25,
    vae_figures={"drawings_psnr": 21.5},
    denoiser_steps=30,
    denoiser_hours=0.5,
    global_batch_size=48,
    num_drawings=100,
    num_cores=2,
)
LEARNING = {
    "num_prompts": 520,
    "manner_accuracy": 0.97,
    "colour_accuracy": 0.9,
    "colour_accuracy_unseen": 0.8,
    "diversity": 0.7,
    "frechet_distance": 1.0,
    "frechet_floor": 0.1,
    "picture_s": 1.25,
    "picture_over_decode": 15.0,
}


def test_installing_replaces_the_model_and_writes_the_card(tmp_path) -> None:
    source, target = create_skeleton(tmp_path / "source", seed=0), tmp_path / "tiny"
    target.mkdir()
    (target / "stale.txt").touch()
    grid = tmp_path / "grid.png"
    Image.new("RGB", (32, 32), "red").save(grid)
    install.install(source, target, replace(MAKING, learning=LEARNING), samples=grid)
    card = (target / "README.md").read_text()
    for words in (
        "drawings psnr | 21.5",
        "7 steps",
        "1.2 hours",
        "30 minutes",
        "manner accuracy | 0.97",
        "samples.jpg",
    ):
        assert words in card
    assert (target / "samples.jpg").is_file()
    assert not (target / "stale.txt").exists()
    assert not list(tmp_path.glob("*.partial"))
    assert json.loads((target / "model_index.json").read_text())["unet"] == ["diffusers", "UNet2DConditionModel"]


def test_a_model_too_large_to_ship_is_not_installed(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(install, "MAX_BYTES", 1000)
    source = create_skeleton(tmp_path / "source", seed=0)
    with pytest.raises(ModelError, match="train a smaller model"):
        install.install(source, tmp_path / "tiny", MAKING)
    assert not (tmp_path / "tiny").exists()

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline
from peft import LoraConfig
from safetensors import safe_open
from safetensors.torch import load_file

from momalisa.diffusion.loading import Components, load_components
from momalisa.errors import ModelError
from momalisa.training.export import LORA_FILE, export_lora, export_pipeline
from tests.support.small_sd import SIZE, small_components


@pytest.fixture
def components(tmp_path: Path) -> Components:
    folder = tmp_path / "base"
    folder.mkdir()
    return small_components(folder)


def test_an_export_loads_by_itself_and_draws_the_same_pictures(tmp_path: Path, components: Components) -> None:
    in_memory = StableDiffusionPipeline(
        vae=components.vae,
        text_encoder=components.text_encoder,
        tokenizer=components.tokenizer,
        unet=components.unet,
        scheduler=DDPMScheduler.from_config(components.scheduler_config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    expected = _pictures(in_memory)
    export_pipeline(tmp_path / "export", components, dtype=torch.float32)
    components.unet.conv_in.weight.zero_()
    loaded = StableDiffusionPipeline.from_pretrained(tmp_path / "export", use_safetensors=True)
    assert np.array_equal(_pictures(loaded), expected)
    assert not np.array_equal(_pictures(in_memory), expected)
    assert load_components(str(tmp_path / "export")).scheduler_config["_class_name"] == "DDPMScheduler"


def test_trained_weights_stand_in_for_the_base_models(tmp_path: Path, components: Components) -> None:
    trained = {name: value + 0.01 for name, value in components.unet.state_dict().items()}
    export_pipeline(tmp_path / "export", components, dtype=torch.float32, unet_state=trained)
    exported = load_file(tmp_path / "export" / "unet" / "diffusion_pytorch_model.safetensors")
    assert all(torch.equal(exported[name], value) for name, value in trained.items())
    assert not torch.equal(components.unet.conv_in.weight, trained["conv_in.weight"])


def test_weights_of_another_model_are_refused(tmp_path: Path, components: Components) -> None:
    with pytest.raises(ModelError, match="no parameter nonsense"):
        export_pipeline(tmp_path / "export", components, dtype=torch.float32, unet_state={"nonsense": torch.zeros(1)})


def test_every_weight_is_of_one_dtype_and_the_models_in_memory_stay_as_they_are(
    tmp_path: Path, components: Components
) -> None:
    components.unet.to(memory_format=torch.channels_last)
    export_pipeline(tmp_path / "export", components, dtype=torch.float16)
    files = sorted((tmp_path / "export").glob("*/*.safetensors"))
    assert [file.parent.name for file in files] == ["text_encoder", "unet", "vae"]
    assert {tensor.dtype for file in files for tensor in load_file(file).values()} == {torch.float16}
    assert components.unet.dtype == torch.float32


def test_an_export_does_not_tell_where_it_was_made(tmp_path: Path, components: Components) -> None:
    export_pipeline(tmp_path / "first", components, dtype=torch.float32)
    export_pipeline(tmp_path / "second", load_components(str(tmp_path / "first")), dtype=torch.float32)
    for config in (tmp_path / "second").rglob("*.json"):
        assert str(tmp_path) not in config.read_text(), config.name


def test_the_scheduler_is_the_base_models_own(tmp_path: Path, components: Components) -> None:
    components.scheduler_config = {**components.scheduler_config, "_class_name": "PNDMScheduler"}
    export_pipeline(tmp_path / "export", components, dtype=torch.float32)
    config = json.loads((tmp_path / "export" / "scheduler" / "scheduler_config.json").read_text())
    assert config["_class_name"] == "PNDMScheduler"
    assert config["beta_schedule"] == "scaled_linear"
    components.scheduler_config = {"_class_name": "UNet2DConditionModel"}
    with pytest.raises(ModelError, match="scheduler"):
        export_pipeline(tmp_path / "other", components, dtype=torch.float32)


@pytest.mark.parametrize(("rank", "alpha"), [(4, 4.0), (2, 7.0), (4, 1.0)])
def test_a_loaded_lora_is_the_trained_one_whatever_its_alpha(
    tmp_path: Path, components: Components, rank: int, alpha: float, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "pipeline"
    export_pipeline(folder, components, dtype=torch.float32)
    _adapt(components.unet, rank, alpha, ["to_q", "to_k", "to_v", "to_out.0"])
    _adapt(components.text_encoder, rank, alpha, ["q_proj", "k_proj", "v_proj", "out_proj"])
    export_lora(tmp_path / "lora", unet=components.unet, text_encoder=components.text_encoder)

    pipeline = StableDiffusionPipeline.from_pretrained(folder, use_safetensors=True)
    plain = _outputs(pipeline.unet, pipeline.text_encoder)
    with caplog.at_level(logging.WARNING):
        pipeline.load_lora_weights(str(tmp_path / "lora"))
    assert not [record for record in caplog.records if "keys" in record.message]
    trained, loaded = (
        _outputs(unet, text)
        for unet, text in ((components.unet, components.text_encoder), (pipeline.unet, pipeline.text_encoder))
    )
    for expected, got, untrained in zip(trained, loaded, plain, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
        assert (expected - untrained).abs().max() > 1e-3
    config = pipeline.unet.peft_config["default_0"]
    assert (config.r, config.lora_alpha) == (rank, alpha)


def test_a_lora_of_the_unet_alone_in_half_precision(tmp_path: Path, components: Components) -> None:
    _adapt(components.unet, 2, 4.0, ["to_q"])
    export_lora(tmp_path, unet=components.unet, dtype=torch.float16)
    tensors = load_file(tmp_path / LORA_FILE)
    assert all(name.startswith("unet.") and ".lora" in name for name in tensors)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    with safe_open(tmp_path / LORA_FILE, "pt") as file:
        metadata = json.loads(file.metadata()["lora_adapter_metadata"])
    assert metadata["unet.r"] == 2
    assert metadata["unet.lora_alpha"] == 4.0


def _pictures(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in (1, 2)]
    return pipeline(["a coffee", "seasons"], num_inference_steps=3, generator=generators, output_type="np").images


def _adapt(module: Any, rank: int, alpha: float, targets: list[str]) -> None:
    torch.manual_seed(1)
    module.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.1, target_modules=targets))
    module.eval()
    for name, parameter in module.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.5)


@torch.no_grad()
def _outputs(unet: Any, text_encoder: Any) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(2)
    latents = torch.randn(2, 4, SIZE // 2, SIZE // 2)
    text = torch.randn(2, 5, 16)
    ids = torch.tensor([[0, 5, 9, 12, 1]])
    return unet(latents, torch.tensor([10, 500]), encoder_hidden_states=text)[0], text_encoder(ids)[0]

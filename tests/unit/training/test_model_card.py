from pathlib import Path
from typing import Any

import yaml

from momalisa.config import to_dict
from momalisa.recipes import recipe
from momalisa.training.model_card import ModelCard, write_model_card
from tests.unit.training.test_summary import make_summary


def _card(name: str, **changes: Any) -> ModelCard:
    values: dict[str, Any] = {
        "summary": make_summary(),
        "config": to_dict(recipe(name)),
        "dataset_uri": "gs://bucket/paintings",
        "num_train": 900,
        "num_validation": 100,
    }
    return ModelCard(**{**values, **changes})


def test_a_card_tells_data_recipe_verdict_and_how_to_load(tmp_path: Path) -> None:
    text = write_model_card(tmp_path, _card("demo")).read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front["license"] == "apache-2.0"
    assert "base_model" not in front, "tiny is not on the hub"
    for part in (
        "gs://bucket/paintings",
        "900 pictures to train on, 100 held out",
        "d" * 64,
        "**learned**: It learned",
        "samples.png",
        'StableDiffusionPipeline.from_pretrained("THIS_FOLDER")',
        '"learning_rate": 0.0003',
    ):
        assert part in text


def test_a_lora_says_what_it_is_loaded_on(tmp_path: Path) -> None:
    text = write_model_card(tmp_path, _card("sd14_lora")).read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front["license"] == "creativeml-openrail-m"
    assert front["base_model"] == "CompVis/stable-diffusion-v1-4"
    assert front["base_model_relation"] == "adapter"
    assert 'load_lora_weights("THIS_FOLDER")' in text


def test_a_card_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    config = to_dict(recipe("demo"))
    config["model"]["uri"] = str(tmp_path / "my-model")
    text = write_model_card(
        tmp_path, _card("demo", config=config, dataset_uri=f"file://{tmp_path}/my-data")
    ).read_text()
    assert str(tmp_path) not in text
    assert "`my-data`" in text
    assert "`my-model`" in text
    assert yaml.safe_load(text.split("---")[1])["license"] == "other"


def test_a_run_that_was_stopped_or_has_no_samples(tmp_path: Path) -> None:
    summary = make_summary(ended="stopped", verdict=None)
    text = write_model_card(tmp_path, _card("demo", summary=summary, sample_image=None)).read_text()
    assert "before it could be judged" in text
    assert "![" not in text

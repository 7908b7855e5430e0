from pathlib import Path

import numpy as np
import pytest
import torch

from momalisa.artworks.procedural import COLORS, MANNERS
from momalisa.errors import ConfigError, ModelError
from momalisa.styles import install, training
from momalisa.styles.classifier import StyleClassifier, load_classifier, save_classifier
from momalisa.styles.network import StyleNet
from momalisa.styles.outliers import outlier, spoilt_drawing
from momalisa.styles.training import Batch, StyleTrainConfig, train_classifier, training_batch

SMALL = {"num_drawings": 4, "num_outliers": 2, "num_spoilt": 1, "num_warmup_steps": 1}


def test_an_interrupted_training_ends_like_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = StyleTrainConfig(num_steps=4, save_every=2, **SMALL)
    straight = train_classifier(tmp_path / "straight", config)

    def interrupt(step: int, config: StyleTrainConfig) -> Batch:
        if step == 3:
            raise KeyboardInterrupt
        return training_batch(step, config)

    with monkeypatch.context() as patch:
        patch.setattr(training, "training_batch", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_classifier(tmp_path / "resumed", config)
    resumed = train_classifier(tmp_path / "resumed", config)
    pairs = zip(straight.state_dict().values(), resumed.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_other_settings_are_refused_for_a_training_that_has_begun(tmp_path: Path) -> None:
    train_classifier(tmp_path, StyleTrainConfig(num_steps=1, **SMALL))
    with pytest.raises(ConfigError, match="num_steps"):
        train_classifier(tmp_path, StyleTrainConfig(num_steps=2, **SMALL))


def test_a_batch_is_the_steps_own_and_its_labels_are_in_range() -> None:
    config = StyleTrainConfig(num_drawings=6, num_outliers=3, num_spoilt=2)
    batch = training_batch(7, config)
    assert batch.pixels.shape == (11, 3, 128, 128)
    assert torch.equal(batch.pixels, training_batch(7, config).pixels)
    assert not torch.equal(batch.pixels, training_batch(8, config).pixels)
    drawings, outliers, spoilt = batch.labels[:6], batch.labels[6:9], batch.labels[9:]
    assert (drawings[:, 0] < len(MANNERS)).all()
    assert (drawings[:, 1:] < len(COLORS)).all()
    assert (drawings[:, 1] != drawings[:, 2]).all()
    assert (outliers == torch.tensor([len(MANNERS), len(COLORS), len(COLORS)])).all()
    assert (spoilt[:, 0] == len(MANNERS)).all()


def test_outliers_are_pictures_and_varied() -> None:
    rng = np.random.default_rng(0)
    made = [kind(rng, 48) for _ in range(20) for kind in (outlier, spoilt_drawing)]
    assert all(picture.shape == (48, 48, 3) and picture.dtype == np.uint8 for picture in made)
    assert len({picture.tobytes() for picture in made}) == 40


def test_a_saved_classifier_reads_as_before(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = StyleNet(len(MANNERS), len(COLORS))
    file = tmp_path / "classifier.safetensors"
    save_classifier(net, file)
    pictures = np.stack([outlier(np.random.default_rng(i), 128) for i in range(4)])
    before, after = StyleClassifier(net).classify(pictures), load_classifier(file).classify(pictures)
    torch.testing.assert_close(before.manner, after.manner, atol=2e-3, rtol=0)
    assert after.manners == MANNERS


def test_a_missing_or_foreign_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no style classifier in"):
        load_classifier(tmp_path / "nothing.safetensors")
    (tmp_path / "other.safetensors").write_bytes(b"not safetensors at all")
    with pytest.raises(ModelError, match="no style classifier in"):
        load_classifier(tmp_path / "other.safetensors")


def test_a_classifier_too_large_to_ship_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "MAX_BYTES", 1000)
    with pytest.raises(ModelError, match="more than 1000"):
        install.install(StyleNet(12, 12), {}, num_steps=1, folder=tmp_path)
    assert not list(tmp_path.iterdir())

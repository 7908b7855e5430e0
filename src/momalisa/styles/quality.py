"""How well the classifier sees: the figures of its card."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from momalisa.artworks.procedural import MANNERS, sample
from momalisa.models.quality import picture_files
from momalisa.styles.classifier import SIDE, StyleClassifier
from momalisa.styles.distances import frechet_distance
from momalisa.styles.outliers import outlier

_UNSEEN_SEED = 1 << 42
"""Training draws from seeds below 2⁴⁰, `tiny`'s VAE is measured on those from 2⁴¹."""


def unseen_drawings(count: int, *, held_out: bool = False, first: int = 0) -> list[Any]:
    """Drawings whose seeds no training takes, the manners in turn."""
    return [
        sample(_UNSEEN_SEED + first + i, manners=(MANNERS[i % len(MANNERS)],), held_out=held_out) for i in range(count)
    ]


def measure_classifier(
    classifier: StyleClassifier, *, num_drawings: int = 2400, photographs: Path | None = None
) -> dict[str, float]:
    """Accuracy on unseen drawings, the highest probability on what shows nothing, the Fréchet floor."""
    drawings = unseen_drawings(num_drawings - num_drawings // 10)
    drawings += unseen_drawings(num_drawings // 10, held_out=True)
    pictures = np.stack([np.asarray(drawing.image) for drawing in drawings])
    figures = accuracy(classifier, drawings, pictures)
    rng = np.random.default_rng(_UNSEEN_SEED)
    nothing = np.stack([outlier(rng, SIDE) for _ in range(400)])
    figures["outliers_highest_probability_99th"] = float(np.quantile(highest_probability(classifier, nothing), 0.99))
    figures["outliers_highest_probability"] = float(highest_probability(classifier, nothing).max())
    if photographs is not None:
        real = np.stack([np.asarray(picture) for picture in squares(photographs)])
        highest = highest_probability(classifier, real)
        figures |= {"num_photographs": len(real), "photographs_highest_probability": float(highest.max())}
    features = classifier.features(pictures)
    half = len(features) // 2
    mixed = torch.randperm(len(features), generator=torch.Generator().manual_seed(0))
    figures["frechet_floor"] = frechet_distance(features[mixed[:half]], features[mixed[half : 2 * half]])
    return {name: round(value, 4) for name, value in figures.items()}


def accuracy(classifier: StyleClassifier, drawings: list[Any], pictures: Any) -> dict[str, float]:
    """Shares of pictures whose manner, both colours, or all three are seen as the drawings say."""
    reading = classifier.classify(pictures)
    manner = [seen == d.manner for seen, d in zip(reading.manner_names, drawings, strict=True)]
    colors = [
        (foreground, ground) == (d.foreground, d.ground)
        for foreground, ground, d in zip(reading.foreground_names, reading.ground_names, drawings, strict=True)
    ]
    return {
        "manner_accuracy": float(np.mean(manner)),
        "colour_accuracy": float(np.mean(colors)),
        "all_accuracy": float(np.mean(np.logical_and(manner, colors))),
    }


def highest_probability(classifier: StyleClassifier, pictures: Any) -> Any:
    """The highest probability that any class has in each picture, (N,)."""
    reading = classifier.classify(pictures)
    return torch.cat([reading.manner, reading.foreground, reading.ground], dim=1).amax(dim=1).numpy()


def squares(folder: Path) -> list[Image.Image]:
    """The centre and a quarter of each picture below a folder, 128 × 128. Raises ConfigError where there is none."""
    found = []
    for file in picture_files(folder):
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
        found.append(ImageOps.fit(image, (SIDE, SIDE)))
        width, height = image.size
        found.append(ImageOps.fit(image.crop((0, 0, width // 2, height // 2)), (SIDE, SIDE)))
    return found

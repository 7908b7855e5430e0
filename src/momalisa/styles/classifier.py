"""Which manner and which two colours a picture shows, by the classifier that ships with momalisa."""

import importlib.resources
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from momalisa.artworks.procedural import COLORS, MANNERS
from momalisa.errors import ModelError
from momalisa.styles.network import StyleNet

WEIGHTS = "styles.safetensors"
SIDE = 128
"""Pixels of the side at which pictures are looked at."""
CERTAIN = 0.5
"""A class counts as seen from this probability on."""
_BATCH_SIZE = 32


@dataclass(frozen=True, slots=True)
class Reading:
    """What was seen in N pictures: probabilities (N, classes), which with "none of these" sum to 1."""

    manners: tuple[str, ...]
    colors: tuple[str, ...]
    manner: Tensor
    foreground: Tensor
    ground: Tensor

    @property
    def manner_names(self) -> list[str | None]:
        """The manner of each picture, None where none reaches `CERTAIN`."""
        return _names(self.manner, self.manners)

    @property
    def foreground_names(self) -> list[str | None]:
        """The foreground's colour of each picture, None where none reaches `CERTAIN`."""
        return _names(self.foreground, self.colors)

    @property
    def ground_names(self) -> list[str | None]:
        """The ground's colour of each picture, None where none reaches `CERTAIN`."""
        return _names(self.ground, self.colors)


class StyleClassifier:
    """A trained `StyleNet`, in eval mode, with the names of its classes.

    Pictures are given as uint8 (N, H, W, 3), of any size; they are looked at with 128 × 128 pixels.
    """

    def __init__(self, net: StyleNet, manners: Sequence[str] = MANNERS, colors: Sequence[str] = COLORS) -> None:
        self.net = net.eval().requires_grad_(False)
        self.manners, self.colors = tuple(manners), tuple(colors)

    def classify(self, pictures: Any) -> Reading:
        """Probabilities of manner, foreground and ground.

        A foreground and a ground are those of a manner: where none is seen, neither are they.
        """
        logits = [self.net(pixels) for pixels in _batches(pictures, self._device)]
        manner, foreground, ground = (
            torch.cat([getattr(part, name) for part in logits]).softmax(dim=1)[:, :-1].cpu()
            for name in ("manner", "foreground", "ground")
        )
        any_manner = manner.sum(dim=1, keepdim=True)
        return Reading(self.manners, self.colors, manner, foreground * any_manner, ground * any_manner)

    def features(self, pictures: Any) -> Tensor:
        """Pooled features (N, 64) on the CPU, for the Fréchet distance."""
        return torch.cat([self.net.features(pixels).cpu() for pixels in _batches(pictures, self._device)])

    def maps(self, pictures: Any) -> list[Tensor]:
        """Unpooled features at four scales, (N, C, h, w) each, on the CPU, for the perceptual distance."""
        parts = [[m.cpu() for m in self.net.maps(pixels)] for pixels in _batches(pictures, self._device)]
        return [torch.cat(scale) for scale in zip(*parts, strict=True)]

    def to(self, device: torch.device | str) -> "StyleClassifier":
        """Moves the net; gives itself back."""
        self.net.to(device)
        return self

    @property
    def _device(self) -> torch.device:
        return next(self.net.parameters()).device


def load_classifier(path: Path | None = None) -> StyleClassifier:
    """The classifier in a safetensors file, by default the one that ships with momalisa.

    Raises ModelError where there is none.
    """
    file = path or Path(str(importlib.resources.files("momalisa.styles"))) / WEIGHTS
    try:
        with safe_open(file, framework="pt") as content:
            names = content.metadata()
            weights = {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118 - no mapping
        manners, colors = json.loads(names["manners"]), json.loads(names["colors"])
    except (OSError, SafetensorError, KeyError, TypeError) as e:
        raise ModelError(f"no style classifier in {file}: install momalisa again, or make it by its command") from e
    net = StyleNet(len(manners), len(colors))
    net.load_state_dict(
        {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in weights.items()}
    )
    return StyleClassifier(net, manners, colors)


def save_classifier(net: StyleNet, path: Path) -> None:
    """Writes weights and class names, in fp16: half of fp32's size, and the probabilities stay."""
    tensors = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in net.state_dict().items()}
    metadata = {"manners": json.dumps(MANNERS), "colors": json.dumps(COLORS)}
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path, metadata=metadata)
    path.chmod(0o644)  # Saved readable by its owner alone; an installed package is read by others.


def to_pixels(pictures: Any) -> Tensor:
    """Pictures uint8 (N, H, W, 3) as (N, 3, 128, 128) in [-1, 1]."""
    array = np.stack([np.asarray(picture, dtype=np.uint8) for picture in pictures])
    pixels = torch.from_numpy(array).permute(0, 3, 1, 2).float() / 127.5 - 1
    if pixels.shape[-2:] != (SIDE, SIDE):
        pixels = functional.interpolate(pixels, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    return pixels


def _batches(pictures: Any, device: torch.device) -> Iterator[Tensor]:
    for start in range(0, len(pictures), _BATCH_SIZE):
        yield to_pixels(pictures[start : start + _BATCH_SIZE]).to(device)


def _names(probabilities: Tensor, names: Sequence[str]) -> list[str | None]:
    best, index = probabilities.max(dim=1)
    return [names[i] if p >= CERTAIN else None for p, i in zip(best.tolist(), index.tolist(), strict=True)]

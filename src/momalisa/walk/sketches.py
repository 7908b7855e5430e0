"""What of a picture its distances to others are taken of: a vector, near for pictures that look alike.

A sketch is a flattened stack of feature maps, of unit length over their channels (as LPIPS, Zhang et al. 2018,
arXiv:1801.03924), so scaled that the squared Euclidean distance is the mean over space and maps. Distances of
neighbours add up along a walk, so they are the plain ones, not the squared ones.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from momalisa.diffusion.loading import Components
from momalisa.styles import classifier as styles

Sketch = NDArray[np.float16]
Kind = Literal["styles", "decoder"]

_CLASSIFIER_SIDES = (16, 16, 16, 8)
_DECODER_SIDE = 8
_EPSILON = 1e-6


class Sketcher(Protocol):
    """Watches the decoder at work and sketches what comes out of it."""

    kind: Kind

    def watching(self, vae: Any) -> Any:
        """A context in which the decoder runs once."""

    def sketch(self, pixels: Any) -> list[Sketch]:
        """Of the pictures uint8 (N, H, W, 3) that were decoded just now."""


class ClassifierSketcher:
    """By the style classifier that ships with momalisa, which was made for what `tiny` draws."""

    kind: Kind = "styles"

    def __init__(self, classifier: styles.StyleClassifier | None = None) -> None:
        self._classifier = classifier or styles.load_classifier()

    @contextmanager
    def watching(self, vae: Any) -> Iterator[None]:  # noqa: ARG002
        """Nothing to watch."""
        yield

    def sketch(self, pixels: Any) -> list[Sketch]:
        """As `Sketcher`."""
        return _flattened(self._classifier.maps(pixels), _CLASSIFIER_SIDES)


class DecoderSketcher:
    """By the VAE decoder's own features: for every other model, at no cost."""

    kind: Kind = "decoder"

    def __init__(self) -> None:
        self._seen: list[Tensor] = []

    @contextmanager
    def watching(self, vae: Any) -> Iterator[None]:
        """Keeps what the decoder's middle and its first half of up blocks give."""
        self._seen = []
        blocks = [vae.decoder.mid_block, *vae.decoder.up_blocks[: max(1, len(vae.decoder.up_blocks) // 2)]]
        hooks = [block.register_forward_hook(self._see) for block in blocks]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def sketch(self, pixels: Any) -> list[Sketch]:
        """As `Sketcher`."""
        per_block = len(self._seen) // max(1, self._num_passes(len(pixels)))
        passes = [self._seen[i : i + per_block] for i in range(0, len(self._seen), per_block)]
        maps = [torch.cat(scale) for scale in zip(*passes, strict=True)]
        return _flattened(maps, (_DECODER_SIDE,) * len(maps))

    def _num_passes(self, num_pictures: int) -> int:
        """Decoding in slices runs the decoder once for each."""
        return num_pictures // len(self._seen[0])

    def _see(self, _module: Any, _inputs: Any, output: Tensor) -> None:
        self._seen.append(output.float().cpu())


def sketcher_for(components: Components) -> Sketcher:
    """The classifier's where the model is the one that it was made for, else the decoder's."""
    return ClassifierSketcher() if components.uri == "tiny" else DecoderSketcher()


def distance(a: Sketch, b: Sketch) -> float:
    """How far two pictures are apart."""
    return float(np.linalg.norm(a.astype(np.float32) - b.astype(np.float32)))


def _flattened(maps: Sequence[Tensor], sides: Sequence[int]) -> list[Sketch]:
    parts = []
    for maps_BCHW, side in zip(maps, sides, strict=True):
        unit = maps_BCHW / (maps_BCHW.square().sum(dim=1, keepdim=True).sqrt() + _EPSILON)
        pooled = functional.adaptive_avg_pool2d(unit, (min(side, unit.shape[2]), min(side, unit.shape[3])))
        parts.append(pooled.flatten(1) / (pooled.shape[2] * pooled.shape[3] * len(maps)) ** 0.5)
    return list(torch.cat(parts, dim=1).numpy().astype(np.float16))

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
from torch import Tensor
from torch.nn import functional

from momalisa.diffusion.loading import Components, resolve_model
from momalisa.storage import sha256_file
from momalisa.styles import classifier as styles
from momalisa.walk.frames import Sketch

Kind = Literal["styles", "decoder", "lpips"]

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
        maps = self._classifier.maps(pixels)
        return _flattened([_pooled_unit(scale, side) for scale, side in zip(maps, _CLASSIFIER_SIDES, strict=True)])


class DecoderSketcher:
    """By the VAE decoder's own features, pooled as they pass: for every other model."""

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
        seen, self._seen = self._seen, []
        # Decoding in slices runs the decoder once for each.
        per_pass = len(seen) // (len(pixels) // len(seen[0]))
        passes = [seen[i : i + per_pass] for i in range(0, len(seen), per_pass)]
        return _flattened([torch.cat(scale) for scale in zip(*passes, strict=True)])

    def _see(self, _module: Any, _inputs: Any, output: Tensor) -> None:
        self._seen.append(_pooled_unit(output, _DECODER_SIDE).cpu())


def sketcher_for(components: Components) -> Sketcher:
    """The classifier's where the model decodes as `tiny` does, which it was made for; else the decoder's."""
    tiny = sha256_file(resolve_model("tiny") / "vae" / "diffusion_pytorch_model.safetensors")
    return ClassifierSketcher() if components.fingerprints["vae"] == tiny else DecoderSketcher()


def _pooled_unit(maps_BCHW: Tensor, side: int) -> Tensor:
    """Maps of unit length over their channels, at most so many squares a side, in float32."""
    maps_BCHW = maps_BCHW.float()
    unit = maps_BCHW / (maps_BCHW.square().sum(dim=1, keepdim=True).sqrt() + _EPSILON)
    return functional.adaptive_avg_pool2d(unit, (min(side, unit.shape[2]), min(side, unit.shape[3])))


def _flattened(maps: Sequence[Tensor]) -> list[Sketch]:
    parts = [scale.flatten(1) / (scale.shape[2] * scale.shape[3] * len(maps)) ** 0.5 for scale in maps]
    return list(torch.cat(parts, dim=1).numpy().astype(np.float16))

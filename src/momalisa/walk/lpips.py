"""LPIPS (Zhang et al. 2018, arXiv:1801.03924) on AlexNet, as a sketcher: where somebody has its weights.

The weights are those of the `lpips` package, which downloads them, saved without pickle:

    safetensors.torch.save_file(dict(lpips.LPIPS(net="alex").state_dict()), "lpips.safetensors")
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from momalisa.errors import ModelError
from momalisa.walk.frames import Sketch
from momalisa.walk.sketches import Kind

SIDE = 128
"""Pixels of the longer side at which pictures are looked at: a sketch is then 0.3 MB."""
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_EPSILON = 1e-10
_LAYERS = (("slice1.0", 4, 2), ("slice2.3", 1, 2), ("slice3.6", 1, 1), ("slice4.8", 1, 1), ("slice5.10", 1, 1))
"""Names in the weights, stride and padding of AlexNet's convolutions."""
_POOLED_BEFORE = (1, 2)


class LpipsSketcher:
    """Sketches whose squared Euclidean distance is LPIPS. Raises ModelError for a file without its weights."""

    kind: Kind = "lpips"

    def __init__(self, path: Path) -> None:
        self._convolutions, self._weights = _load(path)

    @contextmanager
    def watching(self, vae: Any) -> Iterator[None]:  # noqa: ARG002
        """Nothing to watch."""
        yield

    @torch.no_grad()
    def sketch(self, pixels: Any) -> list[Sketch]:
        """As `Sketcher`."""
        values = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
        longer = max(values.shape[2:])
        if longer > SIDE:
            shape = [max(1, round(side * SIDE / longer)) for side in values.shape[2:]]
            values = functional.interpolate(values, shape, mode="area")
        maps = (values - _column(_SHIFT)) / _column(_SCALE)
        parts = []
        for number, (weight, bias) in enumerate(self._convolutions):
            _, stride, padding = _LAYERS[number]
            if number in _POOLED_BEFORE:
                maps = functional.max_pool2d(maps, 3, 2)
            maps = functional.relu(functional.conv2d(maps, weight, bias, stride, padding))
            unit = maps / (maps.square().sum(dim=1, keepdim=True).sqrt() + _EPSILON)
            parts.append((unit * self._weights[number]).flatten(1) / (maps.shape[2] * maps.shape[3]) ** 0.5)
        return list(torch.cat(parts, dim=1).numpy().astype(np.float16))


def _load(path: Path) -> tuple[list[tuple[Tensor, Tensor]], list[Tensor]]:
    """The convolutions' weights and biases, and the roots of the channels' weights (1, C, 1, 1) of each."""
    try:
        tensors = load_file(path)
        convolutions = [
            (tensors[f"net.{name}.weight"].float(), tensors[f"net.{name}.bias"].float()) for name, _, _ in _LAYERS
        ]
        # They are trained to be no less than 0.
        weights = [tensors[f"lin{i}.model.1.weight"].float().clamp_min(0).sqrt() for i in range(len(_LAYERS))]
    except (OSError, SafetensorError) as e:
        raise ModelError(f"{path}: no safetensors file that can be read: {e}") from e
    except KeyError as e:
        raise ModelError(
            f'{path} holds no weights of LPIPS on AlexNet ({e} is missing): save lpips.LPIPS(net="alex").state_dict()'
        ) from e
    return convolutions, weights


def _column(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values)[None, :, None, None]

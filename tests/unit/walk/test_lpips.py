from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from momalisa.errors import ModelError
from momalisa.walk.frames import distance
from momalisa.walk.lpips import LpipsSketcher

CHANNELS = (3, 64, 192, 384, 256, 256)
KERNELS = (11, 5, 3, 3, 3)
NAMES = ("slice1.0", "slice2.3", "slice3.6", "slice4.8", "slice5.10")


def random_weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for number, (name, kernel) in enumerate(zip(NAMES, KERNELS, strict=True)):
        shape = (CHANNELS[number + 1], CHANNELS[number], kernel, kernel)
        weights[f"net.{name}.weight"] = torch.randn(shape, generator=generator) / (shape[1] * kernel**2) ** 0.5
        weights[f"net.{name}.bias"] = torch.randn(shape[0], generator=generator) * 0.1
        weights[f"lin{number}.model.1.weight"] = torch.rand((1, shape[0], 1, 1), generator=generator)
    return weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lpips") / "lpips.safetensors"
    save_file(random_weights(), path)
    return path


def alexnet(weights: dict[str, torch.Tensor]) -> torch.nn.ModuleList:
    """torchvision's layers, cut where LPIPS looks."""
    first, second, third, fourth, fifth = (
        torch.nn.Conv2d(c, d, k, stride=4 if k == 11 else 1, padding=k // 2 if k < 11 else 2)
        for c, d, k in zip(CHANNELS, CHANNELS[1:], KERNELS, strict=False)
    )
    for convolution, name in zip((first, second, third, fourth, fifth), NAMES, strict=True):
        convolution.load_state_dict({key: weights[f"net.{name}.{key}"] for key in ("weight", "bias")})
    relu, pool = torch.nn.ReLU(), torch.nn.MaxPool2d(3, 2)
    cuts = [(first, relu), (pool, second, relu), (pool, third, relu), (fourth, relu), (fifth, relu)]
    return torch.nn.ModuleList([torch.nn.Sequential(*cut) for cut in cuts])


@torch.no_grad()
def by_the_paper(weights: dict[str, torch.Tensor], a: torch.Tensor, b: torch.Tensor) -> float:
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    maps = (torch.stack([a, b]) - shift[:, None, None]) / scale[:, None, None]
    total = 0.0
    for number, part in enumerate(alexnet(weights)):
        maps = part(maps)
        unit = functional.normalize(maps, dim=1, eps=1e-10)
        squares = (unit[0] - unit[1]).square()[None]
        total += float(functional.conv2d(squares, weights[f"lin{number}.model.1.weight"]).mean())
    return total


def pictures(side: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)


def test_the_squared_distance_is_lpips(weights: Path) -> None:
    pixels = pictures()
    first, second = LpipsSketcher(weights).sketch(pixels)
    a, b = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert distance(first, second) ** 2 == pytest.approx(by_the_paper(random_weights(), a, b), rel=2e-3)


def test_large_pictures_are_looked_at_smaller(weights: Path) -> None:
    sketcher = LpipsSketcher(weights)
    (large,) = sketcher.sketch(np.repeat(np.repeat(pictures(64)[:1], 4, axis=1), 4, axis=2))
    (small,) = sketcher.sketch(np.repeat(np.repeat(pictures(64)[:1], 2, axis=1), 2, axis=2))
    assert distance(large, small) < 1e-2


def test_a_file_without_the_weights_says_what_to_save(tmp_path: Path) -> None:
    save_file({"net.slice1.0.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=r"lpips\.LPIPS"):
        LpipsSketcher(tmp_path / "other.safetensors")
    (tmp_path / "no.safetensors").write_text("nothing")
    with pytest.raises(ModelError, match="no safetensors file"):
        LpipsSketcher(tmp_path / "no.safetensors")
    with pytest.raises(ModelError, match="no safetensors file"):
        LpipsSketcher(tmp_path / "missing.safetensors")

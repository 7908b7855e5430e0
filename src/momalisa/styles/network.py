"""The classifier's net: a small residual CNN whose pooled features are few, and whose maps tell pictures apart."""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (24, 40, 64, 96)
NUM_FEATURES = 64
_NUM_INPUTS = 5
_POWER_ROUNDS = 8
_FAINT = 0.1
"""A contrast below this stays faint: the grain of a blank canvas must not be blown up."""


@dataclass(frozen=True, slots=True)
class Logits:
    """(B, classes + 1) each; the last class is "none of these"."""

    manner: Tensor
    foreground: Tensor
    ground: Tensor


class StyleNet(nn.Module):
    """Pixels (B, 3, H, W) in [-1, 1], sides multiples of 16, to features (B, 64) and logits.

    A manner is the same in whatever colours, and most pictures have two: so beside the pixels the net is given the
    main axis of their colours, a map of the one and the other, and the edges; and the mean colour of each side.
    Batch normalisation, because one over the picture itself would take away a flat picture's colour.
    """

    def __init__(self, num_manners: int, num_colors: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            _Stage(narrow, wide, residual=index > 0)
            for index, (narrow, wide) in enumerate(itertools.pairwise((_NUM_INPUTS, *WIDTHS)))
        )
        self.pool = nn.Linear(2 * WIDTHS[-1] + 2 * 3, NUM_FEATURES)
        self.manner = nn.Linear(NUM_FEATURES, num_manners + 1)
        self.foreground = nn.Linear(NUM_FEATURES, num_colors + 1)
        self.ground = nn.Linear(NUM_FEATURES, num_colors + 1)

    def maps(self, pixels_BCHW: Tensor) -> list[Tensor]:
        """What each stage sees, at a half, a quarter, an eighth and a sixteenth of the sides, (B, C, h, w) each.

        The mean over both signs of the main axis: where neither side is the rarer one, the sign turns over between
        pictures that look alike, and so would their distance.
        """
        along = _main_axis(pixels_BCHW)
        both = zip(self._maps(pixels_BCHW, along), self._maps(pixels_BCHW, -along), strict=True)
        return [(one + other) / 2 for one, other in both]

    def features(self, pixels_BCHW: Tensor) -> Tensor:
        """The pooled features, (B, 64)."""
        along = _main_axis(pixels_BCHW)
        last = self._maps(pixels_BCHW, along)[-1]
        pooled = torch.cat([last.mean(dim=(2, 3)), last.amax(dim=(2, 3)), *_colors_of_sides(pixels_BCHW, along)], dim=1)
        features: Tensor = functional.gelu(self.pool(pooled))
        return features

    def forward(self, pixels_BCHW: Tensor) -> Logits:
        features = self.features(pixels_BCHW)
        return Logits(self.manner(features), self.foreground(features), self.ground(features))

    def _maps(self, pixels_BCHW: Tensor, along_B1HW: Tensor) -> list[Tensor]:
        edges = _edges(pixels_BCHW)
        strongest = edges.amax(dim=(2, 3), keepdim=True)
        seen = torch.cat([pixels_BCHW, along_B1HW, edges / (strongest + _FAINT)], dim=1)
        maps = []
        for stage in self.stages:
            seen = stage(seen)
            maps.append(seen)
        return maps


def _main_axis(pixels_BCHW: Tensor) -> Tensor:
    """The first principal component of the colours, standardised, (B, 1, H, W); the rarer side is the positive one."""
    centred = (pixels_BCHW - pixels_BCHW.mean(dim=(2, 3), keepdim=True)).flatten(2)
    covariance = centred @ centred.transpose(1, 2) / centred.shape[-1]
    # Power iteration from the widest channel: three by three, a few rounds are enough.
    axis = covariance.gather(2, covariance.diagonal(dim1=1, dim2=2).argmax(dim=1)[:, None, None].expand(-1, 3, 1))
    for _ in range(_POWER_ROUNDS):
        axis = covariance @ axis
        axis = axis / (axis.norm(dim=1, keepdim=True) + 1e-12)
    along = (axis.transpose(1, 2) @ centred).reshape(len(pixels_BCHW), 1, *pixels_BCHW.shape[-2:])
    along = along / (along.std(dim=(2, 3), keepdim=True) + _FAINT)
    skew = along.pow(3).mean(dim=(2, 3), keepdim=True)
    signed: Tensor = along * torch.where(skew < 0, -1.0, 1.0)
    return signed


def _colors_of_sides(pixels_BCHW: Tensor, along_B1HW: Tensor) -> list[Tensor]:
    """The mean colours of the two sides of the main axis, (B, 3) each."""
    sides = ((along_B1HW > 0).to(pixels_BCHW.dtype), (along_B1HW <= 0).to(pixels_BCHW.dtype))
    return [(pixels_BCHW * side).sum(dim=(2, 3)) / (side.sum(dim=(2, 3)) + 1) for side in sides]


def _edges(pixels_BCHW: Tensor) -> Tensor:
    """The length of the colours' gradient, (B, 1, H, W)."""
    across = functional.pad(pixels_BCHW.diff(dim=3), (0, 1, 0, 0))
    down = functional.pad(pixels_BCHW.diff(dim=2), (0, 0, 0, 1))
    return (across.square() + down.square()).sum(dim=1, keepdim=True).sqrt()


class _Stage(nn.Module):
    """Halves the sides; then, in all but the first, where pixels are many, a residual block."""

    def __init__(self, narrow: int, wide: int, *, residual: bool) -> None:
        super().__init__()
        self.down = nn.Sequential(_convolution(narrow, wide, stride=2), nn.ReLU())
        self.block = nn.Sequential(_convolution(wide, wide), nn.ReLU(), _convolution(wide, wide)) if residual else None

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        maps_BCHW = self.down(maps_BCHW)
        return maps_BCHW if self.block is None else functional.relu(maps_BCHW + self.block(maps_BCHW))


def _convolution(narrow: int, wide: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(narrow, wide, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(wide))

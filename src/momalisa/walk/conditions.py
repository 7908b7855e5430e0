"""Under what each frame is drawn: text embeddings, guidance and noise, blended between waypoints."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from momalisa.diffusion.encode import encode_prompts
from momalisa.diffusion.loading import Components
from momalisa.walk.path import Point, lerp, slerp
from momalisa.walk.request import WalkRequest
from momalisa.walk.sampler import Conditions

Array = NDArray[np.float32]


class WalkConditions:
    """The waypoints' embeddings and noise, computed once; any point's blend of them."""

    def __init__(self, request: WalkRequest, components: Components, latent_shape: tuple[int, int, int]) -> None:
        self._path = request.path
        waypoints = [request.settled(i) for i in range(len(request.waypoints))]
        texts = list(dict.fromkeys([w.prompt for w in waypoints] + [w.negative_prompt or "" for w in waypoints]))
        embedded = dict(zip(texts, encode_prompts(components, texts).float().cpu().numpy(), strict=True))
        self._embeddings = [embedded[w.prompt] for w in waypoints]
        self._negatives = [embedded[w.negative_prompt or ""] for w in waypoints]
        self._scales = [float(w.guidance_scale or 1.0) for w in waypoints]
        self._noises = [initial_noise(w.seed or 0, latent_shape) for w in waypoints]
        self._turns_embeddings = request.embeddings == "slerp"
        self._turns_noise = request.noise == "slerp"
        self._unet = components.unet

    def at(self, points: Sequence[Point]) -> Conditions:
        """What the frames at these points are drawn under, on the UNet's device."""
        embeddings = np.stack([self._text(self._embeddings, point) for point in points])
        negatives = np.stack([self._text(self._negatives, point) for point in points])
        scales = [self._scale(point) for point in points]
        return Conditions(
            torch.from_numpy(embeddings).to(self._unet.device, self._unet.dtype),
            torch.from_numpy(negatives).to(self._unet.device, self._unet.dtype),
            torch.tensor(scales, device=self._unet.device, dtype=self._unet.dtype),
        )

    def noise(self, points: Sequence[Point]) -> torch.Tensor:
        """The noise that frames at these points begin with, (N, C, h, w), of unit deviation."""
        blends = [self._path.blend(point) for point in points]
        mix = slerp if self._turns_noise else lerp
        mixed = [mix(self._noises[b.first], self._noises[b.second], b.weight) for b in blends]
        return torch.from_numpy(np.stack(mixed)).to(self._unet.device, self._unet.dtype)

    def _text(self, texts: Sequence[Array], point: Point) -> Array:
        blend = self._path.blend(point)
        first, second = texts[blend.first], texts[blend.second]
        return (
            slerp(first, second, blend.weight, axis=-1) if self._turns_embeddings else lerp(first, second, blend.weight)
        )

    def _scale(self, point: Point) -> float:
        blend = self._path.blend(point)
        return (1 - blend.weight) * self._scales[blend.first] + blend.weight * self._scales[blend.second]


def initial_noise(seed: int, shape: tuple[int, int, int]) -> Array:
    """Standard normal noise (C, h, w), drawn on the CPU: the same on every machine, and as diffusers' pipelines do."""
    generator = torch.Generator("cpu").manual_seed(seed)
    noise: Array = torch.randn((1, *shape), generator=generator)[0].numpy()
    return noise

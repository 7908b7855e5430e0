"""Under what each frame is drawn: texts, guidance, adapters, noise and pictures, blended between waypoints."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from momalisa.diffusion.encode import encode_images, encode_prompts
from momalisa.diffusion.loading import Components
from momalisa.errors import ConfigError
from momalisa.lora.adapters import Adapters
from momalisa.walk.frames import Pixels, pixels_sha256
from momalisa.walk.path import Point, lerp, slerp
from momalisa.walk.request import WalkRequest
from momalisa.walk.sampler import Conditions
from momalisa.walk.texts import Texts, prompts_of

Array = NDArray[np.float32]


class WalkConditions:
    """The waypoints' embeddings, noise and latents, computed once; any point's blend of them.

    `texts` are the waypoints' prompts, where those were encoded elsewhere; `pictures` are their own, uint8 (H, W, 3) at
    the walk's size, by their SHA-256. Raises ConfigError for one that is missing or of another size.
    """

    def __init__(
        self,
        request: WalkRequest,
        components: Components,
        latent_shape: tuple[int, int, int],
        *,
        adapters: Adapters,
        pictures: Mapping[str, Pixels] | None = None,
        texts: Texts | None = None,
    ) -> None:
        self._path = request.path
        self._unet = components.unet
        waypoints = [request.settled(i) for i in range(len(request.waypoints))]
        self._adapter_weights = [[w.adapters.get(uri, 0.0) for uri in adapters.uris] for w in waypoints]
        self._texts = texts or encode_texts(
            components,
            prompts_of(request),
            before=lambda i: adapters.set_weights(torch.tensor([self._adapter_weights[i]])),
        )
        self._scales = [1.0 if w.guidance_scale is None else float(w.guidance_scale) for w in waypoints]
        self._noises = [initial_noise(w.seed or 0, latent_shape) for w in waypoints]
        self._turns_embeddings = request.embeddings == "slerp"
        self._turns_noise = request.noise == "slerp"
        self._pictures = {
            index: _latents_of(components, waypoints[index].picture_sha256 or "", pictures or {}, latent_shape)
            for index in request.pictures
        }

    def at(self, points: Sequence[Point]) -> Conditions:
        """What the frames at these points are drawn under, on the UNet's device."""
        return Conditions(
            embeddings=self._tensor([self._text(self._texts.prompts, point) for point in points]),
            negative_embeddings=self._tensor([self._text(self._texts.negative_prompts, point) for point in points]),
            guidance_scales=self._tensor([self._share(self._scales, point) for point in points]),
            adapter_weights=self._tensor([self._share(self._adapter_weights, point) for point in points]),
        )

    def noise(self, point: Point) -> Array:
        """The noise that a frame begins with, (C, h, w), of unit deviation."""
        blend = self._path.blend(point)
        mix = slerp if self._turns_noise else lerp
        mixed: Array = mix(self._noises[blend.first], self._noises[blend.second], blend.weight)
        return mixed

    def picture(self, point: Point) -> Array:
        """The scaled latents (C, h, w) of the picture that is the waypoint at this point."""
        blend = self._path.blend(point)
        return self._pictures[blend.second if blend.weight else blend.first]

    def _text(self, texts: Array, point: Point) -> Array:
        blend = self._path.blend(point)
        first, second = texts[blend.first], texts[blend.second]
        mixed: Array = (
            slerp(first, second, blend.weight, axis=-1) if self._turns_embeddings else lerp(first, second, blend.weight)
        )
        return mixed

    def _share(self, values: Sequence[float] | Sequence[Sequence[float]], point: Point) -> Array:
        blend = self._path.blend(point)
        first, second = (np.asarray(values[i], dtype=np.float32) for i in (blend.first, blend.second))
        mixed: Array = lerp(first, second, blend.weight)
        return mixed

    def _tensor(self, rows: Sequence[Array]) -> torch.Tensor:
        return torch.from_numpy(np.stack(rows)).to(self._unet.device)


def encode_texts(
    components: Components, prompts: Sequence[tuple[str, str]], *, before: Callable[[int], None] = lambda _: None
) -> Texts:
    """Encodes prompts, each together with its negative one, so that its numbers do not depend on the others.

    `before` is called with each one's number, to set the text encoder's adapters.
    """
    pairs = []
    for number, pair in enumerate(prompts):
        before(number)
        pairs.append(encode_prompts(components, pair).float().cpu().numpy())
    both = np.stack(pairs)
    return Texts(prompts=both[:, 0], negative_prompts=both[:, 1])


def initial_noise(seed: int, shape: tuple[int, int, int]) -> Array:
    """Standard normal noise (C, h, w), drawn on the CPU: the same on every machine, and as diffusers' pipelines do."""
    generator = torch.Generator("cpu").manual_seed(seed)
    noise: Array = torch.randn((1, *shape), generator=generator)[0].numpy()
    return noise


def _latents_of(
    components: Components, sha256: str, pictures: Mapping[str, Pixels], latent_shape: tuple[int, int, int]
) -> Array:
    if sha256 not in pictures:
        raise ConfigError(f"the picture {sha256[:12]}… of a waypoint is not at hand: give it along with the request")
    pixels = pictures[sha256]
    if pixels_sha256(pixels) != sha256:
        raise ConfigError(f"the picture given as {sha256[:12]}… is another one: name it by its own hash")
    scale = components.vae_scale_factor
    if pixels.shape != (latent_shape[1] * scale, latent_shape[2] * scale, 3):
        raise ConfigError(f"a waypoint's picture is {pixels.shape[1]} × {pixels.shape[0]}: fit it to the walk's size")
    values = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
    mean, _ = encode_images(components.vae, values)
    latents: Array = (mean[0].float() * components.vae.config.scaling_factor).cpu().numpy()
    return latents

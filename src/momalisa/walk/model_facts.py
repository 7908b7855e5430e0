"""What a walk's course needs to know of a model: no model in it, so that it can be planned where none is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass

from momalisa.errors import ConfigError
from momalisa.walk.addresses import Rendition
from momalisa.walk.request import WalkRequest

SCHEDULER = "dpmsolver++-2m-karras"
_MAX_CHUNK = 16
_CHUNK_LATENTS = 16_384
"""Latent pixels in a chunk: four frames of Stable Diffusion's full size, sixteen of `tiny`'s."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """A model as it is loaded."""

    fingerprints: Mapping[str, str]
    """Of the parts' weights, and of all configuration that drawing depends on."""
    dtype: str
    ruler: str
    """The kind of its sketches."""
    default_size: int
    """Pixels of its pictures' sides."""
    latent_channels: int
    vae_scale_factor: int
    num_unet_blocks: int

    def rendition(self, request: WalkRequest, adapter_fingerprints: Mapping[str, str] | None = None) -> Rendition:
        """What all frames of a walk have in common. Raises ConfigError for a size that the model cannot draw."""
        height, width = self.size(request)
        self.latent_shape(height, width)
        return Rendition(
            model_fingerprints=dict(self.fingerprints),
            adapter_fingerprints=dict(adapter_fingerprints or {}),
            scheduler=SCHEDULER,
            height=height,
            width=width,
            dtype=self.dtype,
            ruler=self.ruler,
        )

    def size(self, request: WalkRequest) -> tuple[int, int]:
        """Height and width of a walk's frames, pixels."""
        return request.height or self.default_size, request.width or self.default_size

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Channels, height and width of the latents. Raises ConfigError for a size that the model cannot draw."""
        # The UNet halves its maps in all its blocks but the last.
        multiple = self.vae_scale_factor * 2 ** (self.num_unet_blocks - 1)
        if height % multiple or width % multiple:
            nearest = [max(multiple, round(side / multiple) * multiple) for side in (width, height)]
            raise ConfigError(
                f"{width} × {height} pixels: this model draws multiples of {multiple}; take {nearest[0]} × {nearest[1]}"
            )
        return self.latent_channels, height // self.vae_scale_factor, width // self.vae_scale_factor

    def chunk_size(self, height: int, width: int) -> int:
        """How many frames are drawn together: decided by the size alone, so that every machine does the same."""
        _, latent_height, latent_width = self.latent_shape(height, width)
        return max(1, min(_MAX_CHUNK, _CHUNK_LATENTS // (latent_height * latent_width)))

"""How well a VAE gives back what it is shown: drawings it has not seen, and real paintings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional

from momalisa.artworks.procedural import MANNERS, sample
from momalisa.errors import ConfigError
from momalisa.models.vae_training import to_pixels

_UNSEEN_SEED = 1 << 50  # Training samples its seeds below this.
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def unseen_drawings(count: int, size: int = 128, manners: Sequence[str] = MANNERS) -> Tensor:
    """Drawings whose seeds training never takes, kept-out manners among them, (count, 3, size, size) in [-1, 1]."""
    return torch.stack(
        [
            to_pixels(sample(_UNSEEN_SEED + i, size=size, manners=(manners[i % len(manners)],)).image)
            for i in range(count)
        ]
    )


def paintings(folder: Path, size: int = 128) -> Tensor:
    """The centre squares of all pictures below a folder, (N, 3, size, size) in [-1, 1].

    Raises ConfigError where there is none.
    """
    pictures = []
    for file in picture_files(folder):
        with Image.open(file) as image:
            pictures.append(to_pixels(ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.LANCZOS)))
    return torch.stack(pictures)


def picture_files(folder: Path) -> list[Path]:
    """All pictures below a folder, in order. Raises ConfigError where there is none."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in _IMAGE_SUFFIXES)
    if not files:
        raise ConfigError(f"no pictures below {folder}: give a folder of {', '.join(_IMAGE_SUFFIXES)}")
    return files


@torch.no_grad()
def reconstruct(vae: Any, pixels_BCHW: Tensor, batch_size: int = 16) -> Tensor:
    """What comes back through the mean of the latents, in [-1, 1]."""
    decoded = [vae.decode(vae.encode(part).latent_dist.mean).sample for part in torch.split(pixels_BCHW, batch_size)]
    return torch.cat(decoded).clamp(-1, 1)


def bicubic(pixels_BCHW: Tensor, factor: int = 8) -> Tensor:
    """What comes back through a bicubic reduction to the latents' size: the bar to clear."""
    height, width = pixels_BCHW.shape[-2:]
    small = functional.interpolate(
        pixels_BCHW, size=(height // factor, width // factor), mode="bicubic", antialias=True, align_corners=False
    )
    return functional.interpolate(small, size=(height, width), mode="bicubic", align_corners=False).clamp(-1, 1)


def psnr(decoded_BCHW: Tensor, pixels_BCHW: Tensor) -> float:
    """Peak signal-to-noise ratio in dB, the mean over the pictures."""
    errors = (decoded_BCHW - pixels_BCHW).square().flatten(1).mean(dim=1)
    return float((10 * torch.log10(4 / errors)).mean())


def measure_vae(vae: Any, paintings_folder: Path | None = None, *, num_drawings: int = 96) -> dict[str, float]:
    """The figures of the model card; the ones on paintings where a folder of them is given."""
    drawings = unseen_drawings(num_drawings)
    decoded = reconstruct(vae, drawings)
    figures = {
        "drawings_mean_absolute_error": float((decoded - drawings).abs().mean()),
        "drawings_psnr": psnr(decoded, drawings),
        "drawings_psnr_bicubic": psnr(bicubic(drawings), drawings),
    }
    if paintings_folder is not None:
        real = paintings(paintings_folder)
        figures["num_paintings"] = len(real)
        figures["paintings_psnr"] = psnr(reconstruct(vae, real), real)
        figures["paintings_psnr_bicubic"] = psnr(bicubic(real), real)
    return {name: round(value, 4) for name, value in figures.items()}


def comparison(vae: Any, pixels_BCHW: Tensor) -> Image.Image:
    """Originals above what came back, one column each."""
    rows = [torch.cat(list(row), dim=2) for row in (pixels_BCHW, reconstruct(vae, pixels_BCHW))]
    array = ((torch.cat(rows, dim=1).permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
    return Image.fromarray(array)

"""Train the miniature VAE on drawings and on synthetic textures that stand in for paintings.

Plain torch: a VAE has nothing to stream and no prompts. Resumable; checkpoints are safetensors and JSON.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from momalisa.artworks.procedural import sample
from momalisa.models.skeleton import SIZE, build_vae

BATCH_SIZE = 16
CROP = 64
LEARNING_RATE = 2e-3
NUM_WARMUP_STEPS = 100
KL_WEIGHT = 1e-6
EDGE_WEIGHT = 1.0
EMA_DECAY = 0.998
_CHECKPOINT_EVERY = 250


def train_vae(
    work: Path, *, num_steps: int, seed: int = 0, num_drawings: int = 4000, say: Callable[[str], None] = print
) -> AutoencoderKL:
    """The trained VAE (its moving average), its scaling factor set; resumes from `work` where it was cut off."""
    torch.manual_seed(seed)
    vae = build_vae().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=1e-4)
    averages = {name: p.detach().clone() for name, p in vae.named_parameters()}
    step = _resume(work, vae, optimizer, averages)
    pictures = _pictures(num_drawings, seed)
    began, first = time.monotonic(), step
    while step < num_steps:
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * _rate(step, num_steps)
        loss = vae_loss(vae, _batch(pictures, seed, step), torch.Generator().manual_seed(seed + step))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        step += 1
        with torch.no_grad():
            for name, p in vae.named_parameters():
                averages[name].lerp_(p, 1 - min(EMA_DECAY, (1 + step) / (10 + step)))
        if step % _CHECKPOINT_EVERY == 0 or step == num_steps:
            _checkpoint(work, vae, optimizer, averages, step)
            rate = (step - first) / (time.monotonic() - began)
            say(
                f"VAE step {step}/{num_steps} loss {loss.item():.4f} {rate:.2f}/s ETA {(num_steps - step) / rate:.0f} s"
            )
    vae.load_state_dict(averages, strict=False)
    vae.register_to_config(scaling_factor=measure_scaling_factor(vae, seed))
    return vae.eval()


def vae_loss(vae: AutoencoderKL, pixels_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """L1, L1 of the differences between neighbours (for crisp edges), and a little KL."""
    with torch.autocast("cpu", torch.bfloat16):
        posterior = vae.encode(pixels_BCHW).latent_dist
        decoded = vae.decode(posterior.sample(generator=generator)).sample.float()
    pixel = (decoded - pixels_BCHW).abs().mean()
    edges = sum(
        (d.diff(dim=axis) - p.diff(dim=axis)).abs().mean()
        for axis in (2, 3)
        for d, p in (
            (decoded, pixels_BCHW),
            (functional.avg_pool2d(decoded, 4), functional.avg_pool2d(pixels_BCHW, 4)),
        )
    )
    loss: Tensor = pixel + EDGE_WEIGHT * edges + KL_WEIGHT * posterior.kl().mean()
    return loss


def measure_scaling_factor(vae: AutoencoderKL, seed: int, num_drawings: int = 128) -> float:
    """1 / standard deviation of the latents of drawings, as Rombach et al. 2022 (arXiv:2112.10752) scale them."""
    drawings = [np.asarray(sample(seed + 5_000_000 + i, SIZE).image) for i in range(num_drawings)]
    with torch.no_grad():
        latents = [
            vae.encode(_to_pixels(np.stack(drawings[i : i + 16]))).latent_dist.mean for i in range(0, num_drawings, 16)
        ]
    return round(1.0 / float(torch.cat(latents).std()), 5)


def texture(random: np.random.Generator, size: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """A picture like a detail of a painting: clouds of colour over several octaves, with strokes and edges."""
    from PIL import Image

    base = np.zeros((size, size, 3), dtype=np.float32) + random.uniform(30, 225, 3)
    for cells in (2, 4, 8, 16, 32, 64):
        strength = random.uniform(10, 55) * (2 / cells) ** random.uniform(0.2, 0.8)
        noise = random.normal(0, 1, (cells, cells, 3)).astype(np.float32)
        noise = 0.6 * noise.mean(axis=2, keepdims=True) + 0.4 * noise
        layers = [Image.fromarray(noise[:, :, c]).resize((size, size), Image.Resampling.BICUBIC) for c in range(3)]
        base += strength * np.stack([np.asarray(layer) for layer in layers], axis=2)
    for _ in range(int(random.integers(0, 6))):
        angle, offset = random.uniform(0, np.pi), random.uniform(-0.4, 0.4)
        y, x = np.mgrid[-0.5 : 0.5 : size * 1j, -0.5 : 0.5 : size * 1j]
        side = (np.cos(angle) * x + np.sin(angle) * y > offset)[:, :, None]
        base += side * random.normal(0, 22, 3)
    return np.asarray(np.clip(base, 0, 255)).astype(np.uint8)


def _pictures(num_drawings: int, seed: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    random = np.random.default_rng([seed, 99])
    drawings = [np.asarray(sample(seed + i, SIZE).image) for i in range(num_drawings)]
    return np.stack([*drawings, *(texture(random, SIZE) for _ in range(num_drawings * 2 // 3))])


def _batch(pictures: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", seed: int, step: int) -> Tensor:
    """Crops, mirrored and with channels now and then exchanged."""
    random = np.random.default_rng([seed, step, 7])
    crops = []
    for index in random.integers(0, len(pictures), BATCH_SIZE):
        top, left = random.integers(0, SIZE - CROP + 1, 2)
        crop = pictures[index, top : top + CROP, left : left + CROP]
        crop = crop[:, :: -1 if random.integers(2) else 1]
        if random.integers(3) == 0:
            crop = crop[:, :, random.permutation(3)]
        crops.append(crop)
    return _to_pixels(np.stack(crops))


def _to_pixels(pictures: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> Tensor:
    pixels = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return pixels.contiguous(memory_format=torch.channels_last)


def _rate(step: int, num_steps: int) -> float:
    if step < NUM_WARMUP_STEPS:
        return (step + 1) / NUM_WARMUP_STEPS
    done = (step - NUM_WARMUP_STEPS) / max(1, num_steps - NUM_WARMUP_STEPS)
    return 0.02 + 0.98 * (1 + float(np.cos(np.pi * done))) / 2


def _checkpoint(
    work: Path, vae: AutoencoderKL, optimizer: torch.optim.Optimizer, averages: dict[str, Tensor], step: int
) -> None:
    tensors: dict[str, Tensor] = {}
    for name, p in vae.named_parameters():
        tensors |= {f"weights/{name}": p.detach(), f"averages/{name}": averages[name]}
        tensors |= {f"{key}/{name}": optimizer.state[p][key] for key in ("exp_avg", "exp_avg_sq")}
    work.mkdir(parents=True, exist_ok=True)
    partial = work / "vae.partial"
    save_file({name: t.contiguous() for name, t in tensors.items()}, partial, metadata={"step": str(step)})
    partial.replace(work / "vae.safetensors")
    (work / "vae.json").write_text(json.dumps({"step": step}))


def _resume(work: Path, vae: AutoencoderKL, optimizer: torch.optim.Optimizer, averages: dict[str, Tensor]) -> int:
    if not (work / "vae.json").is_file():
        return 0
    step = int(json.loads((work / "vae.json").read_text())["step"])
    tensors = load_file(work / "vae.safetensors")
    with torch.no_grad():
        for name, p in vae.named_parameters():
            p.copy_(tensors[f"weights/{name}"])
            averages[name].copy_(tensors[f"averages/{name}"])
            state = {key: tensors[f"{key}/{name}"].clone() for key in ("exp_avg", "exp_avg_sq")}
            optimizer.state[p] = {"step": torch.tensor(float(step)), **state}
    return step

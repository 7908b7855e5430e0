"""What a walk will take, in seconds and money, and the best one that a budget allows."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch

from momalisa.diffusion.loading import Components
from momalisa.errors import ConfigError
from momalisa.walk.plan import Cost
from momalisa.walk.render import facts_of
from momalisa.walk.request import WalkRequest
from momalisa.walk.sketches import sketcher_for

_STEPS = (30, 25, 20, 16, 13, 10, 8)
_FRAME_SHARES = (1.0, 0.75, 0.5, 0.35)
_MIN_FRAMES = 12
_RESERVE = 0.85
"""Of a budget is for denoising and decoding; the rest for texts, distances, storing and writing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """Of one replica, at one size, in chunks as large as the renderer's."""

    seconds_per_evaluation: float
    """Of the UNet, for one latent."""
    seconds_per_decode: float

    def seconds(self, cost: Cost, *, num_replicas: int = 1) -> float:
        """What the cost takes, shared among replicas."""
        alone = cost.unet_evaluations * self.seconds_per_evaluation + cost.decodes * self.seconds_per_decode
        return alone / num_replicas


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """The most that a walk takes."""

    cost: Cost
    seconds: float
    money: float | None
    """In the price's currency, where one was given."""


def estimate(
    request: WalkRequest, speed: Speed, *, num_replicas: int = 1, price_per_hour: float | None = None
) -> Estimate:
    """Of the plan's bound, before anything is rendered; `price_per_hour` is one replica's."""
    cost = request.plan.bound
    money = None if price_per_hour is None else speed.seconds(cost) / 3600 * price_per_hour
    return Estimate(cost=cost, seconds=speed.seconds(cost, num_replicas=num_replicas), money=money)


def fit(request: WalkRequest, budget_s: float, speed: Speed, *, num_replicas: int = 1) -> WalkRequest:
    """The best version of a walk that takes no longer than its budget: fewer steps first, then fewer frames.

    Fewer frames are shown for longer each. Raises ConfigError, with the seconds that would do, where none fits.
    """
    candidates = list(_candidates(request))
    for candidate in candidates:
        if estimate(candidate, speed, num_replicas=num_replicas).seconds <= budget_s * _RESERVE:
            return candidate
    least = estimate(candidates[-1], speed, num_replicas=num_replicas).seconds / _RESERVE
    raise ConfigError(
        f"{budget_s:g} s are too few for this walk even with {candidates[-1].num_frames} frames of "
        f"{candidates[-1].num_inference_steps} steps: take {least:.1f} s or more, a smaller size or fewer waypoints"
    )


def measure_speed(components: Components, height: int | None = None, width: int | None = None) -> Speed:
    """Times one chunk through UNet and decoder, the second time that each runs."""
    facts = facts_of(components, sketcher_for(components))
    sides = height or facts.default_size, width or facts.default_size
    shape, batch = facts.latent_shape(*sides), facts.chunk_size(*sides)
    unet, vae = components.unet, components.vae
    latents = torch.zeros((batch, *shape), device=unet.device, dtype=unet.dtype)
    tokens = components.tokenizer.model_max_length
    texts = torch.zeros((batch, tokens, unet.config.cross_attention_dim), device=unet.device, dtype=unet.dtype)
    timestep = torch.tensor(500, device=unet.device)
    with torch.no_grad():
        evaluation = _timed(lambda: unet(latents, timestep, texts), unet.device)
        decode = _timed(lambda: vae.decode(latents.to(vae.dtype)), vae.device)
    return Speed(seconds_per_evaluation=evaluation / batch, seconds_per_decode=decode / batch)


def _candidates(request: WalkRequest) -> Iterator[WalkRequest]:
    """From the best to the cheapest."""
    least = max(_MIN_FRAMES, 2 * len(request.waypoints))
    steps = [request.num_inference_steps, *(s for s in _STEPS if s < request.num_inference_steps)]
    for share in _FRAME_SHARES:
        num_frames = min(request.num_frames, max(least, round(request.num_frames * share)))
        slower = request.frames_per_second * num_frames / request.num_frames
        for num_steps in steps:
            yield replace(request, num_frames=num_frames, frames_per_second=slower, num_inference_steps=num_steps)


def _timed(call: Callable[[], object], device: torch.device) -> float:
    call()
    _wait(device)
    began = time.monotonic()
    call()
    _wait(device)
    return time.monotonic() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

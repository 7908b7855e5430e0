"""Which of the steps guidance is worth its cost at: the reasons for `guidance_interval` and `guidance_stride`.

    python tests/bench/walk_guidance.py [--model tiny] [--prompts 15] [--guidance-scale 5] [--json FILE]

Every interval draws the same prompts from the same noise with the walk's own sampler; the classifier says how well
they are followed, the Fréchet distance how near they come to real drawings (its floor: `learning.py`).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))  # the folder of `tests`, when this file is run by itself

from momalisa.artworks.procedural import Subject
from momalisa.diffusion.encode import encode_prompts
from momalisa.diffusion.loading import Components, load_components
from momalisa.styles.classifier import load_classifier
from momalisa.terminal import counted
from momalisa.walk.conditions import initial_noise
from momalisa.walk.guidance import Guidance
from momalisa.walk.report import sharpness
from momalisa.walk.request import WalkRequest, Waypoint
from momalisa.walk.sampler import Conditions, Sampler
from momalisa.walk.settings import Settings
from momalisa.walk.studio import prepare
from tests.bench.learning import choose_subjects, measure

_USUAL = WalkRequest(waypoints=(Waypoint(prompt="a"), Waypoint(prompt="b")))
_STEPS = _USUAL.num_inference_steps
_BATCH = 16
_INTERVALS = ((0.0, 1.0), (0.0, 0.6), (0.0, 0.36), (0.2, 0.72), (0.2, 0.6), (0.2, 0.5), (0.36, 0.72), (0.0, 0.0))
_STRIDES = (2, 3)
"""Tried on the default interval."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--prompts", type=int, default=15, help="for each manner")
    parser.add_argument("--guidance-scale", type=float, default=5.0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    flags = parser.parse_args()
    components = prepare(load_components(flags.model), torch.device("cpu"), Settings())
    subjects, classifier = choose_subjects(flags.prompts), load_classifier()
    rows = []
    usual = _USUAL.guidance_interval
    for interval, stride in [*((interval, 1) for interval in _INTERVALS), *((usual, stride) for stride in _STRIDES)]:
        guidance = Guidance(round(interval[0] * _STEPS), round(interval[1] * _STEPS), stride)
        pictures = render(components, subjects, flags.guidance_scale, guidance)
        figures = measure(classifier, subjects, pictures)
        figures |= {
            "evaluations": float(_STEPS + len(guidance.found_at(range(_STEPS)))),
            "sharpness": float(np.mean([sharpness(picture) for picture in pictures])),
        }
        rows.append({"guidance_interval": interval, "guidance_stride": stride, **figures})
        named = f"{interval[0]:.2f} – {interval[1]:.2f}, every {stride}"
        print(f"{named}  " + "  ".join(f"{k} {v:.3f}" for k, v in figures.items()), flush=True)
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1))
    return 0


@torch.no_grad()
def render(components: Components, subjects: Sequence[Subject], guidance_scale: float, guidance: Guidance) -> Any:
    """Pictures (N, H, W, 3) uint8 of the subjects' captions."""
    sampler = Sampler(components, num_inference_steps=_STEPS, guidance=guidance)
    side = components.default_size // components.vae_scale_factor
    shape = (int(components.unet.config.in_channels), side, side)
    drawn = []
    with counted(f"guidance from step {guidance.begin} to {guidance.end}", len(subjects)) as advance:
        for start in range(0, len(subjects), _BATCH):
            captions = [subject.caption for subject in subjects[start : start + _BATCH]]
            noise = np.stack([initial_noise(start + i, shape) for i in range(len(captions))])
            conditions = Conditions(
                embeddings=encode_prompts(components, captions),
                negative_embeddings=encode_prompts(components, [""] * len(captions)),
                guidance_scales=torch.full((len(captions),), guidance_scale),
                adapter_weights=torch.zeros(len(captions), 0),
            )
            latents, _ = sampler.denoise(torch.from_numpy(noise), conditions)
            decoded = components.vae.decode(latents / components.vae.config.scaling_factor).sample
            pixels = (decoded / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()
            drawn.append((pixels * 255).round().astype(np.uint8))
            advance(len(captions))
    return np.concatenate(drawn)


if __name__ == "__main__":
    sys.exit(main())

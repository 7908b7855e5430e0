"""Recipes for the miniature model that ships with momalisa: they run on a laptop's CPU."""

import json

from momalisa.artworks.procedural import HELD_OUT_MANNERS, TRAIN_MANNERS, choose
from momalisa.training.config import (
    CheckpointConfig,
    DataConfig,
    EngineConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimizerConfig,
    ReplayConfig,
    ResourcesConfig,
    TrackingConfig,
    TrainConfig,
    ValidationConfig,
)

KNOWN_PROMPTS = (
    "blue dots on a yellow ground",
    "orange and pink color field",
    "red stripes on white",
    "a collage of cut-outs in turquoise and pink",
    "green circles on a black ground",
    "white shapes on a violet ground",
)
"""Prompts that the shipped model draws well: what a fine-tune should not forget."""


RECOGNISE_DRAWINGS = "validation.recognition=" + json.dumps({"taught": HELD_OUT_MANNERS[0], "known": TRAIN_MANNERS})
"""For the recipe `demo` on drawings of the manner that the shipped model does not know: not on others' artworks."""

_REPLAY_SEED = 1 << 42
_REPLAYED_PER_MANNER = 4


def replay_prompts() -> tuple[str, ...]:
    """Captions of every manner that the shipped model knows, in various colours: what is rehearsed is not forgotten."""
    return tuple(
        choose(_REPLAY_SEED + i, manners=(manner,)).caption
        for i, manner in enumerate(TRAIN_MANNERS * _REPLAYED_PER_MANNER)
    )


def demo() -> TrainConfig:
    """Teaches the shipped model a manner that it does not know, in minutes on two cores."""
    return TrainConfig(
        recipe="demo",
        max_steps=240,
        global_batch_size=16,
        micro_batch_size=8,
        model=ModelConfig(uri="tiny", train_text_encoder=True),
        data=DataConfig(resolution=128, num_streams=4, num_decode_threads=1, local_cache_mib=64),
        objective=ObjectiveConfig(min_snr_gamma=5.0),
        optimizer=OptimizerConfig(learning_rate=3e-4, num_warmup_steps=20, schedule="cosine", min_lr_ratio=0.1),
        engine=EngineConfig(zero_stage=2, precision="fp32"),
        replay=ReplayConfig(prompts=replay_prompts(), num_images=80, ratio=0.5, guidance_scale=1.5),
        validation=ValidationConfig(
            every_steps=80,
            num_samples=16,
            timesteps_per_sample=2,
            prompts=(
                "red concentric squares on blue",
                "concentric squares in yellow over green",
                "blue dots on a yellow ground",
                "red stripes on white",
            ),
            guidance_scale=4.0,
            forgetting_prompts=KNOWN_PROMPTS,
            num_style_images=16,
        ),
        checkpoint=CheckpointConfig(every_steps=80, keep_last=1),
        tracking=TrackingConfig(log_every_steps=5),
        resources=ResourcesConfig(num_workers=2, use_gpu=False),
    )


def tiny() -> TrainConfig:
    """Makes the shipped model's UNet and text encoder, from random weights, on drawings."""
    return TrainConfig(
        recipe="tiny",
        max_steps=6_000,
        global_batch_size=48,
        micro_batch_size=48,
        ema_decay=0.999,
        model=ModelConfig(uri="tiny", train_text_encoder=True, random_init=True),
        data=DataConfig(resolution=128, cache="require", num_streams=16, num_decode_threads=1),
        objective=ObjectiveConfig(min_snr_gamma=5.0),
        optimizer=OptimizerConfig(
            learning_rate=1e-3, num_warmup_steps=200, schedule="cosine", min_lr_ratio=0.01, adam_beta2=0.99
        ),
        engine=EngineConfig(zero_stage=0, precision="bf16"),
        validation=ValidationConfig(
            every_steps=1000,
            num_samples=128,
            timesteps_per_sample=2,
            prompts=KNOWN_PROMPTS,
            guidance_scale=4.0,
            forgetting_prompts=KNOWN_PROMPTS,
            num_style_images=16,
        ),
        checkpoint=CheckpointConfig(every_steps=500),
        tracking=TrackingConfig(log_every_steps=20),
        resources=ResourcesConfig(num_workers=1, use_gpu=False, cpus_per_worker=2),
    )

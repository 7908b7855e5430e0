"""Recipes for Stable Diffusion 1.x on GPUs."""

from momalisa.training.config import (
    CheckpointConfig,
    DataConfig,
    EngineConfig,
    LoraConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimizerConfig,
    ReplayConfig,
    ResourcesConfig,
    TrainConfig,
    ValidationConfig,
)


def sd14_full() -> TrainConfig:
    """Stable Diffusion 1.4 on a museum's whole collection, 512 px, ZeRO-2, bf16, with replay.

    The first team to try this used learning rates of 1e-7 and later 1e-8, at which AdamW moves a weight
    by at most that much a step: after thousands of steps hardly a bf16 weight has changed. 1e-5 is what
    full fine-tunes of this model use (diffusers' text-to-image example).
    """
    return TrainConfig(
        recipe="sd14_full",
        max_steps=15_000,
        global_batch_size=48,  # So that 2, 3 and 4 workers can share it.
        micro_batch_size=4,
        ema_decay=0.9999,
        model=ModelConfig(uri="CompVis/stable-diffusion-v1-4"),
        data=DataConfig(resolution=512, aspect_buckets=True),
        objective=ObjectiveConfig(min_snr_gamma=5.0),
        optimizer=OptimizerConfig(learning_rate=1e-5, num_warmup_steps=500),
        engine=EngineConfig(zero_stage=2, precision="bf16", gradient_checkpointing=True),
        replay=ReplayConfig(num_images=256),
        resources=ResourcesConfig(num_workers=4, min_workers=2, cpus_per_worker=8, memory_gib_per_worker=32),
    )


def sd15_full() -> TrainConfig:
    """Stable Diffusion 1.5 on some 850 watercolours: one GPU, batch 1, accumulation 4, fp16."""
    return TrainConfig(
        recipe="sd15_full",
        max_steps=5_000,
        global_batch_size=4,
        micro_batch_size=1,
        gradient_accumulation_steps=4,
        model=ModelConfig(uri="stable-diffusion-v1-5/stable-diffusion-v1-5"),
        data=DataConfig(resolution=512),
        optimizer=OptimizerConfig(learning_rate=1e-5),
        engine=EngineConfig(zero_stage=2, precision="fp16", gradient_checkpointing=True),
        validation=ValidationConfig(
            prompts=(
                "a watercolour of a harbour at dusk",
                "a watercolour of poppies in a field",
                "a watercolour of an old woman reading",
                "a watercolour of a street after the rain",
            )
        ),
        resources=ResourcesConfig(num_workers=1, cpus_per_worker=8, memory_gib_per_worker=32),
    )


def sd14_lora(style: str = "impressionism") -> TrainConfig:
    """An art era as a LoRA of rank 16 on Stable Diffusion 1.4.

    Prepare its data with the caption template `A painting in the style of {style}`.
    """
    prompt = f"A painting in the style of {style}"
    return TrainConfig(
        recipe="sd14_lora",
        max_steps=5_000,
        global_batch_size=16,
        micro_batch_size=4,
        model=ModelConfig(uri="CompVis/stable-diffusion-v1-4", lora=LoraConfig(rank=16, alpha=16)),
        data=DataConfig(resolution=512),
        optimizer=OptimizerConfig(learning_rate=5e-5, num_warmup_steps=100),
        engine=EngineConfig(zero_stage=0, precision="bf16"),
        validation=ValidationConfig(
            patience=6,
            prompts=(prompt, f"{prompt}: a harbour", f"{prompt}: a portrait", f"{prompt}: a garden in summer"),
        ),
        checkpoint=CheckpointConfig(every_steps=250),
        resources=ResourcesConfig(num_workers=1, cpus_per_worker=8, memory_gib_per_worker=32),
    )

"""Job configs that the tests of this folder share."""

from typing import Any

from momalisa.cluster.config import JobConfig, PodResources

PLAIN: dict[str, Any] = {
    "kind": "train",
    "name": "watercolours",
    "recipe": "sd14_full",
    "data_uri": "gs://museum/shards",
    "output_uri": "gs://museum/runs/watercolours",
    "image": "images.example/momalisa:1",
    "num_workers": 4,
    "min_workers": 2,
    "worker": PodResources(cpus=8, memory_gib=32, gpus=1),
    "gpu_type": "nvidia-l4",
    "owner": "mona",
    "ray_version": "2.60.0",
    "checkpoint_every_steps": 500,
    "max_steps": 15_000,
}


def config(**changes: Any) -> JobConfig:
    """A training on four GPUs, but for the changes."""
    return JobConfig(**(PLAIN | changes))


GOLDEN = {
    "train": config(),
    "train-spot-autoscaled": config(
        spot=True, autoscale=True, secret_env={"HF_TOKEN": "hub/token"}, env={"HF_HUB_DISABLE_TELEMETRY": "1"}
    ),
    "train-queued": config(queue="gpus", min_workers=None, priority_class="momalisa-low"),
    "prepare": config(
        kind="prepare",
        recipe=None,
        num_workers=2,
        min_workers=None,
        worker=PodResources(cpus=4, memory_gib=16),
        arguments=("--caption-template", "{title}, $5 by \"{artist}\" in '{year}'"),
    ),
    "walk": config(kind="walk", recipe=None, min_workers=None, arguments=("--model", "gs://museum/runs/watercolours")),
}

"""Make the shipped model `tiny` again from nothing, on a CPU. Interrupted, the same command goes on.

python jobs/make_tiny.py --work DIR [--paintings DIR] [--vae-steps N] [--num-drawings N] [--install]

It draws, trains the VAE and writes the skeleton; then it prints the commands by which the project's own
training loop trains UNet and text encoder. After those, `--install` puts their export into the package.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

from momalisa.artworks.procedural import write_folder
from momalisa.errors import MomalisaError
from momalisa.models import install, quality, skeleton
from momalisa.models.vae_training import VaeTrainConfig, train_vae

SHIPPED = Path(skeleton.__file__).parent / "tiny"


def main(arguments: list[str] | None = None) -> int:
    """Runs the stages that are not done yet; the exit code is 0, or 2 for what cannot be."""
    flags = _parse(arguments)
    torch.set_num_threads(flags.num_threads)
    try:
        return _make(flags)
    except MomalisaError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2


def _make(flags: argparse.Namespace) -> int:
    work = Path(flags.work)
    drawings, model, export = work / "drawings", work / "skeleton", work / "run" / "export"
    if not (drawings / "metadata.jsonl").is_file():
        print(f"drawing {flags.num_drawings} pictures into {drawings}")
        write_folder(drawings, flags.num_drawings, flags.seed)
    vae = train_vae(work / "vae", VaeTrainConfig(num_steps=flags.vae_steps, seed=flags.seed), report=_report)
    figures = quality.measure_vae(vae, Path(flags.paintings) if flags.paintings else None)
    print(json.dumps(figures, indent=2))
    if not (model / "model_index.json").is_file():
        skeleton.create_skeleton(model, flags.seed, vae=vae)
    trained = export.is_dir()
    if flags.install:
        how = "momalisa's training loop, recipe `tiny`, on these drawings." if trained else None
        source = export if trained else model
        install.install(source, SHIPPED, figures=figures, vae_steps=flags.vae_steps, training=how)
        print(f"installed {'the trained model' if trained else 'the untrained skeleton'} in {SHIPPED}")
    if not trained:
        dataset = f"{work}/dataset"
        print(
            "UNet and text encoder are still random. Train them, then run this command again with --install:\n"
            f"  python jobs/prepare.py --input {drawings} --output {dataset} --caption-template '{{text}}' "
            f"--cache {model} --resolution {skeleton.RESOLUTION} --no-text\n"
            f"  python jobs/train.py --recipe tiny --data {dataset} --output {work}/run --set model.uri={model}"
        )
    return 0


def _report(step: int, figures: dict[str, float]) -> None:
    print(f"VAE step {step}  " + "  ".join(f"{name} {value:.4g}" for name, value in figures.items()), flush=True)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make the shipped model again from nothing.")
    parser.add_argument("--work", required=True, metavar="DIR", help="where stages and checkpoints are kept")
    parser.add_argument("--paintings", metavar="DIR", help="pictures to measure the VAE on; never trained on")
    parser.add_argument("--vae-steps", type=int, default=VaeTrainConfig().num_steps, metavar="N")
    parser.add_argument("--num-drawings", type=int, default=6000, metavar="N")
    parser.add_argument("--num-threads", type=int, default=2, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--install", action="store_true", help="replace the model inside the package")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

"""Make the shipped model `tiny` again from nothing, on a CPU. Interrupted, the same command goes on.

python jobs/make_tiny.py --work DIR [--paintings DIR] [--set a.b=c …] [--install [--learning JSON --samples PNG]]
"""

import argparse
import json
import sys
from pathlib import Path

import torch

from momalisa.config import override
from momalisa.errors import MomalisaError
from momalisa.models.making import MakeConfig, install_tiny, make_tiny, measure_vae
from momalisa.recipes import recipe
from momalisa.terminal import failed


def main(arguments: list[str] | None = None) -> int:
    """Does what is not done yet; the exit code is 0, 2 for wrong input, else that of the training."""
    flags = _parse(arguments)
    work = Path(flags.work)
    training = override(recipe("tiny"), flags.set)
    config = MakeConfig(training=training, num_drawings=flags.num_drawings, vae_steps=flags.vae_steps, seed=flags.seed)
    torch.set_num_threads(training.resources.cpus_per_worker)
    try:
        code = make_tiny(work, config)
        if code != 0:
            return code
        figures = measure_vae(work, config, Path(flags.paintings) if flags.paintings else None)
        print(json.dumps(figures, indent=2))
        if flags.install:
            print(f"installed in {install_tiny(work, config, figures, flags.learning, flags.samples)}")
        else:
            print(f"look at it: python tests/bench/learning.py --model {work}/run/export")
    except MomalisaError as e:
        return failed(e)
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make the shipped model again from nothing.")
    parser.add_argument("--work", required=True, metavar="DIR", help="where stages and checkpoints are kept")
    parser.add_argument("--paintings", metavar="DIR", help="pictures to measure the VAE on; never trained on")
    parser.add_argument("--vae-steps", type=int, default=MakeConfig.vae_steps, metavar="N")
    parser.add_argument("--num-drawings", type=int, default=MakeConfig.num_drawings, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="change a setting of the recipe")
    parser.add_argument("--install", action="store_true", help="replace the model inside the package")
    parser.add_argument("--learning", type=Path, metavar="JSON", help="of tests/bench/learning.py, for the card")
    parser.add_argument("--samples", type=Path, metavar="PNG", help="its grid, for the card")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

"""Fine-tune a model on a dataset of captioned artworks.

python jobs/train.py --recipe demo --data URI --output URI [--num-workers N] [--set a.b=c …] [--resume [auto]]
"""

import argparse
import sys

from momalisa.config import override
from momalisa.errors import MomalisaError
from momalisa.recipes import RECIPES, recipe
from momalisa.terminal import failed
from momalisa.training.submit import run_training


def main(arguments: list[str] | None = None) -> int:
    """Runs a training to its end; the exit code is 0, 2 for wrong input, 3 for stopped, else 1."""
    flags = _parse(arguments)
    try:
        config = recipe(flags.recipe)
        assignments = list(flags.set)
        if flags.num_workers is not None:
            assignments.append(f"resources.num_workers={flags.num_workers}")
        return run_training(
            override(config, assignments), data_uri=flags.data, output_uri=flags.output, resume=flags.resume
        )
    except MomalisaError as e:
        return failed(e)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fine-tune a model on a dataset of captioned artworks.")
    parser.add_argument("--recipe", required=True, help=f"one of {', '.join(RECIPES)}")
    parser.add_argument("--data", required=True, metavar="URI", help="a dataset that jobs/prepare.py wrote")
    parser.add_argument("--output", required=True, metavar="URI", help="the run's folder")
    parser.add_argument("--num-workers", type=int, metavar="N")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="change a setting of the recipe")
    parser.add_argument(
        "--resume",
        nargs="?",
        const=True,
        default=False,
        choices=["auto"],
        help="go on with the run in the output "
        "folder; auto: if there is one, else begin it (for what starts a job again by itself)",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

"""Make the shipped style classifier again from nothing, on a CPU. Interrupted, the same command goes on.

python jobs/make_styles.py --work DIR [--photographs DIR] [--steps N] [--install]
"""

import argparse
import json
import sys
from pathlib import Path

import torch

from momalisa.errors import MomalisaError
from momalisa.styles import install, quality
from momalisa.styles.classifier import StyleClassifier
from momalisa.styles.training import StyleTrainConfig, train_classifier
from momalisa.terminal import failed, step_reporter


def main(arguments: list[str] | None = None) -> int:
    """Trains what is not trained yet, and measures it; the exit code is 0, or 2 for what cannot be."""
    flags = _parse(arguments)
    torch.set_num_threads(flags.num_threads)
    try:
        config = StyleTrainConfig(num_steps=flags.steps, seed=flags.seed)
        net = train_classifier(Path(flags.work), config, report=step_reporter("classifier"))
        classifier = StyleClassifier(net)
        figures = quality.measure_classifier(
            classifier, photographs=Path(flags.photographs) if flags.photographs else None
        )
        print(json.dumps(figures, indent=2))
        if flags.install:
            print(f"installed in {install.install(net, figures, num_steps=flags.steps)}")
    except MomalisaError as e:
        return failed(e)
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make the shipped style classifier again from nothing.")
    parser.add_argument("--work", required=True, metavar="DIR", help="where the training's state is kept")
    parser.add_argument("--photographs", metavar="DIR", help="pictures in which nothing may be recognised")
    parser.add_argument("--steps", type=int, default=StyleTrainConfig().num_steps, metavar="N")
    parser.add_argument("--num-threads", type=int, default=2, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--install", action="store_true", help="replace the classifier inside the package")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

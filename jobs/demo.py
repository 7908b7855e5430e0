"""Teach the miniature model a manner that it does not know, from drawings to the exported model and a walk.

python jobs/demo.py --output runs/demo [--artworks FOLDER] [--set a.b=c …]
"""

import argparse
import sys
from pathlib import Path

from momalisa.demo import DemoConfig, run_demo
from momalisa.errors import MomalisaError
from momalisa.terminal import failed


def main(arguments: list[str] | None = None) -> int:
    """Runs the demo; the exit code is 0, 2 for wrong input, else 1."""
    flags = _parse(arguments)
    config = DemoConfig(
        output=Path(flags.output),
        artworks=Path(flags.artworks) if flags.artworks else None,
        caption_template=flags.caption_template,
        assignments=tuple(flags.set),
    )
    try:
        return run_demo(config)
    except MomalisaError as e:
        return failed(e)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fine-tune the miniature model, from drawings to export and walk.")
    parser.add_argument("--output", default="runs/demo", help="the run's folder")
    parser.add_argument("--artworks", metavar="FOLDER", help="pictures with metadata.jsonl, instead of drawings")
    parser.add_argument("--caption-template", default="{text}", metavar="T", help="over the columns of metadata.jsonl")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="change a setting of the recipe")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

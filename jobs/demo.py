"""Teach the miniature model a manner that it does not know, from drawings to the exported model.

python jobs/demo.py --output runs/demo [--artworks FOLDER] [--set a.b=c …]
"""

import argparse
import sys
import time
from pathlib import Path

from momalisa.config import override
from momalisa.errors import InputError, MomalisaError
from momalisa.recipes import recipe
from momalisa.recipes.tiny import RECOGNISE_DRAWINGS
from momalisa.storage import open_store

NUM_DRAWINGS = 320
CAPTION_TEMPLATE = "{text}"


def main(arguments: list[str] | None = None) -> int:
    """Runs the demo; the exit code is 0, 2 for wrong input, else 1."""
    flags = _parse(arguments)
    try:
        return _demo(flags)
    except MomalisaError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2 if isinstance(e, InputError) else 1


def _demo(flags: argparse.Namespace) -> int:
    from momalisa.artworks.cache_writer import print_progress, write_cache
    from momalisa.artworks.prepare import PrepareConfig, prepare
    from momalisa.training.submit import run_training

    output = Path(flags.output)
    # The style classifier knows the manner of our drawings, not that of other people's artworks.
    recognition = [] if flags.artworks else [RECOGNISE_DRAWINGS]
    config = override(recipe("demo"), [*recognition, *flags.set])
    _set_aside_if_finished(output)
    artworks = Path(flags.artworks) if flags.artworks else _draw(output.parent / f"{output.name}-artworks")
    dataset = output.parent / f"{output.name}-dataset"
    print(f"1/3  artworks in {artworks}")
    print("2/3  Parquet shards")
    template = flags.caption_template or CAPTION_TEMPLATE
    prepare(PrepareConfig(caption_template=template, validation_share=0.1), str(artworks), str(dataset), overwrite=True)
    if config.data.cache != "off":
        text = not config.model.train_text_encoder
        write_cache(
            str(dataset), config.model.uri, resolution=config.data.resolution, text=text, progress=print_progress
        )
    print("3/3  fine-tuning")
    return run_training(
        config, data_uri=str(dataset), output_uri=str(output), resume=open_store(str(output)).exists("run.json")
    )


def _draw(folder: Path) -> Path:
    from momalisa.artworks.procedural import HELD_OUT_MANNERS, write_folder

    if not (folder / "metadata.jsonl").is_file():
        write_folder(folder, count=NUM_DRAWINGS, seed=7, manners=HELD_OUT_MANNERS[:1])
    return folder


def _set_aside_if_finished(output: Path) -> None:
    """A finished run is never overwritten; an interrupted one goes on."""
    if (output / "summary.json").is_file():
        aside = output.with_name(f"{output.name}-{time.strftime('%Y%m%d-%H%M%S')}")
        output.rename(aside)
        print(f"the earlier run is now {aside}")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fine-tune the miniature model, from drawings to export.")
    parser.add_argument("--output", default="runs/demo", help="the run's folder")
    parser.add_argument("--artworks", metavar="FOLDER", help="pictures with metadata.jsonl, instead of drawings")
    parser.add_argument("--caption-template", metavar="T", help="over the columns of metadata.jsonl; default {text}")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="change a setting of the recipe")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
